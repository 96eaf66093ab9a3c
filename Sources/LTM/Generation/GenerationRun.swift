import LTMSupport
import Synchronization

/// A token that was written.
public struct GeneratedToken: Sendable, Hashable {
  /// The text that it belongs to.
  public let row: Int
  /// Its number in the vocabulary.
  public let token: Int
}

/// Why a row is complete.
public enum GenerationEnd: String, Sendable, Hashable {
  /// It has as many tokens as were asked for.
  case length
  /// A token that ends a text was chosen.
  case end
  /// A sequence that it was to stop at was written.
  case stop
  /// The model's context holds no more.
  case context
}

/// The tokens that a session writes, row by row in each step, as they come.
public struct GeneratedTokens: AsyncSequence, Sendable {
  /// Computes a step when its tokens are asked for, beside the tasks of Swift.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let run: GenerationRun

    /// The next token; `nil` when all rows are complete. Throws `CancellationError` where the task is cancelled.
    public mutating func next() async throws -> GeneratedToken? {
      try Task.checkCancellation()
      let run = run
      return try await withCheckedThrowingContinuation { continuation in
        run.session.queue.async { continuation.resume(with: Result { try run.next() }) }
      }
    }
  }

  private let run: GenerationRun

  init(_ run: GenerationRun) { self.run = run }

  /// An iterator; all iterators share the tokens.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(run: run) }

  /// The next token, computed on this thread; `nil` when all rows are complete.
  public func next() throws(LTMError) -> GeneratedToken? { try run.next() }

  /// Ends a row, as where its text has what it is to stop at.
  public func stop(row: Int) { run.stop(row: row) }

  /// Why each row is complete; `nil` for those that are not.
  public var ends: [GenerationEnd?] { run.ends }
}

/// What is to be written.
struct GenerationRequest: Sendable {
  let prompts: [[Int]]
  let length: Int
  let sampling: Sampling
  let end: Set<Int>
  let stop: [[Int]]
}

/// The rows of one request on their way.
final class GenerationRun: Sendable {
  let session: GenerationSession
  private let request: GenerationRequest
  private let number: Int
  private let state: Mutex<State>

  private struct State {
    var isStarted = false
    var rows: [GeneratedRow]
    /// Tokens that are yet to be given.
    var ready: [GeneratedToken] = []
  }

  init(_ session: GenerationSession, _ request: GenerationRequest, number: Int) {
    (self.session, self.request, self.number) = (session, request, number)
    state = Mutex(State(rows: request.prompts.map { _ in GeneratedRow() }))
  }

  var ends: [GenerationEnd?] { state.withLock { $0.rows.map(\.end) } }

  func next() throws(LTMError) -> GeneratedToken? {
    try state.withLock { (state) throws(LTMError) in
      while state.ready.isEmpty {
        if state.rows.allSatisfy({ $0.end != nil }) { return nil }
        try advance(&state)
      }
      return state.ready.removeFirst()
    }
  }

  func stop(row: Int) {
    state.withLock { state in
      guard state.rows.indices.contains(row), state.rows[row].end == nil else { return }
      _ = state.rows[row].complete(.stop)
      state.ready.removeAll { $0.row == row }
    }
  }

  /// Reads the prompts, or the tokens that were chosen last, and chooses the next ones.
  private func advance(_ state: inout State) throws(LTMError) {
    let none = [[Int]](repeating: [], count: session.rows)
    try session.read(state.isStarted ? none : request.prompts, run: number)
    state.isStarted = true
    let scores = session.scores
    var chosen = [Int?](repeating: nil, count: session.rows)
    for row in state.rows.indices where state.rows[row].end == nil {
      let token = request.sampling.token(scores[row], row: row, place: state.rows[row].count)
      chosen[row] = token
      state.ready += state.rows[row].add(token, request).map { GeneratedToken(row: row, token: $0) }
    }
    session.note(chosen)
    for row in state.rows.indices where state.rows[row].end == nil && !session.hasRoom(row) {
      state.ready += state.rows[row].complete(.context).map { GeneratedToken(row: row, token: $0) }
    }
  }
}

/// A row that is written.
struct GeneratedRow: Sendable {
  /// How many tokens were chosen.
  private(set) var count = 0
  private(set) var end: GenerationEnd?
  /// Tokens that may be the beginning of what the row stops at.
  private var held: [Int] = []

  /// Takes a token; the tokens that can be given now.
  mutating func add(_ token: Int, _ request: GenerationRequest) -> [Int] {
    count += 1
    if request.end.contains(token) { return complete(.end) }
    held.append(token)
    if let stop = request.stop.first(where: { held.count >= $0.count && held.suffix($0.count) == $0[...] }) {
      held.removeLast(stop.count)
      return complete(.stop)
    }
    if count == request.length { return complete(.length) }
    let kept = request.stop.map { overlap(with: $0) }.max() ?? 0
    defer { held = Array(held.suffix(kept)) }
    return Array(held.dropLast(kept))
  }

  /// Ends the row; the tokens that were held.
  mutating func complete(_ reason: GenerationEnd) -> [Int] {
    end = reason
    defer { held = [] }
    return held
  }

  /// How many of the last tokens are the first ones of a sequence.
  private func overlap(with stop: [Int]) -> Int {
    (0..<min(stop.count, held.count + 1)).last { held.suffix($0) == stop.prefix($0) } ?? 0
  }
}
