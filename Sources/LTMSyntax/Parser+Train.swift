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

  /// `train-item = data | minimize | report | use-optimizer | use-schedule | use-clip | use-average | weight-group | freeze
  /// | setting | option`
  mutating func parseTrainItem() throws(Unwind) -> TrainItem {
    let settings: [Keyword] = [.batch, .epochs, .steps, .seed, .accumulate]
    let rules: [Keyword] = [.optimizer, .schedule, .clip, .average, .group, .freeze]
    let words: [Keyword] = [.data, .minimize, .report] + rules + settings
    mark(.item)
    if current == .name || at(.weights), let note = ForeignWord.trainLine(text(of: token)) {
      throw fail("'\(text(of: token))' is no line of a 'train' block", notes: [note])
    }
    if case .keyword(let word) = current, words.contains(word), next == .symbol(.assign) || next == .symbol(.colon) {
      advance()
      throw fail(
        "what '\(word.rawValue)' is to be follows it directly, as in '\(ForeignWord.example(of: word))'",
        fixIt: .init(span(of: token), ""))
    }
    if current == .name, Self.keyword(meantBy: text(of: token), among: words) == nil { return try parseOption() }
    switch try leadingKeyword(of: words, "a line of a 'train' block") {
    case .data: return try parseData()
    case .minimize: return try parseMinimize()
    case .report: return try parseReport()
    case .optimizer: return try parseUseOptimizer()
    case .schedule: return try parseUseSchedule()
    case .clip: return try parseUseClip()
    case .average: return try parseUseAverage()
    case .group: return try parseWeightGroup()
    case .freeze: return try parseFreeze()
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

  /// `minimize = "minimize" name [ "for" STRING { "," STRING } ] [ loss-block ]`
  private mutating func parseMinimize() throws(Unwind) -> TrainItem {
    let start = advance().start
    var loss = MinimizedLoss(name: try parseName())
    if at(.for) {
      repeat {
        advance()
        loss.paths.append(try string("a path of weights in quotes, as in \"critic.**\""))
      } while at(.comma)
    }
    if at(.openBrace) { loss.items = try parseLossBlock() }
    return .minimize(loss, span(from: start))
  }

  /// `loss-block = "{" [ lines ] [ loss-item { lines loss-item } [ lines ] ] "}"`
  private mutating func parseLossBlock() throws(Unwind) -> [TrainItem] {
    try block(.items) { parser throws(Unwind) in try parser.parseLossItem() }
  }

  /// `loss-item = use-optimizer | use-schedule | use-clip | option`
  private mutating func parseLossItem() throws(Unwind) -> TrainItem {
    let words: [Keyword] = [.optimizer, .schedule, .clip]
    mark(.item)
    if current == .name, Self.keyword(meantBy: text(of: token), among: words) == nil { return try parseOption() }
    switch try leadingKeyword(of: words, "a line of what is minimized") {
    case .optimizer: return try parseUseOptimizer()
    case .schedule: return try parseUseSchedule()
    case _: return try parseUseClip()
    }
  }

  /// `report = "report" name { "," name }`
  private mutating func parseReport() throws(Unwind) -> TrainItem {
    let start = advance().start
    var names = [try parseName()]
    while at(.comma) {
      advance()
      names.append(try parseName())
    }
    return .report(names, span(from: start))
  }

  /// `use-optimizer = "optimizer" name [ arguments ]`
  private mutating func parseUseOptimizer() throws(Unwind) -> TrainItem {
    let start = advance().start
    let name = try parseName()
    return .optimizer(name, try optionalArguments(), span(from: start))
  }

  /// `use-schedule = "schedule" name [ arguments ] { "then" name [ arguments ] }`
  private mutating func parseUseSchedule() throws(Unwind) -> TrainItem {
    let start = advance().start
    var rules = [try usedRule()]
    while at(.then) {
      advance()
      rules.append(try usedRule())
    }
    return .schedule(rules, span(from: start))
  }

  private mutating func usedRule() throws(Unwind) -> UsedRule {
    UsedRule(name: try parseName(), arguments: try optionalArguments())
  }

  /// `use-clip = "clip" name [ arguments ]`
  private mutating func parseUseClip() throws(Unwind) -> TrainItem {
    let start = advance().start
    if case .integer = current { throw clipWithoutName() }
    if case .float = current { throw clipWithoutName() }
    return .clip(try usedRule(), span(from: start))
  }

  private mutating func clipWithoutName() -> Unwind {
    let number = span(of: token)
    return fail(
      "what is clipped has a name: the norm of all gradients together, or each value", at: number,
      notes: ["clip norm(\(number.text)), clip parameter_norm(\(number.text)) or clip value(\(number.text))"])
  }

  /// `use-average = "average" name [ arguments ]`
  private mutating func parseUseAverage() throws(Unwind) -> TrainItem {
    let start = advance().start
    return .average(try usedRule(), span(from: start))
  }

  /// `weight-group = "group" STRING "{" named { "," named } [ "," ] "}"`
  private mutating func parseWeightGroup() throws(Unwind) -> TrainItem {
    let start = advance().start
    let pattern = try string("a path of weights in quotes, as in \"**.bias\"")
    let place = span(of: token)
    mark(.fields)
    let arguments = try list(.openBrace, .closeBrace) { parser throws(Unwind) in
      guard parser.atName else {
        throw parser.expected(
          "an argument of the optimizer and its value", notes: ["for example '{ weight_decay: 0, lr: 1e-4 }'"])
      }
      return try parser.parseNamed().0
    }
    if arguments.isEmpty, !listFailed {
      throw fail("no argument is given here", at: place, notes: ["for example '{ weight_decay: 0 }'"])
    }
    return .group(pattern, arguments, span(from: start))
  }

  /// `freeze = "freeze" STRING`
  private mutating func parseFreeze() throws(Unwind) -> TrainItem {
    let start = advance().start
    return .freeze(try string("a path of weights in quotes, as in \"encoder.**\""), span(from: start))
  }

  /// `setting = ( "batch" | "epochs" | "steps" | "seed" | "accumulate" ) expression`
  private mutating func parseSetting() throws(Unwind) -> TrainItem {
    let word = advance()
    let value = try parseExpression().expr
    return .setting(Identifier(text(of: word), span(of: word)), value, span(from: word.start))
  }

  /// `option = NAME expression`
  private mutating func parseOption() throws(Unwind) -> TrainItem {
    let word = advance()
    let value = try parseExpression().expr
    return .option(Identifier(text(of: word), span(of: word)), value, span(from: word.start))
  }
}
