/// Why a text is not JSON, or not JSON we take.
package struct JSONError: Error, Hashable, Sendable {
  /// What is wrong.
  package let message: String
  /// The byte where it is.
  package let offset: Int
}

extension JSON {
  /// Nesting beyond this is refused: the parser recurses.
  package static let depthLimit = 64

  /// Parses UTF-8 text that holds one value. Two members of an object with the same key are an error, because readers
  /// that take the first and readers that take the last would see different files.
  package init(parsing bytes: [UInt8]) throws(JSONError) {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }

  /// Parses text that holds one value.
  package init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }
}

private struct JSONParser {
  let bytes: [UInt8]
  var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  func error(_ message: String) -> JSONError { JSONError(message: message, offset: position) }

  mutating func document() throws(JSONError) -> JSON {
    let value = try value(depth: 0)
    skipSpace()
    if position < bytes.count { throw error("text after the value") }
    return value
  }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  /// Takes the byte when it comes next, after space.
  mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: scalar) else { return false }
    position += 1
    return true
  }

  mutating func value(depth: Int) throws(JSONError) -> JSON {
    if depth > JSON.depthLimit { throw error("nested deeper than \(JSON.depthLimit) levels") }
    skipSpace()
    switch next {
    case nil: throw error("the text ends where a value is expected")
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case _: return try number()
    }
  }

  mutating func word(_ text: String, _ value: JSON) throws(JSONError) -> JSON {
    guard bytes[position...].starts(with: text.utf8) else { throw error("expected a value") }
    position += text.utf8.count
    return value
  }

  mutating func array(depth: Int) throws(JSONError) -> JSON {
    position += 1
    var elements: [JSON] = []
    if take("]") { return .array(elements) }
    repeat { elements.append(try value(depth: depth + 1)) } while take(",")
    guard take("]") else { throw error("expected ',' or ']'") }
    return .array(elements)
  }

  mutating func object(depth: Int) throws(JSONError) -> JSON {
    position += 1
    var members: [JSON.Member] = []
    // Byte for byte: a vocabulary has keys that look the same.
    var keys: Set<[UInt8]> = []
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      let start = position
      let key = try string()
      guard keys.insert(Array(key.utf8)).inserted else {
        throw JSONError(message: "the key \"\(key)\" occurs twice", offset: start)
      }
      guard take(":") else { throw error("expected ':'") }
      members.append(JSON.Member(key, try value(depth: depth + 1)))
    } while take(",")
    guard take("}") else { throw error("expected ',' or '}'") }
    return .object(members)
  }

  mutating func number() throws(JSONError) -> JSON {
    let start = position
    if next == UInt8(ascii: "-") { position += 1 }
    let leading = next
    let whole = digits()
    if whole == 0 || (whole > 1 && leading == UInt8(ascii: "0")) {
      throw JSONError(message: "expected a value", offset: start)
    }
    var isInteger = true
    if next == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      if digits() == 0 { throw error("expected a digit after '.'") }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      if digits() == 0 { throw error("expected a digit in the exponent") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let exact = Int(text) { return .int(exact) }
    guard let value = Double(text), value.isFinite else {
      throw JSONError(message: "the number is too large", offset: start)
    }
    return .number(value)
  }

  /// Skips digits and counts them.
  mutating func digits() -> Int {
    let start = position
    while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
    return position - start
  }

  mutating func string() throws(JSONError) -> String {
    guard next == UInt8(ascii: "\"") else { throw error("expected a string") }
    position += 1
    var content: [UInt8] = []
    while let byte = next, byte != UInt8(ascii: "\"") {
      if byte < 0x20 { throw error("a control character in a string") }
      if byte == UInt8(ascii: "\\") {
        try escape(into: &content)
      } else {
        content.append(byte)
        position += 1
      }
    }
    guard next != nil else { throw error("a string without its closing quote") }
    guard let text = String(validating: content, as: UTF8.self) else { throw error("a string that is not UTF-8") }
    position += 1
    return text
  }

  mutating func escape(into content: inout [UInt8]) throws(JSONError) {
    position += 1
    guard let byte = next else { throw error("a string without its closing quote") }
    position += 1
    switch Unicode.Scalar(byte) {
    case "\"", "\\", "/": content.append(byte)
    case "n": content.append(0x0A)
    case "t": content.append(0x09)
    case "r": content.append(0x0D)
    case "b": content.append(0x08)
    case "f": content.append(0x0C)
    case "u": content += Array(String(Character(try scalar())).utf8)
    case _: throw error("an unknown escape")
    }
  }

  /// The scalar of `\uXXXX`, or of a pair of surrogates; a lone surrogate is no character.
  mutating func scalar() throws(JSONError) -> Unicode.Scalar {
    let first = try hex()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, next == UInt8(ascii: "\\") else { throw error("a lone surrogate") }
    position += 1
    guard next == UInt8(ascii: "u") else { throw error("a lone surrogate") }
    position += 1
    let second = try hex()
    guard second >= 0xDC00, second <= 0xDFFF,
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    else { throw error("a lone surrogate") }
    return scalar
  }

  mutating func hex() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
