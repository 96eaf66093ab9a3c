import Glibc
import LTMSupport

/// A file that grows line by line, as a log does: what is written is there at once, for whoever reads along.
package final class AppendedFile {
  /// What messages call it.
  package let path: String
  private let descriptor: Int32
  /// Whether it held nothing when it was opened.
  package let isEmpty: Bool

  /// Opens a file, or makes it. `appends` keeps what it holds.
  package init(_ path: String, appends: Bool) throws(FileError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (appends ? 0 : O_TRUNC), 0o666)
    guard descriptor >= 0 else {
      throw FileError(
        path, "cannot be written: \(systemMessage(errno))", remedy: "name a folder that exists and is writable")
    }
    var status = stat()
    isEmpty = fstat(descriptor, &status) != 0 || status.st_size == 0
  }

  deinit { close(descriptor) }

  /// Appends text.
  package func write(_ text: String) throws(FileError) { try write(Array(text.utf8)) }

  /// Appends bytes.
  package func write(_ bytes: [UInt8]) throws(FileError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        let full = errno == ENOSPC || errno == EDQUOT
        throw FileError(
          path, "cannot be written: \(full ? "the disk is full" : systemMessage(errno))",
          remedy: "free some space, or write to another disk")
      }
    }
  }
}
