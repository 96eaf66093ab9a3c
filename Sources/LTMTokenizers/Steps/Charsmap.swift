import LTMSupport

/// SentencePiece's rules of normalisation: a double-array trie over bytes whose values say where, in a text behind it, the replacement begins.
struct Charsmap: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]

  init(_ settings: Settings) throws(Diagnostic) {
    guard let bytes = Self.decoded(try settings.string()) else { throw settings.error("is no base64") }
    guard bytes.count >= 4 else { throw settings.error("has \(bytes.count) bytes, and a map begins with 4") }
    let size = Int(Self.word(bytes, 0))
    guard size % 4 == 0, size >= 4, size <= bytes.count - 4 else {
      throw settings.error("says that its trie has \(size) bytes, and \(bytes.count - 4) follow")
    }
    units = (0..<size / 4).map { Self.word(bytes, 4 + 4 * $0) }
    replacements = Array(bytes[(4 + size)...])
  }

  private static func word(_ bytes: [UInt8], _ start: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) }
  }

  private static func decoded(_ text: String) -> [UInt8]? {
    var result: [UInt8] = []
    var (bits, count): (UInt32, UInt32) = (0, 0)
    for byte in text.utf8 where byte != UInt8(ascii: "=") {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - 0x41
      case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - 0x61 + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - 0x30 + 52
      case UInt8(ascii: "+"): digit = 62
      case UInt8(ascii: "/"): digit = 63
      case _: return nil
      }
      bits = bits << 6 | UInt32(digit)
      count += 6
      if count >= 8 {
        count -= 8
        result.append(UInt8(truncatingIfNeeded: bits >> count))
      }
    }
    return result
  }

  /// The replacement of the shortest beginning of some bytes that has one; `nil` where none has.
  private func replacement(of bytes: some Sequence<UInt8>) -> String? {
    var node = units[0]
    var position = Int(Self.offset(node))
    for byte in bytes where byte != 0 {
      position ^= Int(byte)
      guard units.indices.contains(position) else { return nil }
      node = units[position]
      guard node & 0x8000_00FF == UInt32(byte) else { return nil }
      position ^= Int(Self.offset(node))
      guard node >> 8 & 1 == 1 else { continue }
      guard units.indices.contains(position) else { return nil }
      let start = Int(units[position] & 0x7FFF_FFFF)
      guard start < replacements.count else { return nil }
      return String(decoding: replacements[start...].prefix { $0 != 0 }, as: UTF8.self)
    }
    return nil
  }

  private static func offset(_ unit: UInt32) -> UInt32 { (unit >> 10) << ((unit & (1 << 9)) >> 6) }

  /// Each cluster of characters is replaced as a whole where it is short and has a replacement, else scalar by scalar.
  func normalized(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count)
    for character in String(String.UnicodeScalarView(text)) {
      if character.utf8.count < 6, let whole = replacement(of: character.utf8) {
        result += whole.unicodeScalars
        continue
      }
      for scalar in character.unicodeScalars {
        if let part = replacement(of: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter) {
          result += part.unicodeScalars
        } else {
          result.append(scalar)
        }
      }
    }
    return result
  }
}
