import LTMSupport

// `//` divides in Python and begins a comment here, so that `return x // 2` returns x. Nothing in the grammar tells the two
// apart; what follows does: arithmetic on names of the file, where a comment would have words.

extension Lexer {
  /// A warning for each comment that reads as the divisor of what stands before it.
  func divisionWarnings() -> [Diagnostic] {
    var names: Set<String>?
    return tokens.indices.compactMap { index in
      let comment = tokens[index]
      guard index > 0, comment.kind == .comment, comment.newlines == 0, tokens[index - 1].endsOperand else {
        return nil
      }
      let known = names ?? Set(tokens.filter { Parser.isName($0.kind) }.map { text(of: $0) })
      names = known
      guard isDivisor(text(of: comment), known) else { return nil }
      return Diagnostic(
        .warning, "'//' begins a comment, which runs to the end of the line: nothing is divided",
        at: Span(file, comment.start, comment.end),
        notes: [
          "div(a, b) divides Ints and rounds down, floor(a / b) tensors; a comment in words is not taken for either"
        ])
    }
  }

  /// Whether the comment's text can continue an expression.
  private func isDivisor(_ comment: String, _ names: Set<String>) -> Bool {
    guard comment.utf8.count < 200 else { return false }
    var content = comment.dropFirst(2).drop { $0 == " " || $0 == "\t" }
    // `x //= 2`
    if content.first == "=" { content = content.dropFirst() }
    // A shape is often noted so.
    if content.first == "[" { return false }
    let lexer = Lexer(SourceFile(path: "", text: String(content)))
    return lexer.diagnostics.all.isEmpty && lexer.isArithmetic(names)
  }

  /// Operands and operators in turn; brackets may close what the line before `//` opened, and a block may begin.
  private func isArithmetic(_ names: Set<String>) -> Bool {
    var needsOperand = true
    var previous: Token?
    for token in tokens.dropLast() {
      switch token.kind {
      case .integer, .float:
        guard needsOperand else { return false }
        needsOperand = false
      case .name, .keyword:
        let isMember = previous?.kind == .symbol(.dot)
        guard needsOperand, Parser.isName(token.kind), isMember || names.contains(text(of: token)) else { return false }
        needsOperand = false
      case .symbol(let symbol):
        guard let next = symbol.continues(needsOperand: needsOperand) else { return false }
        needsOperand = next
      case .string, .comment, .newline, .invalid, .end: return false
      }
      previous = token
    }
    return !needsOperand && previous != nil
  }
}

extension Token {
  /// Whether a value can end with it.
  fileprivate var endsOperand: Bool {
    switch kind {
    case .name, .integer, .float, .symbol(.closeParenthesis), .symbol(.closeBracket): true
    case .keyword(let keyword): keyword.role == .contextual
    case .string, .symbol, .comment, .newline, .invalid, .end: false
    }
  }
}

extension Symbol {
  /// Whether an operand must follow, where the symbol can stand after an operand, or before one; `nil` where it cannot.
  fileprivate func continues(needsOperand: Bool) -> Bool? {
    switch self {
    case .openParenthesis, .openBracket: true
    case .minus: true
    case .plus, .star, .slash, .power, .dot, .comma, .pipe, .equal, .notEqual, .less, .lessEqual, .greater,
      .greaterEqual, .and, .or:
      needsOperand ? nil : true
    case .closeParenthesis, .closeBracket, .openBrace: needsOperand ? nil : false
    case .not: needsOperand ? true : nil
    case .closeBrace, .colon, .ellipsis, .range, .assign, .write, .arrow, .at, .underscore: nil
    }
  }
}
