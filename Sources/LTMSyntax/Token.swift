/// The words with a meaning of their own.
package enum Keyword: String, CaseIterable, Sendable {
  case `import`, `let`, `var`, `func`, require, yield, recompute, `return`, `if`, `else`, `for`, `in`, `true`, `false`
  case layer, model, optimizer, schedule, clip, average, train, weights, param, state, cache
  case data, minimize, report, then, group, freeze, batch, epochs, steps, seed, accumulate
  case transposed, ignore
  case bool, u8, i32, i64, f16, bf16, f32, f64

  /// What a word may stand for besides itself.
  package enum Role: Sendable {
    /// Never a name.
    case reserved
    /// A keyword where a declaration, a member or a line of a `train` block begins; elsewhere a name.
    case contextual
    /// A tensor's element type; never a name of the user's.
    case dtype
  }

  /// What the word may stand for.
  package var role: Role {
    switch self {
    case .import, .let, .var, .func, .require, .yield, .recompute, .return, .if, .else, .for, .in, .true, .false:
      .reserved
    case .layer, .model, .optimizer, .schedule, .clip, .average, .train, .weights, .param, .state, .cache: .contextual
    case .data, .minimize, .report, .then, .group, .freeze, .batch, .epochs, .steps, .seed, .accumulate: .contextual
    case .transposed, .ignore: .contextual
    case .bool, .u8, .i32, .i64, .f16, .bf16, .f32, .f64: .dtype
    }
  }
}

/// Operators and punctuation.
package enum Symbol: String, CaseIterable, Sendable {
  case openParenthesis = "("
  case closeParenthesis = ")"
  case openBracket = "["
  case closeBracket = "]"
  case openBrace = "{"
  case closeBrace = "}"
  case comma = ","
  case colon = ":"
  case dot = "."
  case ellipsis = "..."
  case range = "..<"
  case assign = "="
  case write = "<-"
  case arrow = "->"
  case pipe = "|>"
  case or = "||"
  case and = "&&"
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessEqual = "<="
  case greater = ">"
  case greaterEqual = ">="
  case plus = "+"
  case minus = "-"
  case star = "*"
  case slash = "/"
  case power = "**"
  case not = "!"
  case at = "@"
  case underscore = "_"

  /// Whether a newline after the symbol is dropped, because something must follow.
  var continuesAfterNewline: Bool {
    switch self {
    case .comma, .colon, .dot, .range, .assign, .write, .arrow, .pipe, .or, .and, .equal, .notEqual, .less, .lessEqual,
      .greater, .greaterEqual, .plus, .minus, .star, .slash, .power, .not:
      true
    case .openParenthesis, .closeParenthesis, .openBracket, .closeBracket, .openBrace, .closeBrace, .ellipsis, .at,
      .underscore:
      false
    }
  }

  private static let pairs: [(open: Symbol, close: Symbol)] = [
    (.openParenthesis, .closeParenthesis), (.openBracket, .closeBracket), (.openBrace, .closeBrace),
  ]

  /// The bracket that closes this one.
  var closer: Symbol? {
    Self.pairs.first { $0.open == self }?.close
  }

  /// The bracket that this one closes.
  var opener: Symbol? {
    Self.pairs.first { $0.close == self }?.open
  }
}

/// A piece of a file's text. Comments are tokens too, which the parser passes over and the formatter keeps.
package struct Token: Sendable {
  /// What the text is, with the value of a number.
  package enum Kind: Hashable, Sendable {
    case name
    case integer(Int)
    case float(Double)
    case string
    case keyword(Keyword)
    case symbol(Symbol)
    case comment
    /// A newline that ends a statement. Only the parser's view holds it: see ``Parser/current``.
    case newline
    /// Text that the lexer has reported.
    case invalid
    case end
  }

  package var kind: Kind
  /// The first byte.
  package var start: Int32
  /// One past the last byte.
  package var end: Int32
  /// How many newlines lie between the token before and this one; more than two are counted as two.
  package var newlines: UInt8

  /// Whether a newline before the token is dropped, because no statement begins so.
  var continuesPreviousLine: Bool {
    kind == .symbol(.pipe) || kind == .symbol(.dot) || kind == .keyword(.else)
  }

  /// Whether a newline after the token is dropped.
  var continuesAfterNewline: Bool {
    if case .symbol(let symbol) = kind { symbol.continuesAfterNewline } else { false }
  }
}
