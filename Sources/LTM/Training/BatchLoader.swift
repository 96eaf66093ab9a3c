import Dispatch
import LTMIR
import LTMRuntime
import Synchronization

/// Gathers batches ahead of the step, on threads of its own: worth it where rows lie in a mapped file and not yet in memory, or are images to decode. Which rows a batch has
/// is known by its number alone, so that neither the threads nor their number change anything.
final class BatchLoader: @unchecked Sendable {
  /// A batch that is on its way.
  private final class Loading: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let batch = Mutex<Result<[String: Tensor], FileError>>(.success([:]))

    func finish(_ made: Result<[String: Tensor], FileError>) {
      batch.withLock { $0 = made }
      done.signal()
    }

    func wait() throws(FileError) -> [String: Tensor] {
      done.wait()
      return try batch.withLock { $0 }.get()
    }
  }

  /// How many threads decode images where nobody says.
  static let threadsForImages = 2

  private let split: Dataset.Split
  private let threads: Int
  private let limit: Int
  private let queue: DispatchQueue
  private let slots: DispatchSemaphore
  private let loading = Mutex<[Int: Loading]>([:])

  /// - Parameters:
  ///   - names: the parameters that the step takes.
  ///   - limit: the number of attempts; none is loaded for later ones.
  init(_ split: Dataset.Split, names: Set<String>, threads: Int, limit: Int) {
    self.split = split.only(names)
    (self.threads, self.limit) = (threads, limit)
    queue = DispatchQueue(label: "ltm.batches", attributes: .concurrent)
    slots = DispatchSemaphore(value: threads)
  }

  /// The batch of an attempt; those of the next ones are begun.
  func batch(_ attempt: Int, rows: (Int) -> ArraySlice<Int32>) throws(FileError) -> [String: Tensor] {
    for next in attempt..<min(attempt + threads + 1, limit) {
      let isBegun = loading.withLock { $0[next] != nil }
      if !isBegun { begin(next, rows(next)) }
    }
    guard let begun = loading.withLock({ $0.removeValue(forKey: attempt) }) else {
      return try split.batch(rows(attempt))
    }
    return try begun.wait()
  }

  private func begin(_ attempt: Int, _ rows: ArraySlice<Int32>) {
    let one = Loading()
    loading.withLock { $0[attempt] = one }
    queue.async { [split, slots] in
      slots.wait()
      defer { slots.signal() }
      one.finish(Result { () throws(FileError) in try split.batch(rows) })
    }
  }
}
