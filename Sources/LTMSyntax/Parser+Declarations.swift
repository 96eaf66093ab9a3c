import LTMSupport

extension Parser {
  /// `module`
  mutating func parseModule() -> Module {
    var declarations: [Declaration] = []
    skipLines()
    while token.kind != .end {
      if at(.closeBrace) {
        _ = fail("this '}' closes nothing", fixIt: .init(span(of: token), ""))
        advance()
      } else {
        mark(.declaration)
        if let declaration = line(base: 0, { parser throws(Unwind) in try parser.parseDeclaration() }) {
          declarations.append(declaration)
        }
      }
      skipLines()
    }
    return Module(file: file, declarations: declarations)
  }

  /// `declaration`
  private mutating func parseDeclaration() throws(Unwind) -> Declaration {
    let words: [Keyword] = [
      .import, .let, .func, .layer, .model, .optimizer, .schedule, .clip, .average, .train, .weights,
    ]
    switch try leadingKeyword(of: words, "a declaration") {
    case .import: return .import(try parseImport())
    case .let: return .constant(try parseLet())
    case .func: return .function(try parseFunction())
    case .train: return .train(try parseTrain())
    case .weights: return .weights(try parseWeights())
    case .layer: return .type(try parseLayer())
    case .model: return .type(try parseModel())
    case .optimizer: return .type(try parseOptimizer())
    case .schedule: return .type(try parseSchedule())
    case .clip: return .type(try parseClip())
    case .average: return .type(try parseAverage())
    case _: throw expected("a declaration")
    }
  }

  /// The keyword ahead that begins an item, one of `words`; a misspelt one is reported and taken for what is meant.
  mutating func leadingKeyword(of words: [Keyword], _ what: String) throws(Unwind) -> Keyword {
    if case .keyword(let keyword) = current, words.contains(keyword) { return keyword }
    let list = words.map { "'\($0.rawValue)'" }.joined(separator: ", ")
    if atName, next == .symbol(.assign), words.contains(.let) {
      let place = Span(file, start, start)
      throw fail("a value is bound with 'let'", fixIt: .init(place, "let "))
    }
    if current == .string { throw fail("a string does nothing here", notes: ["a comment begins with '//'"]) }
    guard current == .name, let meant = Self.keyword(meantBy: text(of: token), among: words)
    else { throw expected(what, notes: ["\(what) begins with one of \(list)"]) }
    _ = fail(
      "'\(text(of: token))' begins no line here; did you mean '\(meant.rawValue)'?",
      fixIt: .init(span(of: token), meant.rawValue))
    return meant
  }

  /// What users of other languages write.
  private static let foreign: [String: Keyword] = [
    "def": .func, "fn": .func, "fun": .func, "function": .func, "class": .layer, "struct": .layer, "module": .layer,
    "const": .let, "val": .let, "constexpr": .let, "final": .let, "mut": .var, "use": .import, "include": .import,
    "from": .import,
    "parameter": .param, "buffer": .state, "foreach": .for, "give": .return, "assert": .require,
    "batch_size": .batch, "num_epochs": .epochs, "max_epochs": .epochs, "max_steps": .steps, "loss": .minimize,
    "metric": .report, "scheduler": .schedule, "lr_scheduler": .schedule, "dataset": .data,
  ]

  static func keyword(meantBy text: String, among words: [Keyword]) -> Keyword? {
    if let keyword = foreign[text], words.contains(keyword) { return keyword }
    guard text.utf8.count > 2, text.utf8.count < 20 else { return nil }
    return suggestion(for: text, among: words.map(\.rawValue)).flatMap { Keyword(rawValue: $0) }
  }

  /// `import = "import" STRING`
  private mutating func parseImport() throws(Unwind) -> ImportDeclaration {
    let start = advance().start
    guard current == .string else {
      throw expected(
        "the path of a file in quotes",
        notes: [
          "a file is imported, as in 'import \"layers.ltm\"'; the ops and the layers of the prelude need no import"
        ])
    }
    return ImportDeclaration(path: try string("the path of a file in quotes"), span: span(from: start))
  }

  mutating func string(_ what: String) throws(Unwind) -> StringLiteral {
    guard current == .string else { throw expected(what) }
    let written = template()
    guard case .string(let value) = written.kind else {
      throw fail("the path of a file is written out, without '\\(...)'", at: written.span)
    }
    return StringLiteral(value: value, span: written.span)
  }

  /// `TEMPLATE`: a string, with values in it or without.
  mutating func template() -> Expr {
    let token = advance()
    return Expr(kind(ofString: token), span(of: token))
  }

  /// The text between the quotes, with escapes resolved and names where `\(name)` stands.
  func kind(ofString token: Token) -> Expr.Kind {
    let bytes = file.bytes[Int(token.start) + 1..<Int(token.end) - 1]
    guard bytes.contains(UInt8(ascii: "\\")) else { return .string(String(decoding: bytes, as: UTF8.self)) }
    var parts: [TemplatePart] = []
    var text: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() else {
        text.append(byte)
        continue
      }
      guard escaped == UInt8(ascii: "("), let end = rest.firstIndex(of: UInt8(ascii: ")")) else {
        text.append(escaped)
        continue
      }
      if !text.isEmpty { parts.append(.text(String(decoding: text, as: UTF8.self))) }
      let place = Span(file, Int32(clamping: rest.startIndex), Int32(clamping: end))
      parts.append(.name(Identifier(place.text, place)))
      (text, rest) = ([], rest[(end + 1)...])
    }
    if parts.isEmpty { return .string(String(decoding: text, as: UTF8.self)) }
    if !text.isEmpty { parts.append(.text(String(decoding: text, as: UTF8.self))) }
    return .template(parts)
  }

  // MARK: Functions

  /// `function = "func" name parameters results body`
  mutating func parseFunction() throws(Unwind) -> FunctionDeclaration {
    let start = advance().start
    let name = try parseName()
    if ["__init__", "init"].contains(name.text), next == .name, text(of: tokens[position + 1]) == "self" {
      throw fail(
        "a layer is made by its parameters, not by '\(name.text)'", at: name.span,
        notes: ["as in: layer Net(hidden: Int) { let fc1 = Linear(64, hidden) ... }"])
    }
    let parameters = try parseParameters()
    guard at(.arrow) else {
      throw expected(
        "'->' and the type of the result", notes: ["for example '-> [B, 10] { ... }', or '-> [] { ... }' for a scalar"])
    }
    let results = try parseResults()
    let body = try parseBody()
    return FunctionDeclaration(
      name: name, parameters: parameters, results: results, body: body, span: span(from: start))
  }

  /// `rule = "func" name rule-parameters [ results ] body`
  mutating func parseRule() throws(Unwind) -> FunctionDeclaration {
    let start = advance().start
    let name = try parseName()
    let parameters = try parseRuleParameters()
    let results = at(.arrow) ? try parseResults() : []
    let body = try parseBody()
    return FunctionDeclaration(
      name: name, parameters: parameters, results: results, body: body, span: span(from: start))
  }

  /// `parameters = "(" [ parameter { "," parameter } [ "," ] ] ")"`
  mutating func parseParameters() throws(Unwind) -> [Parameter] {
    mark(.tight)
    return try list(.openParenthesis, .closeParenthesis) { parser throws(Unwind) in try parser.parseParameter() }
  }

  /// `rule-parameters = "(" [ rule-parameter { "," rule-parameter } [ "," ] ] ")"`
  private mutating func parseRuleParameters() throws(Unwind) -> [Parameter] {
    mark(.tight)
    return try list(.openParenthesis, .closeParenthesis) { parser throws(Unwind) in try parser.parseRuleParameter() }
  }

  /// `parameter = name ":" type [ "=" expression ]`
  private mutating func parseParameter() throws(Unwind) -> Parameter {
    guard atName, next != .symbol(.colon) else { return try parseRuleParameter() }
    let name = try parseName()
    if name.text == "self" || name.text == "this" {
      throw fail(
        "a function has no '\(name.text)'", at: name.span, notes: ["the members of its layer are named alone: fc1(x)"])
    }
    throw fail(
      "the parameter '\(name.text)' has no type", at: name.span,
      notes: ["write '\(name.text): [B, 64]' for a tensor, '\(name.text): Int' or '\(name.text): Float' for a number"])
  }

  /// `rule-parameter = name [ ":" type ] [ "=" expression ]`
  private mutating func parseRuleParameter() throws(Unwind) -> Parameter {
    let start = self.start
    let name = try parseName()
    let type = try optionalType()
    var value: Expr?
    if at(.assign) {
      advance()
      value = try parseExpression().expr
    }
    return Parameter(name: name, type: type, defaultValue: value, span: span(from: start))
  }

  mutating func optionalType() throws(Unwind) -> TypeExpr? {
    guard at(.colon) else { return nil }
    advance()
    return try parseType()
  }

  /// `results = "->" ( type | "(" type { "," type } [ "," ] ")" )`
  private mutating func parseResults() throws(Unwind) -> [TypeExpr] {
    advance()
    guard at(.openParenthesis) else { return [try parseType()] }
    let place = span(of: token)
    let types = try list(.openParenthesis, .closeParenthesis) { parser throws(Unwind) in try parser.parseType() }
    if types.isEmpty, !listFailed { throw fail("a function has a result", at: place) }
    return types
  }

  /// `body = "{" [ lines ] [ statement { lines statement } [ lines ] ] "}"`
  mutating func parseBody() throws(Unwind) -> [Statement] {
    try block(.statements) { parser throws(Unwind) in try parser.parseStatement() }
  }

  // MARK: Names

  /// `name`
  mutating func parseName() throws(Unwind) -> Identifier {
    if atName {
      let token = advance()
      return Identifier(text(of: token), span(of: token))
    }
    if case .keyword(let keyword) = current {
      let why = keyword.role == .dtype ? "the name of a dtype" : "a word of the language"
      throw fail("'\(keyword.rawValue)' is \(why) and cannot be a name")
    }
    if at(.underscore) { throw fail("'_' stands only for a name that is not used") }
    throw expected("a name")
  }

  /// `binder = name | "_"`
  mutating func parseBinder() throws(Unwind) -> Identifier {
    guard at(.underscore) else { return try parseName() }
    let token = advance()
    return Identifier("_", span(of: token))
  }

  /// `pattern = binder | "(" binder "," binder { "," binder } [ "," ] ")"`
  mutating func parsePattern() throws(Unwind) -> (names: [Identifier], isTuple: Bool) {
    guard at(.openParenthesis) else { return ([try parseBinder()], false) }
    let place = span(of: token)
    let names = try list(.openParenthesis, .closeParenthesis) { parser throws(Unwind) in try parser.parseBinder() }
    guard names.count > 1 || listFailed else { throw fail("a tuple pattern has two names or more", at: place) }
    return (names, true)
  }
}
