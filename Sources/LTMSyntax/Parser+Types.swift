import LTMSupport

// `layer`, `model`, `optimizer` and `schedule`, and the types of their members.
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

  /// `layer-member = let | param | state | require | function`
  private mutating func parseLayerMember() throws(Unwind) -> Member {
    if at(.var) { throw fail("a member is bound with 'let'", fixIt: .init(span(of: token), "let")) }
    switch try leadingKeyword(of: [.let, .param, .state, .require, .func], "a member") {
    case .let: return .binding(try parseLet())
    case .param: return .param(try parseParam())
    case .state: return .state(try parseState())
    case .require: return .require(try parseRequire())
    case .func: return .function(try parseFunction())
    case _: throw expected("a member")
    }
  }

  /// `rule-member = let | rule-state | require | rule`
  private mutating func parseRuleMember() throws(Unwind) -> Member {
    if at(.var) { throw fail("a member is bound with 'let'", fixIt: .init(span(of: token), "let")) }
    if at(.param), Self.isName(next) {
      throw fail("only a layer or a model has a 'param'", notes: ["an optimizer keeps what it needs in 'state'"])
    }
    switch try leadingKeyword(of: [.let, .state, .require, .func], "a member") {
    case .let: return .binding(try parseLet())
    case .state: return .state(try parseRuleState())
    case .require: return .require(try parseRequire())
    case .func: return .function(try parseRule())
    case _: throw expected("a member")
    }
  }

  /// `param = "param" name ":" type "=" expression`
  private mutating func parseParam() throws(Unwind) -> StorageMember { try storage(needsType: true) }

  /// `state = "state" name ":" type "=" expression`
  private mutating func parseState() throws(Unwind) -> StorageMember { try storage(needsType: true) }

  /// `rule-state = "state" name [ ":" type ] "=" expression`
  private mutating func parseRuleState() throws(Unwind) -> StorageMember { try storage(needsType: false) }

  private mutating func storage(needsType: Bool) throws(Unwind) -> StorageMember {
    let word = advance()
    let name = try parseName()
    if needsType, !at(.colon) {
      throw expected("':' and the type of '\(name.text)'", notes: ["for example '\(name.text): [features]'"])
    }
    let type = try optionalType()
    guard at(.assign) else {
      throw expected(
        "'=' and the first value of '\(name.text)'", notes: ["for example '= zeros()' or '= kaiming_uniform()'"])
    }
    advance()
    let value = try parseExpression().expr
    return StorageMember(name: name, type: type, initializer: value, span: span(from: word.start))
  }

  // MARK: Types

  /// `type = dtype [ shape ] | shape | name`
  mutating func parseType() throws(Unwind) -> TypeExpr {
    let start = self.start
    if at(.openBracket) {
      let dims = try parseShape()
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
      throw expected("a type", notes: ["a type is '[B, 64]', 'i32[B]', 'Int', 'Float', 'Bool' or a layer's name"])
    }
    let dtype = try parseDtype()
    var dims: [DimExpr] = []
    if at(.openBracket) {
      mark(.tight)
      dims = try parseShape()
    }
    return .tensor(dtype: dtype, dims: dims, span: span(from: start))
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
    if ["list", "tuple", "sequence", "array", "optional", "dict", "set"].contains(name.text.lowercased()) {
      return fail("there are no parameters of list type", at: name.span, notes: [listParameterRemedy])
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

/// What to do where a parameter was to hold a list.
package let listParameterRemedy =
  "give each value a parameter of its own (a: Int, b: Int), or make the list where it is used: for size in [64, 32]"

/// What NumPy and PyTorch call the dtypes.
package let foreignDtypes = [
  "float16": "f16", "half": "f16", "bfloat16": "bf16", "float32": "f32", "float": "f32", "float64": "f64",
  "double": "f64", "int32": "i32", "int": "i32", "int64": "i64", "long": "i64", "uint8": "u8", "byte": "u8",
]
