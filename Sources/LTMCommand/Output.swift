import Foundation
import LTM
import LTMRuntime

/// Writes a line to standard output.
func printLine(_ text: String) throws { try printText(text + "\n") }

/// Writes to standard output. A closed pipe or a full disk ends the command with a message, not a trap.
func printText(_ text: String) throws {
  if let reason = writeAll(Array(text.utf8), to: STDOUT_FILENO) {
    throw LTMError("cannot write to standard output: \(reason)")
  }
}

/// Writes every byte; gives the system's reason where it cannot.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> String? {
  var rest = bytes[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count >= 0 {
      rest = rest.dropFirst(count)
    } else if errno != EINTR {
      return String(cString: strerror(errno))
    }
  }
  return nil
}

/// The files that flags name, of those flags that are given.
func files(_ flags: [(flag: String, path: String?)]) -> [FileUse] {
  flags.compactMap { flag, path in path.map { FileUse(flag, $0) } }
}

/// Throws where a file that is written is one that is read, or written twice.
func checkFiles(_ outputs: [FileUse], inputs: [FileUse]) throws(LTMError) {
  do {
    try checkOutputs(outputs, inputs: inputs)
  } catch {
    throw LTMError(error.diagnostic)
  }
}

/// Throws where a file that a command makes anew is there already: someone may have changed it since.
func requireFree(_ paths: [String], force: Bool) throws(LTMError) {
  guard !force, let there = paths.first(where: { FileManager.default.fileExists(atPath: $0) }) else { return }
  var status = stat()
  // A device or a pipe holds nothing that could be lost.
  guard stat(there, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else { return }
  throw LTMError("\(there): is there already", notes: ["--force writes over it"])
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
