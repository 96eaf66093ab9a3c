/// What a PJRT plugin, or the way to it, reports.
package struct PJRTError: Error, Hashable, CustomStringConvertible {
  /// What was being done: `compiling for the device`.
  package let action: String
  /// The plugin's words, or ours.
  package let message: String

  init(_ action: String, _ message: String) {
    self.action = action
    self.message = message
  }

  /// `compiling for the device: ...`
  package var description: String { "\(action): \(message)" }
}
