import CRuntime
import Glibc
import LTMSupport

/// Writes a file so that, whatever happens, the path holds the old content or the new one, whole: the content goes into a
/// file beside it, which is flushed to the disk and then renamed over the path; the folder is flushed last.
///
/// The file beside has one fixed name, `.NAME.partial`. A process that is killed leaves at most that one behind, and the
/// next save takes it over; a lock on it keeps two savers from writing at once.
package func writeAtomically(_ path: String, _ body: (PartialFile) throws(FileError) -> Void) throws(FileError) {
  do {
    try writeAtomicallyFrom(path) { (file) throws in try body(file) }
  } catch let error as FileError {
    throw error
  } catch {
    throw FileError(path, "cannot be written: \(error)")
  }
}

/// The same where what is written comes from something that can fail in its own way, as a device does.
package func writeAtomicallyFrom(_ path: String, _ body: (PartialFile) throws -> Void) throws {
  let file = try PartialFile(for: path)
  defer { file.close() }
  do {
    try body(file)
    try file.commit()
  } catch {
    file.remove()
    throw error
  }
}

/// Writes `bytes` as the content of a file, whole or not at all.
package func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(FileError) {
  try writeAtomically(path) { (file) throws(FileError) in try file.write(bytes) }
}

/// Throws what saving to a path would throw at once, so that it is said before hours of training and not after them.
package func checkWritable(_ path: String) throws(FileError) {
  let file = try PartialFile(for: path)
  file.remove()
  file.close()
}

/// The file beside a path, until it takes the path's place.
package struct PartialFile {
  /// What messages call it: the path as the user gave it.
  private let path: String
  /// The path with symbolic links resolved: a link stays a link, and what it names is replaced.
  private let target: String
  private let folder: String
  private let partial: String
  private let descriptor: Int32

  fileprivate init(for path: String) throws(FileError) {
    self.path = path
    let existing = try existingFile(path)
    let target = existing?.resolved ?? path
    let slash = target.lastIndex(of: "/")
    let folder = slash.map { String(target[...$0]) } ?? "./"
    let name = slash.map { String(target[target.index(after: $0)...]) } ?? target
    if name.isEmpty || name == "." || name == ".." || path.contains("\0") {
      throw FileError(path, "is not the name of a file", remedy: "add a file name")
    }
    self.target = target
    self.folder = folder
    partial = "\(folder).\(name).partial"
    descriptor = try openLocked(partial, for: path, mode: existing?.mode ?? 0o666)
    if let existing { fchmod(descriptor, existing.mode) }
  }

  /// Appends bytes.
  package func write(_ bytes: [UInt8]) throws(FileError) {
    let failure = bytes.withUnsafeBytes(append)
    if failure != 0 { throw writeError(path, failure) }
  }

  /// Appends bytes from where they lie.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    let failure = append(bytes)
    if failure != 0 { throw writeError(path, failure) }
  }

  /// Appends bytes; gives the number of the error that stopped it, or 0.
  private func append(_ bytes: UnsafeRawBufferPointer) -> Int32 {
    var written = 0
    while written < bytes.count {
      let count = min(bytes.count - written, 1 << 30)
      let got = Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, count)
      if got > 0 { written += got } else if errno != EINTR { return errno }
    }
    return 0
  }

  /// Flushes the content and gives it the path's name.
  fileprivate func commit() throws(FileError) {
    if fsync(descriptor) != 0 { throw writeError(path, errno) }
    if rename(partial, target) != 0 { throw writeError(path, errno) }
    // Some file systems cannot flush a folder; the content is whole either way.
    let directory = ltm_open_read(folder)
    if directory >= 0 {
      fsync(directory)
      Glibc.close(directory)
    }
  }

  fileprivate func remove() { unlink(partial) }

  fileprivate func close() { Glibc.close(descriptor) }
}

/// What stands at a path that is to be written, if anything.
private func existingFile(_ path: String) throws(FileError) -> (resolved: String, mode: mode_t)? {
  var status = stat()
  guard stat(path, &status) == 0 else { return nil }
  switch status.st_mode & S_IFMT {
  case S_IFREG: break
  case S_IFDIR: throw FileError(path, "is a directory, not a file", remedy: "add a file name")
  case _: throw FileError(path, "is not a regular file", remedy: "name a file that can be replaced")
  }
  if access(path, W_OK) != 0 { throw writeError(path, errno) }
  guard let resolved = realpath(path, nil) else { throw writeError(path, errno) }
  defer { free(resolved) }
  return (String(cString: resolved), status.st_mode & 0o7777)
}

/// Opens the file beside, empty and locked.
private func openLocked(_ partial: String, for path: String, mode: mode_t) throws(FileError) -> Int32 {
  for _ in 0..<16 {
    let (descriptor, isNew) = openPartial(partial, mode)
    if descriptor == -ENOENT, !isNew { continue }
    if descriptor < 0 { throw writeError(path, -descriptor) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw FileError(path, "is being written by another process", remedy: "wait for it, or write another file")
    }
    // Between the opening and the lock its last holder may have renamed it into place.
    var opened = stat()
    var named = stat()
    let isSame =
      fstat(descriptor, &opened) == 0 && lstat(partial, &named) == 0 && opened.st_ino == named.st_ino
      && opened.st_dev == named.st_dev
    if isSame, !isNew, !isOwn(opened) {
      close(descriptor)
      throw FileError(
        path, "cannot be written: \(partial), which it is written to first, was put there by another user",
        remedy: "remove that file, or write into another folder")
    }
    if isSame, ftruncate(descriptor, 0) == 0 { return descriptor }
    close(descriptor)
  }
  throw FileError(path, "is being written by another process", remedy: "wait for it, or write another file")
}

/// Opens the file beside: a new one, or that of a process that was killed. A failure is a negative number.
private func openPartial(_ partial: String, _ mode: mode_t) -> (descriptor: Int32, isNew: Bool) {
  let flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
  let made = open(partial, flags | O_CREAT | O_EXCL, mode)
  if made >= 0 { return (made, true) }
  if errno != EEXIST { return (-errno, true) }
  let found = open(partial, flags)
  return (found >= 0 ? found : -errno, false)
}

/// Whether nobody else can write to a file that was there: what is in it when it is renamed is then what was written.
private func isOwn(_ status: stat) -> Bool {
  status.st_mode & S_IFMT == S_IFREG && status.st_uid == geteuid() && status.st_nlink == 1
}

private func writeError(_ path: String, _ code: Int32) -> FileError {
  switch code {
  case ENOSPC, EDQUOT:
    FileError(path, "cannot be written: the disk is full", remedy: "free some space, or write to another disk")
  case EFBIG:
    FileError(
      path, "cannot be written: the file would be larger than is allowed here", remedy: "raise the limit (ulimit -f)")
  case EACCES, EPERM, EROFS:
    FileError(path, "may not be written", remedy: "change the permissions, or write into another folder")
  case ENOENT, ENOTDIR: FileError(path, "cannot be written: its folder does not exist", remedy: "make the folder first")
  case _: FileError(path, "cannot be written: \(systemMessage(code))")
  }
}
