import Foundation
import LTMRuntime
import LTMSupport
import Synchronization

/// The ranks of a job as one of them sees them. All messages are sent and received by a thread of its own, one collective after
/// the other, in the order in which they were started: the same on every rank.
package final class RankThread: @unchecked Sendable {
  package let rank: Int
  package let count: Int
  /// What moves the bytes, for people.
  package let transport: String
  private let patience: Patience
  private let exchange: Exchange
  private let condition = NSCondition()
  /// Under `condition`.
  private var jobs: [Job] = []
  private var started = 0
  private var failure: Diagnostic?
  private var isStopping = false
  private var hasStopped = false
  private let done = Atomic(0)
  private var times = CollectiveTimes()
  /// When a plan began its first collective that it has not waited for yet.
  private var openSince: Double?

  private struct Job {
    let subject: String
    /// Whether it is a collective of a plan, whose time is counted.
    let isCounted: Bool
    let work: @Sendable (Exchange) throws(Diagnostic) -> Void
  }

  /// Seconds that a rank waits for another one, where nothing else is said.
  package static let usualLimit = 600.0

  /// Starts the thread, on which `open` makes the transport.
  ///
  /// - Parameter limit: seconds that a rank waits for another one.
  package static func start(
    limit: Double = usualLimit, _ open: @escaping @Sendable () throws(Diagnostic) -> any Transport
  ) throws(Diagnostic) -> RankThread {
    let made = Mutex<Result<RankThread, Diagnostic>?>(nil)
    let isMade = DispatchSemaphore(value: 0)
    let thread = Thread {
      do throws(Diagnostic) {
        let transport = try open()
        let patience = Patience(rank: transport.rank, limit: limit)
        let ranks = RankThread(try Exchange(transport, patience), patience)
        made.withLock { $0 = .success(ranks) }
        isMade.signal()
        ranks.run()
      } catch {
        made.withLock { $0 = .failure(error) }
        isMade.signal()
      }
    }
    thread.name = "ltm.ranks"
    thread.start()
    isMade.wait()
    guard let result = made.withLock({ $0 }) else { throw .internalError(in: "ranks", "a thread did not start") }
    return try result.get()
  }

  private init(_ exchange: Exchange, _ patience: Patience) {
    (self.exchange, self.patience) = (exchange, patience)
    (rank, count) = (exchange.transport.rank, exchange.transport.count)
    transport = exchange.transport.description
  }

  // MARK: The thread

  private func run() {
    while let job = next() {
      patience.subject.withLock { $0 = job.subject }
      var problem: Diagnostic?
      let begin = ResourceUsage.monotonicSeconds
      if failure == nil { do throws(Diagnostic) { try job.work(exchange) } catch { problem = error } }
      let seconds = ResourceUsage.monotonicSeconds - begin
      condition.withLock {
        if job.isCounted { times.busy += seconds }
        failure = failure ?? problem
        done.add(1, ordering: .releasing)
        condition.broadcast()
      }
    }
    exchange.transport.finish()
    condition.withLock {
      hasStopped = true
      condition.broadcast()
    }
  }

  private func next() -> Job? {
    condition.withLock {
      while jobs.isEmpty && !isStopping { condition.wait() }
      return jobs.isEmpty ? nil : jobs.removeFirst()
    }
  }

  // MARK: Those who ask

  private func start(
    _ subject: String, isCounted: Bool = false, _ work: @escaping @Sendable (Exchange) throws(Diagnostic) -> Void
  ) -> Int {
    condition.withLock {
      if isCounted, openSince == nil { openSince = ResourceUsage.monotonicSeconds }
      jobs.append(Job(subject: subject, isCounted: isCounted, work: work))
      started += 1
      condition.broadcast()
      return started
    }
  }

  /// Begins to join arrays with those of the other ranks, in place. They must not be touched until it is done, which the
  /// number that it gives is asked for.
  ///
  /// - Parameter isCounted: whether it is a plan's, whose time is counted.
  package func start(_ arrays: [CollectiveArray], _ subject: String, isCounted: Bool = false) -> Int {
    nonisolated(unsafe) let arrays = arrays
    return start(subject, isCounted: isCounted) { (exchange) throws(Diagnostic) in try exchange.run(arrays) }
  }

  /// Waits for what was started.
  ///
  /// - Parameter isCounted: whether a plan waits, whose time is counted.
  package func wait(_ number: Int, isCounted: Bool = false) throws(Diagnostic) {
    if isCounted { close() }
    if done.load(ordering: .acquiring) >= number, failure == nil { return }
    patience.waiters.add(1, ordering: .relaxed)
    defer { patience.waiters.subtract(1, ordering: .relaxed) }
    let begin = ResourceUsage.monotonicSeconds
    let problem: Diagnostic? = condition.withLock {
      while done.load(ordering: .acquiring) < number { condition.wait() }
      if isCounted { times.waited += ResourceUsage.monotonicSeconds - begin }
      return failure
    }
    if let problem { throw problem }
  }

  /// What a plan did since it began its first collective is what could hide it.
  private func close() {
    condition.withLock {
      guard let begin = openSince else { return }
      times.available += ResourceUsage.monotonicSeconds - begin
      openSince = nil
    }
  }

  /// The bytes of each rank, on every rank.
  package func gather(_ bytes: [UInt8], _ subject: String) throws(Diagnostic) -> [[UInt8]] {
    if count == 1 { return [bytes] }
    let gathered = Mutex<[[UInt8]]>([])
    try wait(
      start(subject) { (exchange) throws(Diagnostic) in
        let all = try exchange.gather(bytes)
        gathered.withLock { $0 = all }
      })
    return gathered.withLock { $0 }
  }

  /// As many bytes of each rank one after the other, in `target` on rank 0 alone.
  package func collect(
    _ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer?, _ subject: String
  ) throws(Diagnostic) {
    nonisolated(unsafe) let (bytes, target) = (bytes, target)
    try wait(start(subject) { (exchange) throws(Diagnostic) in try exchange.collect(bytes, into: target) })
  }

  /// What the collectives of plans took so far.
  package var collectiveTimes: CollectiveTimes {
    condition.withLock {
      var times = times
      times.bytesSent = exchange.bytesSent
      return times
    }
  }

  /// Leaves in good order, once all ranks do.
  package func finish() {
    condition.withLock {
      isStopping = true
      condition.broadcast()
      while !hasStopped { condition.wait() }
    }
  }

  /// Ends the whole job: the launcher ends the other ranks.
  package func abort(_ code: Int32) { exchange.transport.abort(code) }
}

/// What the collectives of plans took.
package struct CollectiveTimes: Sendable {
  /// Seconds in which one was under way.
  package var busy = 0.0
  /// Seconds in which a step waited for one.
  package var waited = 0.0
  /// Seconds from the first collective of a step to the first wait: the work that could hide them.
  package var available = 0.0
  /// Bytes that this rank sent, texts among them.
  package var bytesSent = 0
}
