import LTMSupport

extension Parser {
  /// `postfix = primary { arguments | member | subscripts }`; a bracket that begins a line begins something new.
  mutating func parsePostfix() throws(Unwind) -> Node {
    let start = self.start
    var value = try parsePrimary()
    while true {
      if at(.dot) {
        let name = try parseMember()
        value = try node(.member(value.expr, name), from: start, value)
      } else if at(.openParenthesis), token.newlines == 0 {
        let (arguments, height) = try parseArguments()
        value = try node(.call(value.expr, arguments), from: start, over: max(value.height, height))
      } else if at(.openBracket), token.newlines == 0 {
        let (subscripts, height) = try parseSubscripts()
        value = try node(.index(value.expr, subscripts), from: start, over: max(value.height, height))
      } else {
        return value
      }
    }
  }

  /// `member = "." name`
  private mutating func parseMember() throws(Unwind) -> Identifier {
    let point = advance()
    if position > 1, case .integer = tokens[position - 2].kind, tokens[position - 2].end == point.start, !atName {
      let place = span(of: tokens[position - 2]).through(span(of: point))
      throw fail("a number has a digit behind its point", at: place, fixIt: .init(place, place.text + "0"))
    }
    if case .integer(let index) = current {
      throw expected("a name after '.'", notes: ["an element of a list is written '[\(index)]'"])
    }
    return try parseName()
  }

  /// `arguments = "(" [ ( expression { "," expression } { "," named } | named { "," named } ) [ "," ] ] ")"`
  mutating func parseArguments() throws(Unwind) -> (arguments: [Argument], height: Int) {
    mark(.tight)
    let placeholder = Argument(name: nil, value: Expr(.invalid, span(of: token)))
    var height = 0
    var isNamed = false
    let arguments = try list(.openParenthesis, .closeParenthesis, placeholder: placeholder) {
      parser throws(Unwind) in
      let start = parser.start
      let (argument, argumentHeight) = try parser.argument()
      height = max(height, argumentHeight)
      if argument.name != nil {
        isNamed = true
      } else if isNamed {
        throw parser.fail("an argument without a name stands before those with one", at: parser.span(from: start))
      }
      return argument
    }
    return (arguments, height)
  }

  private mutating func argument() throws(Unwind) -> (Argument, Int) {
    if atName, position + 1 < tokens.count, tokens[position + 1].kind == .symbol(.colon) { return try parseNamed() }
    let value = try parseExpression()
    return (Argument(name: nil, value: value.expr), value.height)
  }

  /// `named = name ":" expression`
  mutating func parseNamed() throws(Unwind) -> (Argument, Int) {
    let name = try parseName()
    try expect(.colon)
    let value = try parseExpression()
    return (Argument(name: name, value: value.expr), value.height)
  }

  /// `subscripts = "[" subscript { "," subscript } [ "," ] "]"`
  mutating func parseSubscripts() throws(Unwind) -> (subscripts: [Subscript], height: Int) {
    mark(.tight)
    let place = span(of: token)
    var height = 0
    let subscripts = try list(.openBracket, .closeBracket, placeholder: .index(Expr(.invalid, place))) {
      parser throws(Unwind) in
      let (place, placeHeight) = try parser.parseSubscript()
      height = max(height, placeHeight)
      return place
    }
    if subscripts.isEmpty { throw fail("an index stands between '[' and ']'", at: place) }
    return (subscripts, height)
  }

  /// `subscript = "..." | expression | [ expression ] "..<" [ expression ] [ ":" expression ]`
  private mutating func parseSubscript() throws(Unwind) -> (Subscript, Int) {
    if at(.ellipsis) { return (.ellipsis(span(of: advance())), 0) }
    let start = self.start
    let low = at(.range) || at(.colon) ? nil : try parseExpression()
    if at(.colon) { throw foreignSlice() }
    guard at(.range) else {
      guard let low else { throw expected("an index") }
      return (.index(low.expr), low.height)
    }
    advance()
    let high = at(.comma) || at(.closeBracket) || at(.colon) ? nil : try parseExpression()
    var step: (expr: Expr, height: Int)?
    if at(.colon) {
      advance()
      let value = try parseExpression()
      step = (value.expr, value.height)
    }
    let height = max(low?.height ?? 0, high?.height ?? 0, step?.height ?? 0)
    return (.slice(low?.expr, high?.expr, step: step?.expr, span(from: start)), height)
  }

  /// `a:b`, which is written `a..<b`, and `a:b:c`, which is `a..<b:c`.
  private mutating func foreignSlice() -> Unwind {
    var depth = 0
    var isStepped = false
    for token in tokens[(position + 1)...].prefix(64) {
      guard case .symbol(let symbol) = token.kind else { continue }
      if symbol.closer != nil { depth += 1 }
      if symbol.opener != nil { depth -= 1 }
      if depth < 0 || depth == 0 && symbol == .comma { break }
      if depth == 0, symbol == .colon { isStepped = true }
    }
    if isStepped {
      return fail(
        "a part of a tensor with a step is 'a..<b:c'",
        notes: ["x[..<:2] is every second place; flip(x, axis: 0) goes backwards"])
    }
    return fail("a part of a tensor is 'a..<b', and '..<' is all of a dimension", fixIt: .init(span(of: token), "..<"))
  }

  /// `primary = INTEGER | FLOAT | TEMPLATE | "true" | "false" | name | dtype | group | sequence | pinned | recompute`
  private mutating func parsePrimary() throws(Unwind) -> Node {
    switch current {
    case .integer(let value): return leaf(.integer(value))
    case .float(let value): return leaf(.float(value))
    case .string: return leaf(kind(ofString: token))
    case .keyword(.true): return leaf(.boolean(true))
    case .keyword(.false): return leaf(.boolean(false))
    case .keyword(.recompute): return try parseRecompute()
    case .keyword(let keyword) where keyword.role == .dtype: return leaf(.name(keyword.rawValue))
    case .symbol(.openParenthesis): return try parseGroup()
    case .symbol(.openBracket): return try parseSequence()
    case .symbol(.at): return try parsePinned()
    case .name, .keyword, .symbol, .comment, .newline, .invalid, .end: break
    }
    guard atName else { throw noOperand() }
    try refuseForeignExpression()
    return leaf(.name(text(of: token)))
  }

  /// `lambda x: x`, `new Linear(2, 3)`, `f"..."`: a word and what it belongs to, on one line.
  private mutating func refuseForeignExpression() throws(Unwind) {
    if next == .string {
      throw fail(
        "a string has no letter before its quotes", notes: ["a value in a string is written \"weight_\\(layer)\""],
        fixIt: .init(span(of: token), ""))
    }
    guard Self.isName(next) || next == .symbol(.colon) && text(of: token) == "lambda",
      let foreign = ForeignWord.expression(text(of: token))
    else { return }
    throw fail(foreign.message, notes: [foreign.note])
  }

  private mutating func leaf(_ kind: Expr.Kind) -> Node {
    Node(expr: Expr(kind, span(of: advance())))
  }

  /// The words for what begins no expression.
  private mutating func noOperand() -> Unwind {
    switch current {
    case .symbol(.underscore): return fail("'_' stands only for a name that is not used")
    case .symbol(.ellipsis): return fail("'...' stands only in a tensor's type and in '[ ]' behind a value")
    case .symbol(.range): return fail("a range stands only behind 'in' and in '[ ]' behind a value")
    case .keyword(.if): return fail("an 'if' within an expression stands in parentheses")
    case .symbol(.dot):
      if position + 1 < tokens.count, case .integer = tokens[position + 1].kind {
        let place = span(of: token).through(span(of: tokens[position + 1]))
        return fail("a number has a digit before its point", at: place, fixIt: .init(place, "0" + place.text))
      }
      return expected("an expression")
    case .symbol(.openBrace): return expected("an expression", notes: ["there are lists, [a, b], and tuples, (a, b)"])
    case .symbol(.plus): return fail("a number has no '+' before it", fixIt: .init(span(of: token), ""))
    case .name, .keyword, .symbol, .integer, .float, .string, .comment, .newline, .invalid, .end:
      return expected("an expression")
    }
  }

  /// `group = "(" expression [ "," expression { "," expression } [ "," ] ] ")"`
  private mutating func parseGroup() throws(Unwind) -> Node {
    let opener = token
    let place = position
    var height = 0
    let elements = try list(.openParenthesis, .closeParenthesis, placeholder: Expr(.invalid, span(of: token))) {
      parser throws(Unwind) in
      let element = try parser.parseExpression()
      height = max(height, element.height)
      return element.expr
    }
    guard let first = elements.first else {
      throw fail("an expression stands between '(' and ')'", at: span(of: opener))
    }
    if elements.count > 1 { return try node(.tuple(elements), from: opener.start, over: height) }
    guard position < place + 2 || tokens[position - 2].kind != .symbol(.comma) else {
      throw fail("a tuple has two elements or more", at: span(of: opener))
    }
    layout[position - 1].remove(.listEnd)
    return Node(expr: Expr(first.kind, span(from: opener.start)), height: height)
  }

  /// `sequence = "[" expression ( "for" binder "in" iterable | { "," expression } [ "," ] ) "]"`
  private mutating func parseSequence() throws(Unwind) -> Node {
    let opener = token
    var height = 0
    var generator: (variable: Identifier, values: Expr)?
    let elements = try list(.openBracket, .closeBracket, placeholder: Expr(.invalid, span(of: token))) {
      parser throws(Unwind) in
      let element = try parser.parseExpression()
      height = max(height, element.height)
      guard parser.at(.for) else { return element.expr }
      parser.advance()
      let variable = try parser.parseBinder()
      try parser.expect(.in)
      let values = try parser.parseIterable()
      if parser.at(.if) {
        throw parser.fail("a list has no filter", notes: ["choose the range, or write its elements one by one"])
      }
      height = max(height, values.height)
      generator = (variable, values.expr)
      return element.expr
    }
    guard let first = elements.first else { throw fail("a list is not empty", at: span(of: opener)) }
    guard let generator else { return try node(.list(elements), from: opener.start, over: height) }
    guard elements.count == 1 || listFailed, tokens[position - 2].kind != .symbol(.comma) else {
      throw fail("'for' makes the whole list", at: span(of: opener))
    }
    layout[position - 1].remove(.listEnd)
    return try node(
      .comprehension(first, variable: generator.variable, in: generator.values), from: opener.start, over: height)
  }

  /// `recompute = "recompute" branch`
  private mutating func parseRecompute() throws(Unwind) -> Node {
    let start = advance().start
    let value = try parseBranch()
    return try node(.recompute(value.expr), from: start, value)
  }

  /// `pinned = "@" dtype branch`
  private mutating func parsePinned() throws(Unwind) -> Node {
    mark(.prefix)
    let start = advance().start
    let dtype = try parseDtype()
    let value = try parseBranch()
    return try node(.pinned(dtype: dtype, value.expr), from: start, value)
  }
}
