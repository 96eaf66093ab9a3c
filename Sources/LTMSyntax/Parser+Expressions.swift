import LTMSupport

extension Parser {
  /// An expression and the height of its tree, which stays below the depth limit.
  struct Node {
    var expr: Expr
    var height = 1
  }

  mutating func node(_ kind: Expr.Kind, from start: Int32, _ children: Node...) throws(Unwind) -> Node {
    try node(kind, from: start, over: children.map(\.height).max() ?? 0)
  }

  mutating func node(_ kind: Expr.Kind, from start: Int32, over height: Int) throws(Unwind) -> Node {
    guard height < Self.depthLimit else { throw tooDeep() }
    return Node(expr: Expr(kind, span(from: start)), height: height + 1)
  }

  /// `expression = conditional | collected | pipeline`
  mutating func parseExpression() throws(Unwind) -> Node {
    try enter()
    defer { depth -= 1 }
    if at(.for) { return try parseCollected() }
    return at(.if) ? try parseConditional() : try parsePipeline()
  }

  /// `conditional = "if" expression branch "else" ( conditional | branch )`
  private mutating func parseConditional() throws(Unwind) -> Node {
    try enter()
    defer { depth -= 1 }
    let start = advance().start
    let condition = try condition()
    let then = try parseBranch()
    guard at(.else) else {
      throw expected("'else'", notes: ["an 'if' that is a value has both branches"])
    }
    advance()
    let otherwise = at(.if) ? try parseConditional() : try parseBranch()
    return try node(
      .conditional(condition.expr, then: then.expr, otherwise: otherwise.expr), from: start, condition, then, otherwise)
  }

  /// `branch = "{" [ lines ] expression [ lines ] "}"`
  mutating func parseBranch() throws(Unwind) -> Node {
    let mark = openers.count
    let outer = ignoresNewlines
    try openBlock()
    ignoresNewlines = false
    defer { ignoresNewlines = outer }
    skipLines()
    self.mark(.start)
    let value = try parseExpression()
    skipLines()
    guard at(.closeBrace) else {
      throw expected("'}'", notes: ["a block that is a value holds one expression"])
    }
    advance()
    openers.removeSubrange(mark...)
    return value
  }

  /// `pipeline = disjunction { "|>" postfix }`
  private mutating func parsePipeline() throws(Unwind) -> Node {
    let start = self.start
    var left = try parseDisjunction()
    while at(.pipe) {
      advance()
      let right = try parsePostfix()
      left = try node(.pipe(left.expr, right.expr), from: start, left, right)
    }
    return left
  }

  /// `operand { operator operand }`, grouped from the left.
  private mutating func chain(
    _ operators: [Symbol], operand: (inout Parser) throws(Unwind) -> Node
  ) throws(Unwind) -> Node {
    let start = self.start
    var left = try operand(&self)
    while let operation = acceptOperator(operators) {
      let right = try operand(&self)
      left = try node(.binary(operation, left.expr, right.expr), from: start, left, right)
    }
    return left
  }

  /// `disjunction = conjunction { "||" conjunction }`
  private mutating func parseDisjunction() throws(Unwind) -> Node {
    try chain([.or]) { parser throws(Unwind) in try parser.parseConjunction() }
  }

  /// `conjunction = comparison { "&&" comparison }`
  private mutating func parseConjunction() throws(Unwind) -> Node {
    try chain([.and]) { parser throws(Unwind) in try parser.parseComparison() }
  }

  private static let comparators: [Symbol] = [.equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual]

  /// `comparison = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum ]`
  private mutating func parseComparison() throws(Unwind) -> Node {
    let start = self.start
    let left = try parseSum()
    if at(.write) {
      throw fail(
        "'<-' writes a 'state'; a comparison with a negative value needs a space", fixIt: .init(span(of: token), "< -"))
    }
    guard let operation = acceptOperator(Self.comparators) else { return left }
    let right = try parseSum()
    if case .symbol(let second) = current, Self.comparators.contains(second) {
      throw fail("comparisons do not chain", notes: ["write 'a < b && b < c'"])
    }
    return try node(.binary(operation, left.expr, right.expr), from: start, left, right)
  }

  /// `sum = product { ( "+" | "-" ) product }`
  mutating func parseSum() throws(Unwind) -> Node {
    try chain([.plus, .minus]) { parser throws(Unwind) in try parser.parseProduct() }
  }

  /// `product = unary { ( "*" | "/" ) unary }`
  private mutating func parseProduct() throws(Unwind) -> Node {
    try chain([.star, .slash]) { parser throws(Unwind) in try parser.parseUnary() }
  }

  /// `unary = ( "-" | "!" ) unary | power`
  private mutating func parseUnary() throws(Unwind) -> Node {
    if atNot {
      try enter()
      defer { depth -= 1 }
      let place = span(of: advance())
      _ = fail("'not' is written '!', which binds tighter than '=='", at: place, fixIt: .init(place, "!"))
      return try parseUnary()
    }
    guard case .symbol(let symbol) = current, let operation = UnaryOperator(rawValue: symbol.rawValue) else {
      return try parsePower()
    }
    try enter()
    defer { depth -= 1 }
    mark(.prefix)
    let start = advance().start
    let operand = try parseUnary()
    return try node(.unary(operation, operand.expr), from: start, operand)
  }

  /// `power = postfix [ "**" unary ]`: `-x ** 2` is `-(x ** 2)`, and `a ** b ** c` is `a ** (b ** c)`
  private mutating func parsePower() throws(Unwind) -> Node {
    let start = self.start
    let base = try parsePostfix()
    guard at(.power) else { return base }
    try enter()
    defer { depth -= 1 }
    advance()
    let exponent = try parseUnary()
    return try node(.binary(.power, base.expr, exponent.expr), from: start, base, exponent)
  }
}
