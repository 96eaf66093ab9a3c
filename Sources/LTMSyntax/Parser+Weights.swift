import LTMSupport

extension Parser {
  /// `weights = "weights" name "{" [ lines ] [ weight-line { lines weight-line } [ lines ] ] "}"`
  mutating func parseWeights() throws(Unwind) -> WeightsDeclaration {
    let start = advance().start
    let model = try parseName()
    let lines = try block(.items) { parser throws(Unwind) in try parser.parseWeightLine() }
    return WeightsDeclaration(model: model, lines: lines, span: span(from: start))
  }

  /// `weight-line = weight-map | ignore`
  private mutating func parseWeightLine() throws(Unwind) -> WeightLine {
    if at(.ignore) { return try parseIgnore() }
    guard current == .string || at(.openBracket) else {
      throw expected(
        "names of weights in quotes", notes: ["for example '\"encoder.layer.*.key\" -> \"blocks.*.key\"'"])
    }
    return try parseWeightMap()
  }

  /// `weight-map = weight-names "->" weight-names [ "transposed" ]`
  private mutating func parseWeightMap() throws(Unwind) -> WeightLine {
    let start = start
    let from = try parseWeightNames()
    guard at(.arrow) else { throw expected("'->' and the model's name for it") }
    advance()
    let to = try parseWeightNames()
    let isTransposed = at(.transposed)
    if isTransposed { advance() }
    return .map(from: from, to: to, isTransposed: isTransposed, span(from: start))
  }

  /// `weight-names = STRING | "[" STRING { "," STRING } [ "," ] "]"`
  private mutating func parseWeightNames() throws(Unwind) -> [StringLiteral] {
    guard at(.openBracket) else { return [try string("names of weights in quotes, as in \"blocks.*.key\"")] }
    let place = span(of: token)
    let names = try list(.openBracket, .closeBracket) { parser throws(Unwind) in
      try parser.string("names of weights in quotes")
    }
    if names.isEmpty, !listFailed { throw fail("no weight is named here", at: place) }
    return names
  }

  /// `ignore = "ignore" STRING`
  private mutating func parseIgnore() throws(Unwind) -> WeightLine {
    let start = advance().start
    return .ignore(try string("a path of weights in quotes, as in \"pooler.**\""), span(from: start))
  }
}
