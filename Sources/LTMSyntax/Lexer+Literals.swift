import LTMSupport

extension Lexer {
  /// `12`, `1_000`, `0.5`, `3e-4`. `1.` needs a digit after the point, so that `0..<n` and `2.f()` stay what they are.
  mutating func lexNumber() {
    let start = position
    var isFloat = false
    lexDigits()
    if peek() == UInt8(ascii: "."), peek(1)?.isDigit == true {
      isFloat = true
      position += 1
      lexDigits()
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      let sign = peek(1) == UInt8(ascii: "+") || peek(1) == UInt8(ascii: "-")
      if peek(sign ? 2 : 1)?.isDigit == true {
        isFloat = true
        position += sign ? 2 : 1
        lexDigits()
      }
    }
    if peek()?.isWord == true {
      lexBadNumber(from: start)
    } else {
      appendNumber(from: start, isFloat: isFloat)
    }
  }

  private mutating func lexDigits() {
    while let byte = peek(), byte.isDigit || (byte == UInt8(ascii: "_") && peek(1)?.isDigit == true) { position += 1 }
  }

  private mutating func lexBadNumber(from start: Int) {
    while peek()?.isWord == true { position += 1 }
    report(
      "'\(text(from: start))' is neither a number nor a name", from: start,
      notes: ["numbers are written 12, 1_000, 0.5 or 3e-4; names begin with a letter"])
    append(.invalid, from: start)
  }

  private mutating func appendNumber(from start: Int, isFloat: Bool) {
    let digits = text(from: start, limit: .max).filter { $0 != "_" }
    if !isFloat, let value = Int(digits) { return append(.integer(value), from: start) }
    if !isFloat {
      report("an integer must fit in 64 bits", from: start, notes: ["a Float has a point or an exponent: 1e20"])
      return append(.invalid, from: start)
    }
    guard let value = Double(digits), value.isFinite, value != 0 || isZero(digits) else {
      report(
        "the number is outside the range of f64", from: start,
        notes: ["infinity is written inf, and what is too small is 0"])
      return append(.invalid, from: start)
    }
    append(.float(value), from: start)
  }

  private func isZero(_ digits: String) -> Bool {
    digits.prefix { $0 != "e" && $0 != "E" }.allSatisfy { $0 == "0" || $0 == "." }
  }

  /// The text since `start`, cut short for messages.
  func text(from start: Int, limit: Int = 40) -> String {
    let end = position - start > limit ? start + limit : position
    return file.text(Int32(clamping: start)..<Int32(clamping: end)) + (end < position ? "..." : "")
  }

  /// `"digits.safetensors"`, in which `\"` and `\\` stand for the second character, and `\(name)` for a value.
  mutating func lexString(quote: UInt8) {
    let start = position
    position += 1
    while let byte = peek(), byte != quote, byte != UInt8(ascii: "\n") {
      if byte == UInt8(ascii: "\\") {
        lexEscape()
      } else {
        position += 1
        if byte.isControl, byte != UInt8(ascii: "\r") {
          report("a string holds no control characters", from: position - 1)
        }
      }
    }
    guard peek() == quote else {
      report("the string does not end on its line", from: start, notes: ["a string ends with '\"'"])
      return append(.invalid, from: start)
    }
    position += 1
    if quote != UInt8(ascii: "\"") {
      let content = file.text(Int32(clamping: start + 1)..<Int32(clamping: position - 1))
      report("a string stands in double quotes", from: start, fix: "\"\(content)\"")
    }
    append(.string, from: start)
  }

  private mutating func lexEscape() {
    let start = position
    position += 1
    guard let next = peek(), next != UInt8(ascii: "\n") else { return }
    position += next < 0x80 ? 1 : 0
    if next == UInt8(ascii: "(") { return lexInterpolation(from: start) }
    if next != UInt8(ascii: "\""), next != UInt8(ascii: "\\") {
      report(
        "only '\\\"', '\\\\' and '\\(name)' are escapes", from: start,
        notes: ["in a path, '/' separates folders everywhere"])
    }
  }

  /// `\(layer)`, behind its bracket: a name and nothing else.
  private mutating func lexInterpolation(from start: Int) {
    let first = position
    while peek()?.isWord == true { position += 1 }
    let name = file.text(Int32(clamping: first)..<Int32(clamping: position))
    let isName = name != "_" && name.utf8.first.map { $0.isWordStart } == true && name.utf8.count <= Self.nameLimit
    let role = Keyword(rawValue: name)?.role
    if isName, role == nil || role == .contextual, peek() == UInt8(ascii: ")") {
      position += 1
    } else {
      report(
        "'\\(' in a string takes one name, and ')'", from: start,
        notes: ["compute the value before: let next = layer + 1, and write \"weight_\\(next)\""])
    }
  }
}
