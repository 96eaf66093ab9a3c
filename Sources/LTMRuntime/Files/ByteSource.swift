import CRuntime
import Glibc
import LTMIR
import LTMSupport

/// Bytes with a name: a file that is read where asked, or memory. A reader checks its offsets against `count` before it
/// allocates anything, so that no number in a file can ask for more memory than the file has bytes.
final class ByteSource: Sendable {
  /// What messages call it.
  let path: String
  /// The number of bytes.
  let count: Int
  private let storage: Storage

  private enum Storage: Sendable {
    case memory([UInt8])
    case file(Int32)
  }

  /// Bytes in memory.
  init(path: String, bytes: [UInt8]) {
    self.path = path
    count = bytes.count
    storage = .memory(bytes)
  }

  /// Opens a regular file.
  init(path: String) throws(FileError) {
    let descriptor = path.contains("\0") ? -ENOENT : ltm_open_read(path)
    if descriptor < 0 { throw Self.openError(path, -descriptor) }
    var status = stat()
    let kind = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    guard kind == S_IFREG else {
      close(descriptor)
      throw kind == S_IFDIR
        ? FileError(path, "is a directory, not a file", remedy: "name a file in it")
        : FileError(path, "is not a regular file", remedy: "copy its content into a file")
    }
    self.path = path
    count = status.st_size
    storage = .file(descriptor)
  }

  deinit {
    if case .file(let descriptor) = storage { close(descriptor) }
  }

  /// The bytes `offset ..< offset + count`.
  func read(_ offset: Int, _ count: Int, _ what: String) throws(FileError) -> [UInt8] {
    guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else {
      throw FileError(
        path, "is truncated: \(what) needs \(count) bytes at byte \(offset), and the file has \(self.count)",
        remedy: "copy or download the file again")
    }
    switch storage {
    case .memory(let bytes): return Array(bytes[offset..<offset + count])
    case .file(let descriptor):
      var failure: Int32 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        (filled, failure) = Self.fill(buffer, from: descriptor, at: offset)
      }
      if failure != 0 { throw FileError(path, "cannot be read: \(systemMessage(failure))") }
      if bytes.count < count { throw FileError(path, "became shorter while it was read", remedy: "try again") }
      return bytes
    }
  }

  /// The bytes `offset ..< offset + count` where they lie, mapped into memory; `nil` for what is no large part of a file.
  func mapped(_ offset: Int, _ count: Int) -> MappedBytes? {
    guard case .file(let descriptor) = storage, count >= Self.leastMapped, offset >= 0, offset <= self.count - count
    else { return nil }
    let all = self.count
    guard let start = mmap(nil, all, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else { return nil }
    nonisolated(unsafe) let base = start
    return MappedBytes(UnsafeRawBufferPointer(start: base + offset, count: count)) { _ = munmap(base, all) }
  }

  /// Bytes below which reading is as well.
  private static let leastMapped = 64 << 20

  /// Everything, when it is no more than `limit` bytes.
  func all(limit: Int) throws(FileError) -> [UInt8] {
    if count > limit { throw FileError(path, "has \(count) bytes, more than the \(limit) that can be read at once") }
    return try read(0, count, "the file")
  }

  private static func fill(
    _ buffer: UnsafeMutableBufferPointer<UInt8>, from descriptor: Int32, at offset: Int
  ) -> (filled: Int, failure: Int32) {
    var filled = 0
    while filled < buffer.count, let base = buffer.baseAddress {
      let got = pread(descriptor, base + filled, min(buffer.count - filled, 1 << 30), offset + filled)
      if got == 0 { break }
      if got > 0 { filled += got } else if errno != EINTR { return (filled, errno) }
    }
    return (filled, 0)
  }

  private static func openError(_ path: String, _ code: Int32) -> FileError {
    switch code {
    case ENOENT, ENOTDIR: FileError(path, "no such file", remedy: "a path in a .ltm file is relative to that file")
    case EACCES, EPERM: FileError(path, "may not be read", remedy: "change its permissions")
    case _: FileError(path, "cannot be opened: \(systemMessage(code))")
    }
  }
}

extension [UInt8] {
  /// The little-endian number in the `size` bytes at `offset`; `nil` when they are not all there, or too large for an Int.
  func littleEndian(at offset: Int, size: Int) -> Int? {
    guard offset >= 0, offset <= count, size <= count - offset else { return nil }
    var value: UInt64 = 0
    for index in (0..<size).reversed() { value = value << 8 | UInt64(self[offset + index]) }
    return Int(exactly: value)
  }
}
