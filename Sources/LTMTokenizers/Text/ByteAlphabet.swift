/// Bytes as characters that can be seen: the alphabet in which byte-level tokens are written.
enum ByteAlphabet {
  /// The character of each byte.
  static let scalars: [Unicode.Scalar] = {
    var result = [Unicode.Scalar](repeating: " ", count: 256)
    var further: UInt32 = 0x100
    for byte in UInt8.min...UInt8.max {
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: result[Int(byte)] = Unicode.Scalar(byte)
      case _:
        result[Int(byte)] = Unicode.Scalar(further) ?? " "
        further += 1
      }
    }
    return result
  }()

  /// The byte of each character: -1 for what is none.
  private static let bytes: [Int16] = {
    var result = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { result[Int(scalar.value)] = Int16(byte) }
    return result
  }()

  /// Adds the characters of a text's bytes.
  static func append(_ text: some Sequence<Unicode.Scalar>, to result: inout [Unicode.Scalar]) {
    for scalar in text {
      if scalar.value < 0x80 {
        result.append(scalars[Int(scalar.value)])
      } else {
        for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { result.append(scalars[Int(byte)]) }
      }
    }
  }

  /// The bytes of a token; those of its text where a character is none of the alphabet.
  static func bytes(of token: String) -> [UInt8] {
    var result: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard scalar.value < bytes.count, bytes[Int(scalar.value)] >= 0 else { return Array(token.utf8) }
      result.append(UInt8(truncatingIfNeeded: bytes[Int(scalar.value)]))
    }
    return result
  }
}
