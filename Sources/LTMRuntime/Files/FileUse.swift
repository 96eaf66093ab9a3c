import Glibc

/// A file that a command reads or writes, and what names it.
package struct FileUse: Sendable {
  /// What gives the path: `--save`, `the model`.
  package let what: String
  /// The path as the user gave it.
  package let path: String
  /// Whether it is a folder that receives numbered files, as `--dump` does.
  package let isDump: Bool

  /// A file, or a folder of numbered files.
  package init(_ what: String, _ path: String, isDump: Bool = false) {
    self.what = what
    self.path = path
    self.isDump = isDump
  }
}

/// Throws where an output is one of the inputs, or another output, under whatever spelling: before anything runs, since
/// afterwards the input is lost.
package func checkOutputs(_ outputs: [FileUse], inputs: [FileUse]) throws(FileError) {
  for (index, output) in outputs.enumerated() {
    if let input = inputs.first(where: { collide(output, $0) }) {
      throw FileError(
        output.path, "\(output.what) would write over \(input.what), which is read", remedy: "name another file")
    }
    if let other = outputs[..<index].first(where: { collide(output, $0) }) {
      throw FileError(output.path, "\(output.what) and \(other.what) name one file", remedy: "name another file")
    }
  }
}

/// Whether two spellings lead to one file.
package func isSameFile(_ a: String, _ b: String) -> Bool {
  FileIdentity(a).map { $0 == FileIdentity(b) } ?? false
}

private func collide(_ a: FileUse, _ b: FileUse) -> Bool {
  if let first = FileIdentity(a.path), first == FileIdentity(b.path) { return true }
  return isDumped(a.path, into: b) || isDumped(b.path, into: a)
}

/// Whether a dump may write a file of that name: it lies in the folder, and begins with a number.
private func isDumped(_ path: String, into dump: FileUse) -> Bool {
  let (folder, name) = split(path)
  guard dump.isDump, name.utf8.prefix(2).allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return false }
  return name.utf8.dropFirst(2).first == UInt8(ascii: "-") && FileIdentity(dump.path) == FileIdentity(folder)
}

/// What two spellings of one path have in common.
enum FileIdentity: Hashable {
  /// A file or folder that is there, whatever links lead to it.
  case existing(device: UInt64, inode: UInt64)
  /// A file that is not there yet: its name in a folder that is.
  case missing(folder: String, name: String)

  /// `nil` for a device or a pipe, which holds nothing that could be lost, and for a path in a folder that is not there.
  init?(_ path: String) { self.init(path, links: 0) }

  private init?(_ path: String, links: Int) {
    var status = stat()
    if stat(path, &status) == 0 {
      guard [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else { return nil }
      self = .existing(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
      return
    }
    let (folder, name) = split(path)
    if links < 40, let target = linkTarget(path) {
      self.init(target.hasPrefix("/") ? target : folder + "/" + target, links: links + 1)
      return
    }
    guard let resolved = realpath(folder, nil) else { return nil }
    defer { free(resolved) }
    self = .missing(folder: String(cString: resolved), name: name)
  }
}

/// A path's folder, `.` where it names none, and what stands behind it.
private func split(_ path: String) -> (folder: String, name: String) {
  guard let slash = path.lastIndex(of: "/") else { return (".", path) }
  let folder = path[..<slash]
  return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
}

/// What a symbolic link says; `nil` where there is none.
private func linkTarget(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
  let count = buffer.withUnsafeMutableBufferPointer { pointer in
    pointer.withMemoryRebound(to: CChar.self) { target in
      target.baseAddress.map { readlink(path, $0, target.count) } ?? 0
    }
  }
  return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}
