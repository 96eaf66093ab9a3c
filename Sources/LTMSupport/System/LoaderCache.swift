import Glibc

/// The list of the system's libraries that `ldconfig` makes and the loader reads.
package enum LoaderCache {
  /// The system's own.
  static let standard = readStandard()

  private static func readStandard() -> [UInt8] {
    guard let file = fopen("/etc/ld.so.cache", "re") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count < 64 << 20, case let count = fread(&block, 1, block.count, file), count > 0 {
      bytes += block[..<count]
    }
    return bytes
  }

  /// The paths that a list has for a name; none where it is no list.
  ///
  /// It begins with its name and version (20 bytes), the number of entries and 24 bytes more; an entry is five words, the
  /// last of 8 bytes, whose second and third are where its name and its path begin. An older list may stand before it.
  package static func paths(of name: String, in bytes: [UInt8]) -> [String] {
    guard let start = firstIndex(of: Array("glibc-ld.so.cache1.1".utf8), in: bytes) else { return [] }
    func word(_ offset: Int) -> Int? {
      guard offset + 4 <= bytes.count else { return nil }
      return (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    func text(_ offset: Int) -> String? {
      guard offset < bytes.count, let end = bytes[offset...].firstIndex(of: 0) else { return nil }
      return String(decoding: bytes[offset..<end], as: UTF8.self)
    }
    let (headerSize, entrySize) = (48, 24)
    let count = min(word(start + 20) ?? 0, bytes.count / entrySize)
    return (0..<count).compactMap { index in
      let entry = start + headerSize + index * entrySize
      guard let key = word(entry + 4), let value = word(entry + 8), text(start + key) == name else { return nil }
      return text(start + value).flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
  }

  /// Where a list of this form begins: at the start, or, after an older one, at a multiple of 8.
  private static func firstIndex(of magic: [UInt8], in bytes: [UInt8]) -> Int? {
    stride(from: 0, to: max(bytes.count - magic.count, 0), by: 8).first {
      bytes[$0..<($0 + magic.count)].elementsEqual(magic)
    }
  }
}
