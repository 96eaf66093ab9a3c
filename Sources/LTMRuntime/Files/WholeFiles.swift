import Glibc
import LTMSupport

/// All bytes of a text file.
package func readFile(_ path: String) throws(FileError) -> [UInt8] {
  // Larger than any text that a later phase accepts, so that it can say so in its own words.
  try ByteSource(path: path).all(limit: 64 << 20)
}

/// Makes a folder, with those above it; one that is there already is fine.
package func makeFolder(_ path: String) throws(FileError) {
  var made = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    made += made.isEmpty || made == "/" ? String(part) : "/\(part)"
    if mkdir(made, 0o777) == 0 || errno == EEXIST { continue }
    throw FileError(made, "cannot be made: \(systemMessage(errno))", remedy: "name a folder that may be written to")
  }
  var status = stat()
  guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
    throw FileError(path, "is not a folder", remedy: "name another, or remove it")
  }
}
