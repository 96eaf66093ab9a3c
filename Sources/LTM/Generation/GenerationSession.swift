import Dispatch
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport
import Synchronization

/// A model that writes text: several rows at a time, each from its own beginning, with what it has read in caches.
///
/// Weights and caches lie in memory once. Two programs use them: one reads many tokens of a prompt at a time, the other one
/// token of each row; both are compiled when they are first needed, and no more is, whatever the position.
///
/// ```swift
/// let session = try model.generationSession(precision: .bf16)
/// for try await token in try session.generate([session.tokens(of: "To be")], length: 200) { ... }
/// ```
public final class GenerationSession: Sendable {
  /// How many texts are written at a time.
  public let rows: Int
  /// How many tokens there are: 256 where tokens are bytes.
  public let vocabulary: Int
  /// How many tokens a text has at most, its prompt included; `nil` where there is no end.
  public let context: Int?
  /// Whether scores are the same bits however a text is cut into prompts, and whatever rows are written beside it: in f32 and
  /// f64, where the target promises it.
  public let sameBits: Bool
  private let entry: GenerationEntry
  private let policy: PrecisionPolicy
  private let backend: any Backend
  private let storage: SessionStorage
  private let state: Mutex<State>
  /// Where steps are computed that tasks of Swift wait for.
  let queue = DispatchQueue(label: "ltm.generation")

  /// Tokens of a prompt that are read at a time.
  static let mostPlaces = 64

  /// What changes from step to step.
  private struct State {
    /// By how many places of each row they read.
    var programs: [Int: GenerationProgram] = [:]
    /// Tokens that the caches hold, of each row.
    var lengths: [Int]
    /// Tokens that were chosen and are yet to be read.
    var unread: [[Int]]
    /// The scores behind each row's last token.
    var scores: [[Double]]
    /// Counts runs: only the latest may go on.
    var run = 0
  }

  init(
    _ model: Model, entry name: String, rows: Int, _ policy: PrecisionPolicy, _ execution: Execution, sameBits: Bool
  ) throws(LTMError) {
    guard rows > 0 else { throw LTMError("\(rows) texts are to be written: at least 1 is needed") }
    entry = try GenerationEntry(model, name)
    // 16 bits are rounded where kernels end, and which values share one depends on how many rows there are.
    let ordered = sameBits && policy.half == nil ? execution.backend.ordered : nil
    (self.rows, self.policy, self.sameBits) = (rows, policy, ordered != nil)
    backend = ordered ?? execution.backend
    (vocabulary, context) = (entry.vocabulary, entry.context)
    storage = SessionStorage(contents: WeightSource(model).contents)
    state = Mutex(
      State(
        lengths: [Int](repeating: 0, count: rows), unread: [[Int]](repeating: [], count: rows),
        scores: [[Double]](repeating: [], count: rows)))
  }

  /// The tokens of a text, where they are bytes.
  public func tokens(of text: String) throws(LTMError) -> [Int] {
    guard vocabulary == 256 else {
      throw LTMError(
        "a text is read byte by byte, and the model has \(vocabulary) tokens, not 256",
        notes: ["give the numbers of its tokens"])
    }
    return text.utf8.map(Int.init)
  }

  /// Writes on: each row's prompt is read behind what the row holds, then tokens are chosen one by one. They are computed as
  /// they are asked for; a task that is cancelled computes no more.
  ///
  /// - Parameters:
  ///   - prompts: one for each row, of any lengths.
  ///   - length: how many tokens a row gets at most.
  ///   - end: tokens that end a row, and are not given.
  ///   - stop: sequences of tokens that end a row, and are not given.
  public func generate(
    _ prompts: [[Int]], length: Int, sampling: Sampling = Sampling(), end: Set<Int> = [], stop: [[Int]] = []
  ) throws(LTMError) -> GeneratedTokens {
    try sampling.check()
    guard length > 0 else { throw LTMError("\(length) tokens are to be written: at least 1 is needed") }
    let number = try begin(prompts)
    let request = GenerationRequest(
      prompts: prompts, length: length, sampling: sampling, end: end, stop: stop.filter { !$0.isEmpty })
    return GeneratedTokens(GenerationRun(self, request, number: number))
  }

  /// Forgets all texts: every row begins anew, and all caches are zeros.
  public func reset() throws(LTMError) {
    try storage.resetCaches()
    state.withLock { state in
      state.lengths = [Int](repeating: 0, count: rows)
      state.unread = [[Int]](repeating: [], count: rows)
      state.scores = [[Double]](repeating: [], count: rows)
      state.run += 1
    }
  }

  /// Bytes by use: weights and caches once, and what both programs have to themselves.
  public var memory: MemoryUse {
    var use = storage.memory
    let programs = state.withLock { $0.programs.values.map(\.memory) }
    for memory in programs {
      use.arena += memory.arena
      use.workspaces += memory.workspaces
      use.arguments += memory.arguments
    }
    return use
  }

  /// How many programs were compiled so far.
  package var programCount: Int { state.withLock { $0.programs.count } }

  // MARK: Steps

  private func begin(_ prompts: [[Int]]) throws(LTMError) -> Int {
    guard prompts.count == rows else {
      throw LTMError("there are \(prompts.count) prompts, and the session has \(rows) rows")
    }
    return try state.withLock { (state) throws(LTMError) in
      for (row, prompt) in prompts.enumerated() {
        try check(prompt, row: row, before: state.lengths[row] + state.unread[row].count)
      }
      state.run += 1
      return state.run
    }
  }

  private func check(_ prompt: [Int], row: Int, before: Int) throws(LTMError) {
    let name = rows == 1 ? "the prompt" : "prompt \(row)"
    guard !prompt.isEmpty else { throw LTMError("\(name) is empty", notes: ["give at least one token"]) }
    if let bad = prompt.first(where: { !(0..<vocabulary).contains($0) }) {
      throw LTMError("\(name) has the token \(bad)", notes: ["the model has tokens 0 to \(vocabulary - 1)"])
    }
    if let context, before + prompt.count > context {
      let behind = before > 0 ? " behind the \(before) that were read" : ""
      throw LTMError(
        "\(name) has \(prompt.count) tokens\(behind), and the model's context is \(context)",
        notes: ["give a shorter prompt, or a model of a longer context"])
    }
  }

  /// Reads tokens behind what rows hold, some of each or none; afterwards the scores behind the last of them are there.
  package func read(_ texts: [[Int]], run: Int? = nil) throws(LTMError) {
    try storage.exclusively { () throws(LTMError) in
      try state.withLock { (state) throws(LTMError) in
        if let run, run != state.run { throw LTMError("the session writes another text since, or was reset") }
        var all = texts
        for row in 0..<rows where state.lengths[row] + state.unread[row].count + texts[row].count <= context ?? Int.max
        {
          all[row] = state.unread[row] + texts[row]
          state.unread[row] = []
        }
        try read(all, &state)
      }
    }
  }

  /// A token for each row that goes on; `nil` for others.
  func note(_ chosen: [Int?]) {
    state.withLock { state in
      for (row, token) in chosen.enumerated() { if let token { state.unread[row].append(token) } }
    }
  }

  /// The scores behind each row's last token.
  package var scores: [[Double]] { state.withLock { $0.scores } }

  /// Whether a row has room for another token behind those that were chosen.
  func hasRoom(_ row: Int) -> Bool {
    guard let context else { return true }
    return state.withLock { $0.lengths[row] + $0.unread[row].count } <= context
  }

  private func read(_ texts: [[Int]], _ state: inout State) throws(LTMError) {
    var done = [Int](repeating: 0, count: rows)
    while true {
      let rest = texts.indices.map { texts[$0].count - done[$0] }
      guard let most = rest.max(), most > 0 else { return }
      let places = places(for: rest, state.lengths)
      let program = try program(places, &state)
      let (lengths, taken) = (state.lengths, rest.map { min($0, places) })
      try program.run(
        token: { row, place in place < taken[row] ? texts[row][done[row] + place] : 0 },
        position: { row in min(lengths[row], (context ?? Int.max) - places) }, last: { row in max(taken[row] - 1, 0) })
      for row in 0..<rows where taken[row] > 0 {
        done[row] += taken[row]
        state.lengths[row] += taken[row]
        let first = row * vocabulary
        if done[row] == texts[row].count { state.scores[row] = Array(program.scores[first..<first + vocabulary]) }
      }
    }
  }

  /// How many tokens of each row are read next: as many as the larger program takes, where all rows have room for them. What a
  /// row lacks is filled up, and written over later; a ring has no room for that.
  private func places(for rest: [Int], _ lengths: [Int]) -> Int {
    let many = min(Self.mostPlaces, context ?? Self.mostPlaces, entry.ring ?? Self.mostPlaces)
    guard many > 1, let most = rest.max(), let least = rest.min(), most > 1 else { return 1 }
    if entry.ring != nil, least < many { return 1 }
    return lengths.allSatisfy { $0 + many <= context ?? Int.max } ? many : 1
  }

  private func program(_ places: Int, _ state: inout State) throws(LTMError) -> GenerationProgram {
    if let known = state.programs[places] { return known }
    let made = try GenerationProgram(entry, rows: rows, places: places, policy, backend, in: storage)
    state.programs[places] = made
    return made
  }
}

extension Model {
  /// A session that writes text by an entry `func next(text: i32[B, T], position: i32[B], last: i32[B]) -> [B, vocab]`, which
  /// keeps what it has read in caches.
  ///
  /// - Parameters:
  ///   - entry: its name.
  ///   - rows: how many texts are written at a time.
  ///   - sameBits: whether scores in f32 shall be the same bits however a text is cut into prompts, where the target promises
  ///     it; reading long prompts takes longer then.
  public func generationSession(
    _ entry: String = "next", rows: Int = 1, precision: Precision = .thirtyTwo, ampLevel: OptLevel? = nil,
    execution: Execution? = nil, sameBits: Bool = true
  ) throws(LTMError) -> GenerationSession {
    let execution = try Execution(reusing: execution)
    let policy = try reporting { try PrecisionPolicy(precision, level: ampLevel, sixteen: execution.target.sixteen) }
    return try generationSession(entry, rows: rows, policy: policy, execution: execution, sameBits: sameBits)
  }

  /// The same under a policy that is decided already.
  public func generationSession(
    _ entry: String = "next", rows: Int = 1, policy: PrecisionPolicy, execution: Execution, sameBits: Bool = true
  ) throws(LTMError) -> GenerationSession {
    try GenerationSession(self, entry: entry, rows: rows, policy, execution, sameBits: sameBits)
  }
}
