import LTMSupport

/// A token of the graph's text form.
enum GraphToken: Equatable {
  /// A plain name, or a quoted string.
  case word(String), string(String)
  /// Digits, with their point and exponent; the sign is a punctuation mark of its own.
  case number(String)
  /// One of `( ) [ ] { } : , = # % @ + - *`, or `->`.
  case mark(String)
  /// The scope and the place at the end of a line.
  case place(scope: String, Location?)
  case end
}

/// Cuts the text into tokens. A line that begins with `//` is a comment; after other tokens `//` gives a place.
struct GraphLexer {
  let file: SourceFile
  private var position = 0
  private var isLineStart = true

  init(_ file: SourceFile) { self.file = file }

  /// All tokens with their spans, `end` last.
  mutating func tokens() throws(DiagnosticSet) -> [(token: GraphToken, span: Span)] {
    var result: [(token: GraphToken, span: Span)] = []
    while true {
      skipBlanks()
      let start = position
      guard let token = try next() else { continue }
      result.append((token, span(from: start)))
      if token == .end { return result }
      isLineStart = false
    }
  }

  private var byte: UInt8? { position < file.bytes.count ? file.bytes[position] : nil }

  private func peek(_ text: String) -> Bool { file.bytes[position...].starts(with: text.utf8) }

  private func span(from start: Int) -> Span { Span(file, Int32(start), Int32(position)) }

  private func failure(_ message: String, from start: Int) -> DiagnosticSet {
    DiagnosticSet([Diagnostic(.error, message, at: Span(file, Int32(start), Int32(max(position, start + 1))))])
  }

  private mutating func skipBlanks() {
    while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      if byte == 0x0A { isLineStart = true }
      position += 1
    }
  }

  private mutating func take(while matches: (UInt8) -> Bool) -> String {
    let start = position
    while let byte, matches(byte) { position += 1 }
    return String(decoding: file.bytes[start..<position], as: UTF8.self)
  }

  /// The token here; `nil` for a comment.
  private mutating func next() throws(DiagnosticSet) -> GraphToken? {
    guard let byte else { return .end }
    if isNameStart(byte) { return .word(take(while: isNamePart)) }
    if byte == UInt8(ascii: "\"") { return .string(try string()) }
    if isDigit(byte) { return .number(number()) }
    if peek("//") {
      let start = position
      position += 2
      let isComment = isLineStart
      let text = take { $0 != 0x0A }
      if isComment { return nil }
      guard let place = placeToken(text) else { throw failure("expected `// scope path:line:column`", from: start) }
      return place
    }
    if peek("->") {
      position += 2
      return .mark("->")
    }
    position += 1
    guard "()[]{}:,=#%@+-*".utf8.contains(byte) else {
      throw failure("unexpected byte \(byte)", from: position - 1)
    }
    return .mark(String(decoding: [byte], as: UTF8.self))
  }

  private mutating func number() -> String {
    var text = take(while: isDigit)
    if byte == UInt8(ascii: ".") {
      position += 1
      text += "." + take(while: isDigit)
    }
    if byte == UInt8(ascii: "e") {
      position += 1
      text += "e"
      if let sign = byte, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
        position += 1
        text += sign == UInt8(ascii: "-") ? "-" : ""
      }
      text += take(while: isDigit)
    }
    return text
  }

  private mutating func string() throws(DiagnosticSet) -> String {
    let start = position
    position += 1
    var bytes: [UInt8] = []
    while let byte, byte != UInt8(ascii: "\""), byte != 0x0A {
      position += 1
      if byte == UInt8(ascii: "\\") {
        guard let escaped = escape() else { throw failure("unknown escape", from: position - 1) }
        bytes += escaped
      } else {
        bytes.append(byte)
      }
    }
    guard byte == UInt8(ascii: "\"") else { throw failure("the string does not end", from: start) }
    position += 1
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes of an escape, after its backslash.
  private mutating func escape() -> [UInt8]? {
    guard let byte else { return nil }
    position += 1
    if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return [byte] }
    guard byte == UInt8(ascii: "u"), self.byte == UInt8(ascii: "{") else { return nil }
    position += 1
    let digits = take { $0 != UInt8(ascii: "}") && $0 != 0x0A }
    position += self.byte == nil ? 0 : 1
    guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else { return nil }
    return Array(String(Character(scalar)).utf8)
  }

  /// `scope path:line:column`, either part alone; names that are not plain are quoted.
  private func placeToken(_ text: String) -> GraphToken? {
    var rest = Substring(text)
    var parts: [(text: String, isQuoted: Bool, tail: String)] = []
    while true {
      rest = rest.drop { $0 == " " || $0 == "\r" }
      if rest.isEmpty { break }
      guard let part = placePart(&rest), parts.count < 2 else { return nil }
      parts.append(part)
    }
    guard let last = parts.last else { return nil }
    let location = placeLocation(last)
    if location == nil, parts.count > 1 || last.tail != "" { return nil }
    let scopes = location == nil ? parts : parts.dropLast()
    guard let scope = scopes.first else { return .place(scope: "", location) }
    guard scope.tail.isEmpty, scope.isQuoted || isPlainName(scope.text) else { return nil }
    return .place(scope: scope.text, location)
  }

  /// A word, or a quoted string with what follows it up to a blank.
  private func placePart(_ rest: inout Substring) -> (text: String, isQuoted: Bool, tail: String)? {
    guard rest.first == "\"" else {
      let word = rest.prefix { $0 != " " && $0 != "\r" }
      rest = rest.dropFirst(word.count)
      return (String(word), false, "")
    }
    // Strings read as they do elsewhere: by a lexer of their own text.
    var inner = GraphLexer(SourceFile(path: file.path, text: String(rest)))
    guard let text = try? inner.string() else { return nil }
    rest = Substring(String(decoding: Array(rest.utf8).dropFirst(inner.position), as: UTF8.self))
    let tail = rest.prefix { $0 != " " && $0 != "\r" }
    rest = rest.dropFirst(tail.count)
    return (text, true, String(tail))
  }

  private func placeLocation(_ part: (text: String, isQuoted: Bool, tail: String)) -> Location? {
    let whole = part.isQuoted ? part.tail : part.text
    let pieces = whole.split(separator: ":", omittingEmptySubsequences: false)
    guard pieces.count >= 3, let line = Int(pieces[pieces.count - 2]),
      let column = Int(pieces[pieces.count - 1])
    else { return nil }
    let path = pieces.dropLast(2).joined(separator: ":")
    if part.isQuoted { return path.isEmpty ? Location(path: part.text, line: line, column: column) : nil }
    return path.isEmpty ? nil : Location(path: path, line: line, column: column)
  }
}

private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
