import Foundation
import Synchronization

/// Ctrl-C sets a flag that is read between steps, so that a checkpoint is written before the command ends; a second one
/// ends it at once.
enum Interrupt {
  private static let requested = Atomic<Bool>(false)

  /// Starts watching; the closure says whether Ctrl-C was pressed.
  static func watch() -> @Sendable () -> Bool {
    signal(SIGINT) { _ in
      Interrupt.requested.store(true, ordering: .relaxed)
      signal(SIGINT, SIG_DFL)
    }
    return { requested.load(ordering: .relaxed) }
  }
}
