import CRuntime
import Glibc
import LTMRuntime
import LTMSupport
import Synchronization

/// How a thread waits for other ranks: it looks again and again where someone waits for the result, seldom where the cores are
/// at work on something else, and not for ever.
final class Patience: Sendable {
  /// Seconds after which a wait is given up.
  let limit: Double
  private let rank: Int
  /// How many threads wait for what is under way.
  let waiters = Atomic(0)
  /// What is under way, in words.
  let subject = Mutex("")

  private static let sleep: UInt32 = 100

  init(rank: Int, limit: Double) { (self.rank, self.limit) = (rank, limit) }

  func begin() -> Wait { Wait(patience: self, begin: ResourceUsage.monotonicSeconds) }

  /// One wait.
  struct Wait {
    fileprivate let patience: Patience
    fileprivate let begin: Double
    private var looks = 0

    fileprivate init(patience: Patience, begin: Double) { (self.patience, self.begin) = (patience, begin) }

    /// Lets some time go by; throws once it is too much.
    mutating func pause(for peer: Int) throws(Diagnostic) {
      looks += 1
      let isUrgent = patience.waiters.load(ordering: .relaxed) > 0
      if looks < 64 { ltm_pause() } else if isUrgent { sched_yield() } else { usleep(Patience.sleep) }
      guard looks % 256 == 0 else { return }
      let waited = ResourceUsage.monotonicSeconds - begin
      guard waited > patience.limit else { return }
      let subject = patience.subject.withLock { $0 }
      throw Diagnostic(
        .error,
        "rank \(patience.rank) has waited \(Int(waited)) s for rank \(peer), at \(subject)",
        notes: [
          "rank \(peer) hangs, was stopped, or is at something that takes longer; --collective-timeout waits longer or less"
        ])
    }
  }
}
