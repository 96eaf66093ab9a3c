import Glibc

/// The exit status of a mistake in ltm itself (EX_SOFTWARE of sysexits.h).
public let internalErrorStatus: Int32 = 70

/// Ends the process where code relies on what a verifier has proved and it does not hold after all: with a message and a
/// status of its own, never a trap. Whatever can throw throws ``Diagnostic/internalError(in:_:)`` instead.
package func internalFailure(_ part: String, _ detail: @autoclosure () -> String) -> Never {
  let text = "ltm: " + Diagnostic.internalError(in: part, detail()).rendered() + "\n"
  let bytes = Array(text.utf8)
  _ = write(STDERR_FILENO, bytes, bytes.count)
  exit(internalErrorStatus)
}

/// The same where a condition does not hold.
package func internalCheck(_ holds: Bool, _ part: String, _ detail: @autoclosure () -> String) {
  if !holds { internalFailure(part, detail()) }
}
