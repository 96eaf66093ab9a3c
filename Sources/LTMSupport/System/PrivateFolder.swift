import Glibc

/// A folder that no other user can write to, held by its descriptor, so that it stays the one that was looked at. What is
/// executed or trusted later is kept in one.
package final class PrivateFolder: Sendable {
  /// Where it was when it was opened.
  package let path: String
  private let descriptor: Int32

  /// Why a folder, or a file in it, is not used.
  package enum Refusal: Error, Hashable {
    /// It cannot be made, opened or read.
    case unusable(String)
    /// Somebody else may have written it.
    case untrusted(String)

    /// The reason in words.
    package var reason: String {
      switch self {
      case .unusable(let reason), .untrusted(let reason): reason
      }
    }
  }

  /// Opens a folder. What is missing of the path is made, for this user alone.
  package init(path: String) throws(Refusal) {
    Self.make(path)
    let opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw .unusable("\(path): \(systemMessage(errno))") }
    do throws(Refusal) {
      try Self.check(opened, path)
    } catch {
      close(opened)
      throw error
    }
    (self.path, descriptor) = (path, opened)
  }

  /// A new folder among the system's temporary ones.
  package static func temporary() throws(Refusal) -> PrivateFolder {
    var path = Array("\(environment("TMPDIR") ?? "/tmp")/ltm-XXXXXX".utf8CString)
    let isMade = mkdtemp(&path) != nil
    let reason = systemMessage(errno)
    let name = String(decoding: path.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    guard isMade else { throw .unusable("\(name): \(reason)") }
    return try PrivateFolder(path: name)
  }

  deinit { close(descriptor) }

  /// Whether files can be made here.
  package var isWritable: Bool { faccessat(descriptor, ".", W_OK | X_OK, 0) == 0 }

  private static func make(_ path: String) {
    var made = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
      made += "/" + part
      mkdir(made, 0o700)
    }
  }

  /// Throws where another user may have chosen the folder, or may write into it.
  private static func check(_ descriptor: Int32, _ path: String) throws(Refusal) {
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, ![0, geteuid()].contains(status.st_uid) {
      throw .untrusted("\(path): user \(status.st_uid) made this link")
    }
    guard fstat(descriptor, &status) == 0 else { throw .unusable("\(path): \(systemMessage(errno))") }
    if let problem = problem(status) { throw .untrusted("\(path): \(problem)") }
    guard let resolved = realpath(path, nil) else { throw .unusable("\(path): \(systemMessage(errno))") }
    defer { free(resolved) }
    var parent = String(cString: resolved)
    while let slash = parent.lastIndex(of: "/"), parent != "/" {
      parent = slash == parent.startIndex ? "/" : String(parent[..<slash])
      guard stat(parent, &status) == 0 else { throw .unusable("\(parent): \(systemMessage(errno))") }
      if status.st_mode & 0o1002 == 0o002 { throw .untrusted("\(parent): anyone may replace what lies in it") }
    }
  }

  /// Why what has this status is not this user's alone; `nil` where it is.
  private static func problem(_ status: stat) -> String? {
    if status.st_uid != geteuid() { return "it belongs to user \(status.st_uid)" }
    if status.st_mode & 0o022 != 0 { return "other users may write to it" }
    return nil
  }
}

// MARK: Files

extension PrivateFolder {
  /// The bytes of a file that this user made; `nil` where there is none, or none of less than `limit` bytes.
  package func read(_ name: String, limit: Int = 1 << 30) throws(Refusal) -> [UInt8]? {
    // Not blocking: a pipe has no end to wait for.
    let file = openat(descriptor, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    if file < 0 {
      if errno == ELOOP { throw .untrusted("\(path)/\(name): it is a link") }
      return nil
    }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { return nil }
    if status.st_mode & S_IFMT != S_IFREG { throw .untrusted("\(path)/\(name): it is no file") }
    if let problem = Self.problem(status) { throw .untrusted("\(path)/\(name): \(problem)") }
    guard status.st_size < limit else { return nil }
    // The time of last use, for whoever removes what is old.
    futimens(file, nil)
    return Self.readAll(file, Int(status.st_size))
  }

  private static func readAll(_ file: Int32, _ size: Int) -> [UInt8]? {
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        let got = Glibc.read(file, buffer.baseAddress.map { $0 + count }, size - count)
        if got <= 0 { return }
        count += got
      }
    }
    return bytes.count == size ? bytes : nil
  }

  /// Writes a file, whole or not at all, in place of what has its name; `false` where that cannot be done.
  @discardableResult
  package func write(_ bytes: [UInt8], to name: String) -> Bool {
    let partial = ".\(name).\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
    let file = openat(descriptor, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard file >= 0 else { return false }
    let isWhole = Self.writeAll(file, bytes)
    if close(file) == 0, isWhole, renameat(descriptor, partial, descriptor, name) == 0 { return true }
    remove(partial)
    return false
  }

  private static func writeAll(_ file: Int32, _ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let wrote = Glibc.write(file, buffer.baseAddress.map { $0 + done }, buffer.count - done)
        if wrote <= 0 { return false }
        done += wrote
      }
      return true
    }
  }

  /// Removes a file.
  package func remove(_ name: String) { unlinkat(descriptor, name, 0) }

  /// Removes the files, and the folder itself where nothing else is in it.
  package func removeAll() {
    files().forEach { remove($0.name) }
    rmdir(path)
  }

  /// The files, with when each was used or written last, in seconds since 1970.
  package func files() -> [(name: String, used: Int, size: Int)] {
    let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0, let directory = fdopendir(copy) else { return [] }
    defer { closedir(directory) }
    var files: [(name: String, used: Int, size: Int)] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      var status = stat()
      guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT != S_IFDIR else {
        continue
      }
      files.append((name, status.st_mtim.tv_sec, Int(status.st_size)))
    }
    return files
  }
}
