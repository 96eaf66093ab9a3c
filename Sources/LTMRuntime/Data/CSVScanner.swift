/// Cuts a text with commas into records and fields, as RFC 4180 has it, and keeps their places.
struct CSVScanner {
  /// One field: its bytes, without the quotes around them.
  struct Field {
    let range: Range<Int>
    let isEscaped: Bool
    let line: Int
    let column: Int
  }

  private let path: String
  private let bytes: [UInt8]
  private var position = 0
  private var line = 1
  private var lineStart = 0

  init(path: String, bytes: [UInt8]) {
    self.path = path
    self.bytes = bytes
    // Spreadsheets put a byte order mark in front.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    lineStart = position
  }

  /// The next record; `nil` at the end.
  mutating func record() throws(FileError) -> [Field]? {
    if position >= bytes.count { return nil }
    var fields = [try field()]
    while position < bytes.count, bytes[position] == UInt8(ascii: ",") {
      position += 1
      fields.append(try field())
    }
    if position < bytes.count, bytes[position] == 0x0D { position += 1 }
    if position < bytes.count {
      if bytes[position] != 0x0A { throw error(line, position, "a carriage return inside a row") }
      newline()
    }
    return fields
  }

  private mutating func newline() {
    position += 1
    line += 1
    lineStart = position
  }

  private func error(_ line: Int, _ position: Int, _ problem: String, remedy: String? = nil) -> FileError {
    FileError("\(path):\(line):\(position - lineStart + 1)", problem, remedy: remedy)
  }

  private mutating func field() throws(FileError) -> Field {
    while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
    if position < bytes.count, bytes[position] == UInt8(ascii: "\"") { return try quotedField() }
    let start = position
    while position < bytes.count, !isEnd(bytes[position]) { position += 1 }
    var end = position
    while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
    return Field(range: start..<end, isEscaped: false, line: line, column: start - lineStart + 1)
  }

  private func isEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || byte == 0x0A || byte == 0x0D }

  private mutating func quotedField() throws(FileError) -> Field {
    let (startLine, column) = (line, position - lineStart + 1)
    position += 1
    let start = position
    var isEscaped = false
    while true {
      guard position < bytes.count else {
        throw FileError(
          "\(path):\(startLine):\(column)", "a quote that is never closed", remedy: "add the closing quote")
      }
      switch bytes[position] {
      case UInt8(ascii: "\"") where position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "\""):
        isEscaped = true
        position += 2
      case UInt8(ascii: "\""):
        let field = Field(range: start..<position, isEscaped: isEscaped, line: startLine, column: column)
        position += 1
        while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
        if position < bytes.count, !isEnd(bytes[position]) { throw error(line, position, "text after a closing quote") }
        return field
      case 0x0A: newline()
      case _: position += 1
      }
    }
  }

  /// Where a field begins, for messages.
  func place(_ field: Field) -> String { "\(path):\(field.line):\(field.column)" }

  /// Whether a field holds nothing.
  func isBlank(_ field: Field) -> Bool { field.range.isEmpty }

  /// The text of a field.
  func text(_ field: Field) -> String {
    var content = Array(bytes[field.range])
    if field.isEscaped {
      let quote = UInt8(ascii: "\"")
      var isSecond = false
      content = content.filter {
        isSecond = $0 == quote && !isSecond
        return !isSecond || $0 != quote
      }
    }
    return String(decoding: content, as: UTF8.self)
  }

  /// The number in a field.
  func number(_ field: Field, column: String) throws(FileError) -> Double {
    if let value = Self.decimal(bytes, field.range) { return value }
    let text = text(field)
    let place = "\(path):\(field.line):\(field.column)"
    guard let value = Double(text), !text.utf8.contains(UInt8(ascii: "x")) else {
      let found = text.isEmpty ? "an empty field" : "'\(shown(text))'"
      throw FileError(
        place, "\(found) in column '\(shown(column))' is not a number",
        remedy: "replace it by a number, or leave out the row"
          + (text.isEmpty ? "; --missing drop leaves out such rows, and mean or zero fills them" : ""))
    }
    guard value.isFinite else {
      throw FileError(place, "'\(shown(text))' in column '\(shown(column))' is not finite", remedy: "leave out the row")
    }
    return value
  }

  /// The whole number in a field, of 64 bits.
  func integer(_ field: Field, column: String) throws(FileError) -> Int64 {
    let text = text(field)
    if let value = Int64(text) { return value }
    let value = try number(field, column: column)
    // Written with a point or an exponent: beyond 2^53 a double may be another number.
    guard value == value.rounded(), abs(value) < 0x1p53, let exact = Int64(exactly: value) else {
      throw FileError(
        "\(path):\(field.line):\(field.column)", "'\(shown(text))' in column '\(shown(column))' is no i64",
        remedy: "write a whole number from \(Int64.min) to \(Int64.max), without a point or an exponent")
    }
    return exact
  }

  /// Short decimals without exponent: digits and power are exact doubles, so one division rounds correctly.
  private static func decimal(_ bytes: [UInt8], _ range: Range<Int>) -> Double? {
    guard range.count <= 16, let first = range.first else { return nil }
    let isNegative = bytes[first] == UInt8(ascii: "-")
    var digits = 0
    var value = 0
    var power = 0
    for index in range.dropFirst(isNegative ? 1 : 0) {
      switch bytes[index] {
      case let byte where byte >= 0x30 && byte <= 0x39:
        value = value * 10 + Int(byte - 0x30)
        digits += 1
        if power > 0 { power += 1 }
      case UInt8(ascii: ".") where power == 0: power = 1
      case _: return nil
      }
    }
    guard digits > 0, digits <= 15 else { return nil }
    let magnitude = Double(value) / (power > 1 ? powersOfTen[power - 1] : 1)
    return isNegative ? -magnitude : magnitude
  }
}

private let powersOfTen: [Double] = (0..<16).map { (0..<$0).reduce(1) { value, _ in value * 10 } }
