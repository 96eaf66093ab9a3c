import Glibc
import Synchronization

/// Machine code on disk, by a hash of everything that decides it. A file that cannot be written or read is no error: the
/// kernel is compiled again.
package struct ObjectCache: Sendable {
  /// The folder, which exists.
  package let folder: String
  /// Beyond this many bytes the files used least recently go.
  package let limit: Int

  /// `$LTM_CACHE`, or `ltm` in `$XDG_CACHE_HOME` or `~/.cache`; `nil` where that cannot be written. `LTM_CACHE=off` means none.
  package static let standard: ObjectCache? = {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if let chosen = variable("LTM_CACHE") { return chosen == "off" ? nil : ObjectCache(folder: chosen) }
    if let base = variable("XDG_CACHE_HOME") { return ObjectCache(folder: base + "/ltm") }
    return variable("HOME").flatMap { ObjectCache(folder: $0 + "/.cache/ltm") }
  }()

  /// Makes the folder where it is missing; `nil` where it cannot be written.
  package init?(folder: String, limit: Int = 256 << 20) {
    var path = folder.hasPrefix("/") ? "" : "."
    for part in folder.split(separator: "/") {
      path += "/" + part
      mkdir(path, 0o777)
    }
    guard access(folder, W_OK | X_OK) == 0 else { return nil }
    self.folder = folder
    self.limit = limit
  }

  private func path(_ key: String) -> String { "\(folder)/\(key).o" }

  /// Nobody writes one object for longer.
  private static let writingSeconds = 3600

  // A file: 8 bytes that name the format, 16 of checksum over the key and the object, then the object.
  private static let magic: [UInt8] = Array("ltmobj2\n".utf8)

  private static func checksum(_ object: [UInt8], _ key: String) -> [UInt8] { digest(Array(key.utf8) + object) }

  /// The object under a key, if it is there and whole.
  package func object(for key: String) -> [UInt8]? {
    guard let bytes = readFile(path(key)), bytes.count > 24, bytes.starts(with: Self.magic) else { return nil }
    let object = Array(bytes[24...])
    guard Array(bytes[8..<24]) == Self.checksum(object, key) else { return nil }
    // The time of last use, for pruning.
    utimes(path(key), nil)
    return object
  }

  /// Keeps an object. A reader sees the whole file or none.
  package func store(_ object: [UInt8], for key: String) {
    let temporary = "\(folder)/.\(key).\(getpid()).\(UInt(pthread_self()))"
    guard writeFile(temporary, Self.magic + Self.checksum(object, key) + object), rename(temporary, path(key)) == 0
    else {
      unlink(temporary)
      return
    }
    // Looking at the whole folder each time would cost more than it saves.
    if key.hasPrefix("0") { prune() }
  }

  /// Removes what was used least recently until the rest fits, and what writers left behind that were ended.
  package func prune() {
    guard let directory = opendir(folder) else { return }
    defer { closedir(directory) }
    var files: [(path: String, used: Int, size: Int)] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      var status = stat()
      guard stat("\(folder)/\(name)", &status) == 0 else { continue }
      if name.hasPrefix("."), status.st_mode & S_IFMT == S_IFREG,
        status.st_mtim.tv_sec < time(nil) - Self.writingSeconds
      {
        unlink("\(folder)/\(name)")
      }
      guard name.hasSuffix(".o") else { continue }
      files.append(("\(folder)/\(name)", status.st_mtim.tv_sec, Int(status.st_size)))
    }
    var total = files.reduce(0) { $0 + $1.size }
    for file in files.sorted(by: { $0.used < $1.used }) where total > limit {
      unlink(file.path)
      total -= file.size
    }
  }

  // MARK: Keys

  /// A key of 32 hexadecimal digits from everything that decides an object.
  package static func key(_ parts: [String]) -> String {
    // Lengths keep ["ab", "c"] apart from ["a", "bc"].
    let text = parts.map { "\($0.utf8.count):\($0)" }.joined()
    return digest(Array(text.utf8)).map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  /// 128 bits: two multiply-and-rotate lanes over 8-byte words, mixed at the end. For accidents, not for adversaries.
  static func digest(_ bytes: [UInt8]) -> [UInt8] {
    var (a, b): (UInt64, UInt64) = (0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F ^ UInt64(bytes.count))
    bytes.withUnsafeBytes { raw in
      for start in stride(from: 0, to: raw.count, by: 8) {
        var word: UInt64 = 0
        for index in start..<min(start + 8, raw.count) { word = word << 8 | UInt64(raw[index]) }
        a = mix((a ^ word) &* 0xFF51_AFD7_ED55_8CCD &+ b)
        b = ((b << 29 | b >> 35) ^ word) &* 0xC4CE_B9FE_1A85_EC53 &+ a
      }
    }
    (a, b) = (mix(a ^ b), mix(b &+ a &* 3))
    return [a, b].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    value = (value ^ value >> 29) &* 0xC4CE_B9FE_1A85_EC53
    return value ^ value >> 32
  }
}

/// A file's bytes.
private func readFile(_ path: String) -> [UInt8]? {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var status = stat()
  guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size < 1 << 30 else { return nil }
  let size = Int(status.st_size)
  let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    while count < size {
      let got = read(file, buffer.baseAddress.map { $0 + count }, size - count)
      if got <= 0 { return }
      count += got
    }
  }
  return bytes.count == size ? bytes : nil
}

private func writeFile(_ path: String, _ bytes: [UInt8]) -> Bool {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
  guard file >= 0 else { return false }
  let isWhole = bytes.withUnsafeBytes { buffer in
    var done = 0
    while done < buffer.count {
      let wrote = write(file, buffer.baseAddress.map { $0 + done }, buffer.count - done)
      if wrote <= 0 { return false }
      done += wrote
    }
    return true
  }
  return close(file) == 0 && isWhole
}
