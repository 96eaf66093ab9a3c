import LTMSupport

extension Parser {
  /// `train = "train" name [ arguments ] "{" [ lines ] [ train-item { lines train-item } [ lines ] ] "}"`
  mutating func parseTrain() throws(Unwind) -> TrainDeclaration {
    let start = advance().start
    let model = try parseName()
    let arguments = try optionalArguments()
    let items = try block(.items) { parser throws(Unwind) in try parser.parseTrainItem() }
    return TrainDeclaration(model: model, arguments: arguments, items: items, span: span(from: start))
  }

  private mutating func optionalArguments() throws(Unwind) -> [Argument] {
    at(.openParenthesis) ? try parseArguments().arguments : []
  }

  /// `train-item = data | minimize | report | use-optimizer | use-schedule | setting`
  mutating func parseTrainItem() throws(Unwind) -> TrainItem {
    let settings: [Keyword] = [.batch, .epochs, .steps, .seed]
    let words: [Keyword] = [.data, .minimize, .report, .optimizer, .schedule] + settings
    mark(.item)
    if current == .name, let note = ForeignWord.trainLine(text(of: token)) {
      throw fail("'\(text(of: token))' is no line of a 'train' block", notes: [note])
    }
    if case .keyword(let word) = current, words.contains(word), next == .symbol(.assign) || next == .symbol(.colon) {
      advance()
      throw fail(
        "what '\(word.rawValue)' is to be follows it directly, as in '\(ForeignWord.example(of: word))'",
        fixIt: .init(span(of: token), ""))
    }
    switch try leadingKeyword(of: words, "a line of a 'train' block") {
    case .data: return try parseData()
    case .minimize: return try parseMinimize()
    case .report: return try parseReport()
    case .optimizer: return try parseUseOptimizer()
    case .schedule: return try parseUseSchedule()
    case _: return try parseSetting()
    }
  }

  /// `data = "data" STRING [ "{" data-field { "," data-field } [ "," ] "}" ]`
  private mutating func parseData() throws(Unwind) -> TrainItem {
    let start = advance().start
    let path = try string("the path of a data file in quotes")
    var fields: [DataFieldSyntax] = []
    if at(.openBrace) {
      let place = span(of: token)
      mark(.fields)
      fields = try list(.openBrace, .closeBrace) { parser throws(Unwind) in try parser.parseDataField() }
      if fields.isEmpty, !listFailed {
        throw fail("no parameter is named here", at: place, notes: ["for example '{ image: x, label: y }'"])
      }
    }
    return .data(path, fields: fields, span(from: start))
  }

  /// `data-field = name ":" name`
  private mutating func parseDataField() throws(Unwind) -> DataFieldSyntax {
    let parameter = try parseName()
    guard at(.colon) else {
      throw expected(
        "':' and the key in the data file", notes: ["for example '\(parameter.text): x' reads 'x_train' and 'x_test'"])
    }
    advance()
    return DataFieldSyntax(parameter: parameter, key: try parseName())
  }

  /// `minimize = "minimize" name`
  private mutating func parseMinimize() throws(Unwind) -> TrainItem {
    let start = advance().start
    return .minimize(try parseName(), span(from: start))
  }

  /// `report = "report" name`
  private mutating func parseReport() throws(Unwind) -> TrainItem {
    let start = advance().start
    return .report(try parseName(), span(from: start))
  }

  /// `use-optimizer = "optimizer" name [ arguments ]`
  private mutating func parseUseOptimizer() throws(Unwind) -> TrainItem {
    let start = advance().start
    let name = try parseName()
    return .optimizer(name, try optionalArguments(), span(from: start))
  }

  /// `use-schedule = "schedule" name [ arguments ]`
  private mutating func parseUseSchedule() throws(Unwind) -> TrainItem {
    let start = advance().start
    let name = try parseName()
    return .schedule(name, try optionalArguments(), span(from: start))
  }

  /// `setting = ( "batch" | "epochs" | "steps" | "seed" ) expression`
  private mutating func parseSetting() throws(Unwind) -> TrainItem {
    let word = advance()
    let value = try parseExpression().expr
    return .setting(Identifier(text(of: word), span(of: word)), value, span(from: word.start))
  }
}
