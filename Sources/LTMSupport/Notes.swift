import Glibc
import Synchronization

/// What is worth a word though nothing failed: each note is told once, on standard error unless a program takes them.
public enum Notes {
  private struct State {
    var told: Set<String> = []
    var receive: @Sendable (Diagnostic) -> Void = Notes.printed
  }

  private static let state = Mutex(State())

  /// Takes the notes from now on, in place of standard error. It may be called from any thread.
  public static func handle(_ receive: @escaping @Sendable (Diagnostic) -> Void) {
    state.withLock { $0.receive = receive }
  }

  /// Tells a note, unless one on the same topic was told before.
  package static func tell(_ note: Diagnostic, topic: String) {
    let receive = state.withLock { $0.told.insert(topic).inserted ? $0.receive : nil }
    receive?(note)
  }

  private static func printed(_ note: Diagnostic) {
    let text = Array((note.rendered() + "\n").utf8)
    _ = write(STDERR_FILENO, text, text.count)
  }
}
