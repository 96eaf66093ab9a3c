import Foundation
import LTM

/// Writes a line to standard output. A closed pipe or a full disk ends the command with a message, not a trap.
func printLine(_ text: String) throws {
  do {
    try FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8))
  } catch {
    throw LTMError("cannot write to standard output: \(error.localizedDescription)")
  }
}

/// Writes a line to standard error, where progress and warnings go.
func printNote(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8)) }

/// `12.3 MB`, in powers of ten.
func byteCount(_ bytes: Int) -> String {
  let units = ["B", "kB", "MB", "GB", "TB"]
  var value = Double(bytes)
  var unit = 0
  while value >= 1000, unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  return unit == 0 ? "\(bytes) B" : format(value, value < 10 ? 2 : 1) + " " + units[unit]
}
