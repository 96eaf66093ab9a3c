import LTMSupport

extension Lexer {
  /// What other languages write, or a slip of the finger, with what is meant here.
  private struct Mistake {
    let text: String
    let meant: Symbol?
    let message: String
    init(_ text: String, _ meant: Symbol?, _ message: String) {
      self.text = text
      self.meant = meant
      self.message = message
    }
  }

  private static let mistakes: [Mistake] = [
    Mistake(":=", .assign, "a value is bound with '='"),
    Mistake("=>", .arrow, "a result's type follows '->'"),
    Mistake("..", .range, "a range is written 'a..<b'"),
    Mistake("&", .and, "'and' is written '&&'"),
    Mistake("|", .or, "'or' is written '||', a pipe '|>'"),
    Mistake("^", .power, "a power is written '**'"),
    Mistake("~", .not, "'not' is written '!'"),
    Mistake("+=", nil, "a 'var' changes by 'x = x + ...'"),
    Mistake("-=", nil, "a 'var' changes by 'x = x - ...'"),
    Mistake("*=", nil, "a 'var' changes by 'x = x * ...'"),
    Mistake("/=", nil, "a 'var' changes by 'x = x / ...'"),
    Mistake("%", nil, "a remainder is written 'mod(a, b)' on Ints, 'a - b * floor(a / b)' on tensors"),
    Mistake("%=", nil, "a 'var' changes by 'x = ...', and a remainder of Ints is 'mod(a, b)'"),
    Mistake("**=", nil, "a 'var' changes by 'x = x ** ...'"),
    Mistake("@=", nil, "a 'var' changes by 'x = matmul(x, ...)'"),
    Mistake("&=", nil, "a 'var' changes by 'x = x && ...'"),
    Mistake("|=", nil, "a 'var' changes by 'x = x || ...'"),
    Mistake("^=", nil, "a 'var' changes by 'x = x ** ...'"),
    Mistake("++", nil, "a 'var' changes by 'x = x + 1'"),
    Mistake("<>", .notEqual, "'not equal' is written '!='"),
    Mistake("===", .equal, "values are compared with '=='"),
    Mistake("!==", .notEqual, "values are compared with '!='"),
    Mistake("=<", .lessEqual, "'less or equal' is written '<='"),
    Mistake("..=", .range, "a range is written 'a..<b', and its end is not in it"),
    Mistake("<<", nil, "there are no shifts: multiply by a power of 2"),
    Mistake(">>", nil, "there are no shifts: divide by a power of 2"),
    Mistake("?", nil, "a choice is written 'if c { a } else { b }', or 'where(c, a, b)' on tensors"),
  ]

  /// Symbols and mistakes by first byte, longest first.
  private static let table: [UInt8: [(bytes: [UInt8], symbol: Symbol?, message: String?)]] = {
    let symbols = Symbol.allCases.map {
      (bytes: Array($0.rawValue.utf8), symbol: Symbol?.some($0), message: String?.none)
    }
    let wrong = mistakes.map { (bytes: Array($0.text.utf8), symbol: $0.meant, message: String?.some($0.message)) }
    let all = (symbols + wrong).sorted { $0.bytes.count > $1.bytes.count }
    return Dictionary(grouping: all) { $0.bytes.first ?? 0 }
  }()

  private static let lookalikes: [Unicode.Scalar: String] = [
    "\u{201C}": "\"", "\u{201D}": "\"", "\u{2212}": "-", "\u{2013}": "-", "\u{00D7}": "*", "\u{2192}": "->",
    "\u{2190}": "<-", "\u{2264}": "<=", "\u{2265}": ">=", "\u{2260}": "!=", "\u{2026}": "...", "\u{00A0}": " ",
  ]

  /// Reads an operator, a bracket or a mistake for one; `false` where none begins.
  mutating func lexSymbol(_ byte: UInt8) -> Bool {
    let start = position
    if byte == UInt8(ascii: ";") {
      position += 1
      report("a newline ends a statement, not ';'", from: start)
      countNewline()
      return true
    }
    let candidates = Self.table[byte] ?? []
    guard let found = candidates.first(where: { file.bytes[start...].starts(with: $0.bytes) }) else { return false }
    position += found.bytes.count
    if let message = found.message { report(message, from: start, fix: found.symbol?.rawValue) }
    append(found.symbol.map { .symbol($0) } ?? .invalid, from: start)
    return true
  }

  /// Reports a run of characters that begin no token, once.
  mutating func lexUnknown() {
    let start = position
    let first = scalar(at: start)
    while let byte = peek(), !byte.beginsToken {
      position += scalar(at: position).map { UTF8.width($0) } ?? 1
    }
    position = max(position, start + 1)
    var notes = first.flatMap { Self.lookalikes[$0] }.map { ["the character meant may be '\($0)'"] } ?? []
    if first == "\\" { notes = ["a line goes on inside brackets, after an operator, and before '|>' and '.'"] }
    report(Self.message(unknown: first), from: start, notes: notes)
    append(.invalid, from: start)
  }

  private static func message(unknown scalar: Unicode.Scalar?) -> String {
    guard let scalar else { return "unexpected character" }
    let code = String(scalar.value, radix: 16, uppercase: true)
    let number = "U+" + String(repeating: "0", count: max(0, 4 - code.count)) + code
    let isVisible = scalar.properties.generalCategory != .control && scalar.properties.generalCategory != .format
    return isVisible ? "unexpected character '\(scalar)' (\(number))" : "unexpected character \(number)"
  }
}

extension UInt8 {
  /// Whether a run of unknown characters ends here: white space, or anything in ASCII that the language uses.
  fileprivate var beginsToken: Bool {
    guard self < 0x80 else { return false }
    return isWord || " \t\r\n()[]{},:;.=<>-+*/!|&@\"'#%^~?".utf8.contains(self)
  }
}
