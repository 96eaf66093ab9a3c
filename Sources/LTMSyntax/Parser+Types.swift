import LTMSupport

// `layer`, `model`, `optimizer`, `schedule`, `clip` and `average`, and the types of their members.
extension Parser {
  /// `layer = "layer" name [ parameters ] layer-body`
  mutating func parseLayer() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.layer) { parser throws(Unwind) in try parser.parseLayerBody() }
  }

  /// `model = "model" name [ parameters ] layer-body`
  mutating func parseModel() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.model) { parser throws(Unwind) in try parser.parseLayerBody() }
  }

  /// `optimizer = "optimizer" name [ parameters ] rule-body`
  mutating func parseOptimizer() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.optimizer) { parser throws(Unwind) in try parser.parseRuleBody() }
  }

  /// `schedule = "schedule" name [ parameters ] rule-body`
  mutating func parseSchedule() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.schedule) { parser throws(Unwind) in try parser.parseRuleBody() }
  }

  /// `clip = "clip" name [ parameters ] rule-body`
  mutating func parseClip() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.clip) { parser throws(Unwind) in try parser.parseRuleBody() }
  }

  /// `average = "average" name [ parameters ] rule-body`
  mutating func parseAverage() throws(Unwind) -> TypeDeclaration {
    try typeDeclaration(.average) { parser throws(Unwind) in try parser.parseRuleBody() }
  }

  private mutating func typeDeclaration(
    _ kind: TypeDeclaration.Kind, members: (inout Parser) throws(Unwind) -> [Member]
  ) throws(Unwind) -> TypeDeclaration {
    let start = advance().start
    let name = try parseName()
    let parameters = at(.openParenthesis) ? try parseParameters() : []
    let body = try members(&self)
    return TypeDeclaration(
      kind: kind, name: name, parameters: parameters, members: body, span: span(from: start))
  }

  /// `layer-body = "{" [ lines ] [ layer-member { lines layer-member } [ lines ] ] "}"`
  private mutating func parseLayerBody() throws(Unwind) -> [Member] {
    try block(.members) { parser throws(Unwind) in try parser.parseLayerMember() }
  }

  /// `rule-body = "{" [ lines ] [ rule-member { lines rule-member } [ lines ] ] "}"`
  private mutating func parseRuleBody() throws(Unwind) -> [Member] {
    try block(.members) { parser throws(Unwind) in try parser.parseRuleMember() }
  }

  /// `layer-member = made-member | function`
  private mutating func parseLayerMember() throws(Unwind) -> Member {
    if at(.func) { return .function(try parseFunction()) }
    return try parseMadeMember(of: [.let, .param, .state, .cache, .require, .func, .for, .if])
  }

  /// `made-member = let | named-let | param | state | cache | require | member-loop | member-choice`
  private mutating func parseMadeMember(of words: [Keyword]) throws(Unwind) -> Member {
    if at(.var) { throw fail("a member is bound with 'let'", fixIt: .init(span(of: token), "let")) }
    switch try leadingKeyword(of: words, "a member") {
    case .let: return .binding(next == .string ? try parseNamedLet() : try parseLet())
    case .param: return .param(try parseParam())
    case .state: return .state(try parseState())
    case .cache: return .cache(try parseCache())
    case .require: return .require(try parseRequire())
    case .for: return .loop(try parseMemberLoop())
    case .if: return try parseMemberChoice()
    // A misspelt 'func' was reported.
    case .func: return .function(try parseFunction())
    case _: throw expected("a member")
    }
  }

  /// `named-let = "let" TEMPLATE "=" expression`
  private mutating func parseNamedLet() throws(Unwind) -> Binding {
    let start = advance().start
    let name = template()
    try expect(.assign)
    let value = try parseExpression().expr
    return Binding(
      isVariable: false, names: [], isTuple: false, computedName: name, value: value, span: span(from: start))
  }

  /// `member-loop = "for" pattern "in" iterable member-block`
  private mutating func parseMemberLoop() throws(Unwind) -> MemberLoop {
    let start = advance().start
    let pattern = try parsePattern()
    try expect(.in)
    let values = try parseIterable().expr
    let members = try parseMemberBlock()
    return MemberLoop(
      names: pattern.names, isTuple: pattern.isTuple, values: values, members: members, span: span(from: start))
  }

  /// `member-choice = "if" expression member-block [ "else" ( member-choice | member-block ) ]`
  private mutating func parseMemberChoice() throws(Unwind) -> Member {
    try enter()
    defer { depth -= 1 }
    let start = advance().start
    let condition = try condition().expr
    let then = try parseMemberBlock()
    var otherwise: [Member] = []
    if at(.else) {
      advance()
      if at(.if) { otherwise = [try parseMemberChoice()] } else { otherwise = try parseMemberBlock() }
    }
    return .conditional(condition, then: then, otherwise: otherwise, span(from: start))
  }

  /// `member-block = "{" [ lines ] [ made-member { lines made-member } [ lines ] ] "}"`
  private mutating func parseMemberBlock() throws(Unwind) -> [Member] {
    try block(.members) { parser throws(Unwind) in
      if parser.at(.func) {
        throw parser.fail("a function stands in the layer itself, outside of 'for' and 'if'")
      }
      return try parser.parseMadeMember(of: [.let, .param, .state, .cache, .require, .for, .if])
    }
  }

  /// `rule-member = let | rule-state | require | rule`
  private mutating func parseRuleMember() throws(Unwind) -> Member {
    if at(.var) { throw fail("a member is bound with 'let'", fixIt: .init(span(of: token), "let")) }
    if at(.param), Self.isName(next) {
      throw fail("only a layer or a model has a 'param'", notes: ["an optimizer keeps what it needs in 'state'"])
    }
    if at(.cache), Self.isName(next) {
      throw fail("only a layer or a model has a 'cache'", notes: ["an optimizer keeps what it needs in 'state'"])
    }
    switch try leadingKeyword(of: [.let, .state, .require, .func], "a member") {
    case .let: return .binding(try parseLet())
    case .state: return .state(try parseRuleState())
    case .require: return .require(try parseRequire())
    case .func: return .function(try parseRule())
    case _: throw expected("a member")
    }
  }

  /// `param = "param" ( name | TEMPLATE ) ":" type "=" expression`
  private mutating func parseParam() throws(Unwind) -> StorageMember { try storage(isRule: false) }

  /// `state = "state" ( name | TEMPLATE ) ":" type "=" expression`
  private mutating func parseState() throws(Unwind) -> StorageMember { try storage(isRule: false) }

  /// `cache = "cache" ( name | TEMPLATE ) ":" type`
  private mutating func parseCache() throws(Unwind) -> StorageMember {
    let word = advance()
    let (computed, name) = try storageName(isRule: false)
    let type = try optionalType()
    if at(.assign) {
      throw fail("a cache begins as zeros, and has no first value", notes: ["leave out '=' and what follows it"])
    }
    return StorageMember(
      name: name, computedName: computed, type: type, initializer: nil, span: span(from: word.start))
  }

  /// `rule-state = "state" name [ ":" type ] "=" expression`
  private mutating func parseRuleState() throws(Unwind) -> StorageMember { try storage(isRule: true) }

  private mutating func storage(isRule: Bool) throws(Unwind) -> StorageMember {
    let word = advance()
    let (computed, name) = try storageName(isRule: isRule)
    let type = try optionalType()
    guard at(.assign) else {
      throw expected(
        "'=' and the first value of '\(name.text)'", notes: ["for example '= zeros()' or '= kaiming_uniform()'"])
    }
    advance()
    let value = try parseExpression().expr
    return StorageMember(
      name: name, computedName: computed, type: type, initializer: value, span: span(from: word.start))
  }

  /// The name of a parameter, a state or a cache, which the type follows.
  private mutating func storageName(isRule: Bool) throws(Unwind) -> (computed: Expr?, name: Identifier) {
    var computed: Expr?
    let name: Identifier
    if current == .string, !isRule {
      let written = template()
      (computed, name) = (written, Identifier(written.span.text, written.span))
    } else {
      name = try parseName()
    }
    if !isRule, !at(.colon) {
      throw expected("':' and the type of '\(name.text)'", notes: ["for example '\(name.text): [features]'"])
    }
    return (computed, name)
  }

  // MARK: Types

  /// `type = dtype [ shape ] | shape | "[" "func" "]" | tuple-type | "func" | name`
  mutating func parseType() throws(Unwind) -> TypeExpr {
    try enter()
    defer { depth -= 1 }
    let start = self.start
    if at(.func) {
      advance()
      return .function(span(from: start))
    }
    if at(.openParenthesis) { return try parseTupleType() }
    if at(.openBracket) {
      if next == .keyword(.func) { return try functionList() }
      let dims = try parseShape()
      // `[Int]` has the form of a shape; what it names tells.
      if dims.count == 1, case .expression(let dim) = dims[0], let element = TypeExpr(dim) {
        return .list(element, span(from: start))
      }
      return .tensor(dtype: nil, dims: dims, span: span(from: start))
    }
    if atName {
      let name = try parseName()
      if at(.openBracket) { throw unknownDtype(name) }
      if at(.dot) || at(.not) {
        throw fail(
          "a tensor's type is its shape", at: name.span, notes: ["as in [B, 64], i32[B], or [...] for any shape"])
      }
      return .named(name)
    }
    guard case .keyword(let keyword) = current, keyword.role == .dtype else {
      throw expected(
        "a type",
        notes: [
          "a type is '[B, 64]', 'i32[B]', 'Int', 'Float', 'Bool', 'String', '[Int]', '(Int, Int)', 'func' or a layer's name"
        ])
    }
    let dtype = try parseDtype()
    var dims: [DimExpr] = []
    if at(.openBracket) {
      mark(.tight)
      dims = try parseShape()
    }
    return .tensor(dtype: dtype, dims: dims, span: span(from: start))
  }

  /// `tuple-type = "(" type "," type { "," type } [ "," ] ")"`
  private mutating func parseTupleType() throws(Unwind) -> TypeExpr {
    let opener = token
    let types = try list(.openParenthesis, .closeParenthesis) { parser throws(Unwind) in try parser.parseType() }
    guard types.count > 1 || listFailed else { throw fail("a tuple has two elements or more", at: span(of: opener)) }
    return .tuple(types, span(from: opener.start))
  }

  /// `[func]`
  private mutating func functionList() throws(Unwind) -> TypeExpr {
    let start = self.start
    let types = try list(.openBracket, .closeBracket) { parser throws(Unwind) in
      let word = try parser.expect(.func)
      return TypeExpr.function(parser.span(of: word))
    }
    guard let element = types.first, types.count == 1 || listFailed else {
      throw fail("a list has one type for all of its elements", at: span(from: start))
    }
    layout[position - 1].remove(.listEnd)
    return .list(element, span(from: start))
  }

  /// `dtype`
  mutating func parseDtype() throws(Unwind) -> Identifier {
    guard case .keyword(let keyword) = current, keyword.role == .dtype else {
      throw expected("a dtype", notes: ["one of " + Self.dtypes.joined(separator: ", ")])
    }
    let token = advance()
    return Identifier(text(of: token), span(of: token))
  }

  /// A name before a shape: the dtype of another language, most likely.
  private mutating func unknownDtype(_ name: Identifier) -> Unwind {
    if ["list", "tuple", "sequence", "array"].contains(name.text.lowercased()) {
      return fail("'\(name.text)' is no type", at: name.span, notes: [listTypeForms])
    }
    if ["optional", "dict", "set"].contains(name.text.lowercased()) {
      return fail("there are no parameters of type '\(name.text)'", at: name.span, notes: [listTypeForms])
    }
    if name.text.lowercased() == "tensor" {
      return fail("a tensor's type is its shape alone", at: name.span, fixIt: .init(name.span, ""))
    }
    let meant = foreignDtypes[name.text.lowercased()]
    return fail(
      "'\(name.text)' is no dtype", at: name.span,
      notes: ["the dtypes are " + Self.dtypes.joined(separator: ", ") + "; without one, the opt level decides"],
      fixIt: meant.map { .init(name.span, $0) })
  }

  private static let dtypes = Keyword.allCases.filter { $0.role == .dtype }.map(\.rawValue)

  /// `shape = "[" [ dim { "," dim } [ "," ] ] "]"`
  private mutating func parseShape() throws(Unwind) -> [DimExpr] {
    let place = span(of: token)
    return try list(.openBracket, .closeBracket, placeholder: .expression(Expr(.invalid, place))) {
      parser throws(Unwind) in try parser.parseDim()
    }
  }

  /// `dim = "..." | sum`
  private mutating func parseDim() throws(Unwind) -> DimExpr {
    if at(.ellipsis) { return .ellipsis(span(of: advance())) }
    return .expression(try parseSum().expr)
  }
}

/// What NumPy and PyTorch call the dtypes.
package let foreignDtypes = [
  "float16": "f16", "half": "f16", "bfloat16": "bf16", "float32": "f32", "float": "f32", "float64": "f64",
  "double": "f64", "int32": "i32", "int": "i32", "int64": "i64", "long": "i64", "uint8": "u8", "byte": "u8",
]
