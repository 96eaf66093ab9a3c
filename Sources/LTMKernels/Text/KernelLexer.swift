import LTMSupport

/// A piece of a kernel's text.
enum KernelToken: Hashable {
  case word(String), number(Double, isInteger: Bool), local(String), shared(String), function(String), symbol(
    Character), end
}

/// Splits the text form of kernels into tokens, with their places.
struct KernelLexer {
  private let file: SourceFile
  private var position = 0

  init(_ file: SourceFile) { self.file = file }

  private var byte: UInt8? { position < file.bytes.count ? file.bytes[position] : nil }

  mutating func next() throws(DiagnosticSet) -> (token: KernelToken, span: Span) {
    skipBlank()
    let start = position
    guard let first = byte else { return (.end, span(start)) }
    if isLetter(first) { return (.word(word()), span(start)) }
    if isDigit(first) { return (try number(), span(start)) }
    position += 1
    switch Character(UnicodeScalar(first)) {
    case "%": return (.local(word()), span(start))
    case "$": return (.shared(word()), span(start))
    case "@": return (.function(word()), span(start))
    case let symbol where "(){}[],:;=<+-*".contains(symbol): return (.symbol(symbol), span(start))
    case let other: throw DiagnosticSet([Diagnostic(.error, "`\(other)` has no place in a kernel", at: span(start))])
    }
  }

  /// The rest of the line, for source locations.
  mutating func restOfLine() -> String {
    let start = position
    while let byte, byte != 0x0A { position += 1 }
    return file.text(Int32(start)..<Int32(position))
  }

  func span(_ start: Int) -> Span { Span(file, Int32(start), Int32(position)) }

  private mutating func skipBlank() {
    while let byte {
      if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
        position += 1
      } else if byte == 0x2F, position + 1 < file.bytes.count, file.bytes[position + 1] == 0x2F {
        _ = restOfLine()
      } else {
        return
      }
    }
  }

  private mutating func word() -> String {
    let start = position
    while let byte, isLetter(byte) || isDigit(byte) || byte == 0x2E { position += 1 }
    return file.text(Int32(start)..<Int32(position))
  }

  private mutating func number() throws(DiagnosticSet) -> KernelToken {
    let start = position
    while let byte,
      isDigit(byte) || byte == 0x2E || byte | 0x20 == 0x65 || (isSign(byte) && file.bytes[position - 1] | 0x20 == 0x65)
    {
      position += 1
    }
    let text = file.text(Int32(start)..<Int32(position))
    guard let value = Double(text) else {
      throw DiagnosticSet([Diagnostic(.error, "`\(text)` is no number", at: span(start))])
    }
    return .number(value, isInteger: text.utf8.allSatisfy(isDigit))
  }

  private func isSign(_ byte: UInt8) -> Bool { byte == 0x2B || byte == 0x2D }
}
