internal import Crypto
import Glibc
import LTMSupport

/// Machine code on disk, by a hash of everything that decides it, in a folder that no other user can write to: what is read
/// from it is executed. A file that cannot be written or read is no error: the kernel is compiled again.
package struct ObjectCache: Sendable {
  private let folder: PrivateFolder
  /// Beyond this many bytes the files used least recently go.
  package let limit: Int

  /// `$LTM_CACHE`, or `ltm` in `$XDG_CACHE_HOME` or `~/.cache`; `nil` where that cannot be written, or others may write to
  /// it. `LTM_CACHE=off` means none.
  package static let standard: ObjectCache? = {
    if let chosen = environment("LTM_CACHE") { return chosen == "off" ? nil : ObjectCache(folder: chosen) }
    // The current folder is nobody's home.
    if let base = environment("XDG_CACHE_HOME"), base.hasPrefix("/") { return ObjectCache(folder: base + "/ltm") }
    return environment("HOME").flatMap { $0.hasPrefix("/") ? ObjectCache(folder: $0 + "/.cache/ltm") : nil }
  }()

  /// Makes the folder where it is missing; `nil` where it cannot be written, or, with a note, is not this user's alone.
  package init?(folder path: String, limit: Int = 256 << 20) {
    do throws(PrivateFolder.Refusal) {
      folder = try PrivateFolder(path: path)
    } catch {
      if case .untrusted(let reason) = error { Self.tell("the cache of machine code is not used", reason) }
      return nil
    }
    guard folder.isWritable else { return nil }
    self.limit = limit
  }

  private static func tell(_ what: String, _ reason: String) {
    let note = Diagnostic(
      .warning, "\(what): \(reason)",
      notes: [
        "code from it would be executed; give the folder to this user alone (mode 0700), or name another with LTM_CACHE"
      ])
    Notes.tell(note, topic: what)
  }

  private func name(_ key: String) -> String { "\(key).o" }

  /// Nobody writes one object for longer.
  private static let writingSeconds = 3600

  // A file: 8 bytes that name the format, 32 of checksum over the key and the object, then the object.
  private static let magic: [UInt8] = Array("ltmobj3\n".utf8)
  private static let headerSize = 40

  private static func checksum(_ object: some Sequence<UInt8>, _ key: String) -> [UInt8] {
    digest(Array(key.utf8) + object)
  }

  /// The object under a key, if it is there, whole, and this user's.
  package func object(for key: String) -> [UInt8]? {
    var found: [UInt8]?
    do throws(PrivateFolder.Refusal) {
      found = try folder.read(name(key))
    } catch {
      if case .untrusted(let reason) = error { Self.tell("a file in the cache of machine code is not used", reason) }
    }
    guard let bytes = found, bytes.count > Self.headerSize, bytes.starts(with: Self.magic) else { return nil }
    let object = Array(bytes[Self.headerSize...])
    return bytes[Self.magic.count..<Self.headerSize].elementsEqual(Self.checksum(object, key)) ? object : nil
  }

  /// Keeps an object. A reader sees the whole file or none.
  package func store(_ object: [UInt8], for key: String) {
    guard folder.write(Self.magic + Self.checksum(object, key) + object, to: name(key)) else { return }
    // Looking at the whole folder each time would cost more than it saves.
    if key.hasPrefix("0") { prune() }
  }

  /// Removes what was used least recently until the rest fits, and what writers left behind that were ended.
  package func prune() {
    let (objects, others) = folder.files().reduce(into: ([(name: String, used: Int, size: Int)](), [String]())) {
      if $1.name.hasSuffix(".o") {
        $0.0.append($1)
      } else if $1.name.hasPrefix("."), isLeft($1.used) {
        $0.1.append($1.name)
      }
    }
    others.forEach(folder.remove)
    var total = objects.reduce(0) { $0 + $1.size }
    for file in objects.sorted(by: { $0.used < $1.used }) where total > limit {
      folder.remove(file.name)
      total -= file.size
    }
  }

  private func isLeft(_ written: Int) -> Bool { written < time(nil) - Self.writingSeconds }

  // MARK: Keys

  /// A key of 64 hexadecimal digits from everything that decides an object.
  package static func key(_ parts: [String]) -> String {
    // Lengths keep ["ab", "c"] apart from ["a", "bc"].
    let text = parts.map { "\($0.utf8.count):\($0)" }.joined()
    return digest(Array(text.utf8)).map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  private static func digest(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
}
