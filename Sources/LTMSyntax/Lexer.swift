import LTMSupport

/// Turns a file's bytes into tokens. Whatever the bytes, the tokens cover the file in order, end in `.end`, and each
/// piece that is no token of the language has been reported.
package struct Lexer {
  /// Larger files are refused, so that offsets and the work done on hostile input stay small.
  package static let sizeLimit = 4 << 20
  /// Longer names are refused: every message and every graph repeats them.
  package static let nameLimit = 255

  let file: SourceFile
  /// The tokens found, comments included.
  package internal(set) var tokens: [Token] = []
  /// What was reported.
  package internal(set) var diagnostics = DiagnosticSet()
  var position = 0
  private var newlines: UInt8 = 0

  /// Reads all of `file`.
  package init(_ file: SourceFile) {
    self.file = file
    if file.bytes.count > Self.sizeLimit {
      diagnostics.add(sizeDiagnostic(path: file.path, count: file.bytes.count))
      position = file.bytes.count
    } else {
      tokens.reserveCapacity(file.bytes.count / 4)
      if file.bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
      while let byte = peek() { lexNext(byte) }
    }
    append(.end, from: position)
  }

  /// The byte `offset` places ahead.
  func peek(_ offset: Int = 0) -> UInt8? {
    let index = position + offset
    return index < file.bytes.count ? file.bytes[index] : nil
  }

  /// The text of a token.
  package func text(of token: Token) -> String { file.text(token.start..<token.end) }

  func span(from start: Int) -> Span { Span(file, Int32(clamping: start), Int32(clamping: position)) }

  mutating func append(_ kind: Token.Kind, from start: Int) {
    tokens.append(Token(kind: kind, start: Int32(clamping: start), end: Int32(clamping: position), newlines: newlines))
    newlines = 0
  }

  mutating func report(_ message: String, from start: Int, notes: [String] = [], fix: String? = nil) {
    let place = span(from: start)
    diagnostics.add(Diagnostic(message, at: place, notes: notes, fixIt: fix.map { .init(place, $0) }))
  }

  mutating func countNewline() { newlines = min(2, newlines + 1) }

  private mutating func lexNext(_ byte: UInt8) {
    switch byte {
    case .init(ascii: " "), .init(ascii: "\t"):
      position += 1
    case .init(ascii: "\r") where peek(1) == .init(ascii: "\n"):
      position += 1
    case .init(ascii: "\n"):
      position += 1
      countNewline()
    case .init(ascii: "/") where peek(1) == .init(ascii: "/"):
      lexComment()
    case .init(ascii: "/") where peek(1) == .init(ascii: "*"):
      lexBlockComment()
    case .init(ascii: "#"):
      lexComment()
      report("a comment begins with '//'", from: Int(tokens.last?.start ?? 0))
    case .init(ascii: "\""), .init(ascii: "'"):
      lexString(quote: byte)
    case _ where byte.isDigit:
      lexNumber()
    case _ where byte.isWordStart:
      lexWord()
    default:
      if !lexSymbol(byte) { lexUnknown() }
    }
  }

  private mutating func lexComment() {
    let start = position
    while let byte = peek(), byte != .init(ascii: "\n") { position += 1 }
    append(.comment, from: start)
  }

  /// `/* ... */` is no comment of the language, but what stands in it was not meant to be read.
  private mutating func lexBlockComment() {
    let start = position
    position += 2
    report("a comment begins with '//' and ends with its line", from: start)
    while let byte = peek() {
      if byte == .init(ascii: "*"), peek(1) == .init(ascii: "/") {
        position += 2
        return
      }
      if byte == .init(ascii: "\n") { countNewline() }
      position += 1
    }
  }

  private mutating func lexWord() {
    let start = position
    var isASCII = true
    while let byte = peek() {
      if byte.isWord {
        position += 1
      } else if byte >= 0x80, let scalar = scalar(at: position), scalar.properties.isAlphabetic {
        isASCII = false
        position += UTF8.width(scalar)
      } else {
        break
      }
    }
    let text = file.text(Int32(clamping: start)..<Int32(clamping: position))
    if !isASCII { report("a name is made of the letters A to Z and a to z, digits and '_'", from: start) }
    if text == "_" {
      append(.symbol(.underscore), from: start)
    } else {
      if text.utf8.count > Self.nameLimit { report("a name has \(Self.nameLimit) letters at most", from: start) }
      append(Keyword(rawValue: text).map { .keyword($0) } ?? .name, from: start)
    }
  }

  /// The character at a byte offset; the text of a ``SourceFile`` is valid UTF-8.
  func scalar(at offset: Int) -> Unicode.Scalar? {
    let end = min(offset + 4, file.bytes.count)
    guard offset < end else { return nil }
    return String(decoding: file.bytes[offset..<end], as: UTF8.self).unicodeScalars.first
  }
}

func sizeDiagnostic(path: String, count: Int) -> Diagnostic {
  Diagnostic("\(path): a source file may hold \(Lexer.sizeLimit) bytes, and this one has \(count)")
}

extension UInt8 {
  var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

  var isWordStart: Bool {
    let lower = self | 0x20
    return (lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")) || self == UInt8(ascii: "_")
  }

  var isWord: Bool { isWordStart || isDigit }

  var isControl: Bool { self < 0x20 || self == 0x7F }
}
