import LTMSupport

extension Parser {
  /// `statement = let | var | assignment | write | loop | choice | require | yield | return`
  mutating func parseStatement() throws(Unwind) -> Statement {
    if atName, next == .symbol(.assign) { return try parseAssignment() }
    if atName || current == .string, next == .symbol(.write) || writesPart { return try parseWrite() }
    switch try leadingKeyword(inStatement: [.let, .var, .for, .if, .require, .yield, .return]) {
    case .let: return .binding(try parseLet())
    case .var: return .binding(try parseVar())
    case .for: return .loop(try parseLoop())
    case .if: return try parseChoice()
    case .require: return .require(try parseRequire())
    case .yield: return try parseYield()
    case .return: return try parseReturn()
    case _: throw expected("a statement")
    }
  }

  /// As ``leadingKeyword(of:_:)``, with words for what is an expression and no statement.
  private mutating func leadingKeyword(inStatement words: [Keyword]) throws(Unwind) -> Keyword {
    if atName, next == .invalid { advance() }
    if current == .string { throw fail("a string does nothing here", notes: ["a comment begins with '//'"]) }
    if case .symbol(let symbol) = current {
      if symbol == .openParenthesis || symbol == .openBracket {
        throw fail(
          "'\(symbol.rawValue)' at the begin of a line continues nothing",
          notes: ["put it at the end of the line before"])
      }
      if BinaryOperator(rawValue: symbol.rawValue) != nil {
        throw fail(
          "'\(symbol.rawValue)' cannot begin a line",
          notes: ["a line goes on after an operator, and before '|>' and '.'"])
      }
    }
    if atName, next == .symbol(.equal) {
      let operation = span(of: tokens[position + 1])
      throw fail(
        "'==' compares, and nothing is done with the result", at: operation, fixIt: .init(operation, "="))
    }
    try refuseMemberWrite()
    try refuseForeignAssignment()
    if let foreign = foreignStatement() {
      throw fail(foreign.message, notes: [foreign.note], fixIt: foreign.fix.map { .init(span(of: token), $0) })
    }
    if atName, next == .symbol(.dot), position + 2 < tokens.count,
      ["append", "extend", "push", "add", "insert"].contains(text(of: tokens[position + 2]))
    {
      throw fail(
        "a list does not grow", at: span(of: tokens[position + 2]),
        notes: ["a loop that is a value makes one: let all = for x in xs { ... yield h }"])
    }
    let calls = [.symbol(.openParenthesis), .symbol(.dot), .symbol(.pipe), .symbol(.openBracket), .newline]
      .contains(next)
    if atName, calls, Self.keyword(meantBy: text(of: token), among: [.return]) == nil {
      throw fail(
        "a value stands here, and nothing is done with it",
        notes: ["bind it with 'let name = ...', or give it back with 'return'"])
    }
    return try leadingKeyword(of: words, "a statement")
  }

  /// `layer.state <- value`
  private mutating func refuseMemberWrite() throws(Unwind) {
    let kinds = tokens[position...].prefix(4).map(\.kind)
    guard kinds.count == 4, atName, Array(kinds[1...]) == [.symbol(.dot), .name, .symbol(.write)] else { return }
    throw fail(
      "a state is written by its name alone, in its own layer", at: span(of: tokens[position + 3]),
      notes: ["move the line into a function of the layer that declares '\(text(of: tokens[position + 2]))'"])
  }

  /// `let = "let" pattern "=" expression`
  mutating func parseLet() throws(Unwind) -> Binding { try binding(isVariable: false) }

  /// `var = "var" pattern "=" expression`
  private mutating func parseVar() throws(Unwind) -> Binding { try binding(isVariable: true) }

  private mutating func binding(isVariable: Bool) throws(Unwind) -> Binding {
    let start = advance().start
    let pattern = try parsePattern()
    if at(.comma) {
      throw fail("several names stand in parentheses", notes: ["write 'let (a, b) = ...'"])
    }
    if at(.colon) {
      throw fail("the type of a 'let' or 'var' follows from its value", notes: ["leave out ':' and the type"])
    }
    if at(.write) || at(.equal) {
      throw fail("a value is bound with '='", fixIt: .init(span(of: token), "="))
    }
    try expect(.assign)
    let value = try parseExpression().expr
    return Binding(
      isVariable: isVariable, names: pattern.names, isTuple: pattern.isTuple, value: value, span: span(from: start))
  }

  /// `assignment = name "=" expression`
  private mutating func parseAssignment() throws(Unwind) -> Statement {
    let name = try parseName()
    try expect(.assign)
    let value = try parseExpression().expr
    return .assign(name, value, span(from: name.span.start))
  }

  /// `write = ( name | TEMPLATE ) [ subscripts ] "<-" expression`
  private mutating func parseWrite() throws(Unwind) -> Statement {
    if current == .string {
      let name = template()
      let part = try writtenPart()
      try expect(.write)
      let value = try parseExpression().expr
      return .writeNamed(name, part, value, span(from: name.span.start))
    }
    let name = try parseName()
    let part = try writtenPart()
    try expect(.write)
    let value = try parseExpression().expr
    return .write(name, part, value, span(from: name.span.start))
  }

  /// What is written of a cache; empty for all of it.
  private mutating func writtenPart() throws(Unwind) -> [Subscript] {
    at(.openBracket) ? try parseSubscripts().subscripts : []
  }

  /// Whether the name ahead has subscripts, behind which `<-` stands on the same line.
  private var writesPart: Bool {
    guard next == .symbol(.openBracket) else { return false }
    var depth = 0
    for token in tokens[(position + 1)...] where token.kind != .comment {
      if case .symbol(let symbol) = token.kind {
        if symbol == .write, depth == 0 { return true }
        if symbol.closer != nil { depth += 1 }
        if symbol.opener != nil { depth -= 1 }
      }
      if depth == 0, token.kind != .symbol(.closeBracket) { return false }
    }
    return false
  }

  /// `loop = "for" pattern "in" iterable body`
  private mutating func parseLoop() throws(Unwind) -> Loop {
    let start = advance().start
    let pattern = try parsePattern()
    if at(.comma) {
      throw fail(
        "several names stand in parentheses: for (a, b) in ...",
        notes: ["there is no index beside an element: for i in 0..<xs.count { let x = xs[i] ... }"])
    }
    try expect(.in)
    let values = try parseIterable().expr
    let body = try parseBody()
    return Loop(
      names: pattern.names, isTuple: pattern.isTuple, values: values, body: body, span: span(from: start))
  }

  /// `collected = "for" pattern "in" iterable body`
  mutating func parseCollected() throws(Unwind) -> Node {
    try enter()
    defer { depth -= 1 }
    let start = self.start
    let outer = ignoresNewlines
    ignoresNewlines = false
    defer { ignoresNewlines = outer }
    return Node(expr: Expr(.collect(try parseLoop()), span(from: start)), height: 2)
  }

  /// `yield = "yield" expression`
  private mutating func parseYield() throws(Unwind) -> Statement {
    let start = advance().start
    let value = try parseExpression().expr
    return .yield(value, span(from: start))
  }

  /// `iterable = expression [ "..<" expression ]`
  mutating func parseIterable() throws(Unwind) -> Node {
    let start = self.start
    let low = try parseExpression()
    guard at(.range) else { return low }
    advance()
    let high = try parseExpression()
    return try node(.range(low.expr, high.expr), from: start, low, high)
  }

  /// `choice = "if" expression body [ "else" ( choice | body ) ]`
  private mutating func parseChoice() throws(Unwind) -> Statement {
    try enter()
    defer { depth -= 1 }
    let start = advance().start
    let condition = try condition().expr
    let then = try parseBody()
    var otherwise: [Statement] = []
    if at(.else) {
      advance()
      if at(.if) { otherwise = [try parseChoice()] } else { otherwise = try parseBody() }
    }
    return .conditional(condition, then: then, otherwise: otherwise, span(from: start))
  }

  /// The expression between `if` and `{`.
  mutating func condition() throws(Unwind) -> Node {
    let condition = try parseExpression()
    if at(.assign) {
      throw fail("'=' binds a value; values are compared with '=='", fixIt: .init(span(of: token), "=="))
    }
    return condition
  }

  /// `require = "require" expression`
  mutating func parseRequire() throws(Unwind) -> Requirement {
    let start = advance().start
    let condition = try condition().expr
    return Requirement(condition: condition, span: span(from: start))
  }

  /// `return = "return" expression`
  private mutating func parseReturn() throws(Unwind) -> Statement {
    let start = advance().start
    if current == .newline || at(.closeBrace) {
      throw fail("'return' gives back a value, which stands on its line", at: afterPrevious)
    }
    let value = try parseExpression().expr
    if at(.comma) {
      throw fail(
        "several values are returned in parentheses",
        notes: ["write 'return (a, b)', and '-> ([B], [B])' for the types of the results"])
    }
    return .return(value, span(from: start))
  }
}
