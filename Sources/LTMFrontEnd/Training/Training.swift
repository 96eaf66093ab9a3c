import LTMIR
import LTMSupport
import LTMSyntax

/// What a `train` block says; each line is a default that a flag or Swift can override.
package struct TrainSettings: Sendable {
  /// A value with the line that gives it.
  package struct Setting<Value: Sendable>: Sendable {
    package var value: Value
    package var span: Span

    /// A value that is given at a place.
    package init(value: Value, span: Span) { (self.value, self.span) = (value, span) }
  }

  /// `image: x`
  package struct Field: Sendable {
    /// The entry's parameter.
    package var parameter: String
    /// The key in the data: `x` for `x_train` and `x_test`.
    package var key: String
    /// Where the parameter is named.
    package var span: Span
  }

  /// The model's name.
  package var model: String
  /// Where it is named.
  package var span: Span
  /// The model's arguments.
  package var arguments: [String: CompileTimeValue] = [:]
  /// The path of the data, seen from where the file's own path is.
  package var data: Setting<String>?
  /// What is read for each parameter.
  package var fields: [Field] = []
  /// What is minimized, in the order in which a step goes through it.
  package var losses: [LossSettings] = []
  /// The entries that are reported.
  package var reports: [Setting<String>] = []
  package var optimizer: RuleCall?
  package var schedule: RuleCall?
  package var clip: RuleCall?
  package var average: RuleCall?
  /// Weights that are updated with other arguments; of several that hold for a weight, the last one with an argument wins.
  package var groups: [WeightGroup] = []
  /// The paths of weights that are not trained.
  package var freezes: [Setting<String>] = []
  package var batch: Setting<Int>?
  package var epochs: Setting<Int>?
  package var steps: Setting<Int>?
  package var seed: Setting<Int>?
  /// Batches whose gradients make one update.
  package var accumulate: Setting<Int>?
  /// What else is said of how the trainer goes about it, by name, as text: `val_split` is `0.1`.
  package var options: [String: Setting<String>] = [:]

  /// The lines with a number.
  static let numbers = ["batch", "epochs", "steps", "seed", "accumulate"]
  /// The lines of which there may be several.
  static let repeated = ["group", "freeze"]
  /// Every line that there is.
  static let lines =
    ["data", "minimize", "report", "optimizer", "schedule", "clip", "average"] + repeated + numbers + options
  /// The lines that the trainer reads itself; a flag of the same name wins over each.
  package static let options = [
    "val_split", "val_split_by", "val_data", "report_train", "val_check_interval", "check_val_every_n_epoch",
    "limit_train_batches", "limit_val_batches", "num_sanity_val_steps", "overfit_batches", "monitor", "monitor_mode",
    "patience", "min_delta", "max_time", "min_epochs", "min_steps", "save_top_k", "save_every_n_steps", "save_every",
    "save_name", "log_every_n_steps", "window", "window_stride", "missing", "unseen", "sample_weight", "balance",
    "keep_last_batch", "loader_threads", "share_loss_scale", "tokenizer", "histograms", "truncated_bptt_steps",
    "same_bits", "batch_parts", "shard",
  ]
}

/// `group "**.bias" { weight_decay: 0 }`
package struct WeightGroup: Sendable {
  /// The path of the weights.
  package var pattern: TrainSettings.Setting<String>
  /// What takes the place of the optimizer's arguments.
  package var arguments: [RuleCall.Argument]
}

extension LoadedFile {
  /// What the `train` block of a model says; `nil` where there is none.
  package func train(for model: String) throws(DiagnosticSet) -> TrainSettings? {
    guard let block = trainBlocks.first(where: { $0.model.text == model }) else { return nil }
    return try settings(of: block)
  }

  var trainBlocks: [TrainDeclaration] {
    module.declarations.compactMap { if case .train(let block) = $0 { block } else { nil } }
  }

  func settings(of block: TrainDeclaration) throws(DiagnosticSet) -> TrainSettings {
    let (settings, diagnostics) = checkedSettings(of: block)
    try diagnostics.throwIfErrors()
    return settings
  }

  /// The data files that `train` blocks name, with their places.
  package var dataFiles: [(path: String, span: Span?)] {
    trainBlocks.compactMap { checkedSettings(of: $0).0.data.map { ($0.value, $0.span) } }
  }

  /// The lines of `train` blocks that the trainer reads itself, in order.
  package var optionLines: [(name: String, value: String, span: Span)] {
    let lines = trainBlocks.flatMap { block in
      checkedSettings(of: block).0.options.map { (name: $0.key, value: $0.value.value, span: $0.value.span) }
    }
    return lines.sorted { $0.span.start < $1.span.start }
  }

  /// What could be read of a block, and what is wrong with the rest.
  func checkedSettings(of block: TrainDeclaration) -> (TrainSettings, DiagnosticSet) {
    let elaborator = Elaborator(self)
    let frame = Frame(name: "train \(block.model.text)", module: mainIndex)
    let settings = elaborator.within(frame) { elaborator.settings(of: block, in: self) }
    return (settings, elaborator.diagnostics)
  }
}

extension Elaborator {
  fileprivate func settings(of block: TrainDeclaration, in file: LoadedFile) -> TrainSettings {
    var settings = TrainSettings(model: block.model.text, span: block.model.span)
    settings.arguments = modelArguments(block)
    var seen: [String: Span] = [:]
    for item in block.items {
      let name = item.keyword
      if let first = seen[name], !TrainSettings.repeated.contains(name), name != "minimize" {
        fail("'\(name)' is given twice", at: item.span, labels: [.init(first, "first given here")])
      }
      seen[name] = item.span
      read(item, into: &settings)
    }
    return settings
  }

  private func read(_ item: TrainItem, into settings: inout TrainSettings) {
    switch item {
    case .data(let path, let fields, let span):
      settings.data = .init(value: resolvePath(path.value, relativeTo: file.module.file.path), span: span)
      for field in fields {
        settings.fields.append(.init(parameter: field.parameter.text, key: field.key.text, span: field.parameter.span))
      }
    case .minimize(let loss, _): addLoss(loss, to: &settings)
    case .report(let names, _):
      for name in names where !settings.reports.contains(where: { $0.value == name.text }) {
        settings.reports.append(.init(value: name.text, span: name.span))
      }
    case .optimizer(let name, let arguments, _): settings.optimizer = ruleCall(name, arguments)
    case .schedule(let rules, _): settings.schedule = scheduleCall(rules)
    case .clip(let rule, _): settings.clip = ruleCall(rule)
    case .average(let rule, _): settings.average = ruleCall(rule)
    case .group(let pattern, let arguments, _):
      let group = WeightGroup(
        pattern: .init(value: pattern.value, span: pattern.span), arguments: arguments.compactMap(ruleArgument))
      if isPath(pattern) { settings.groups.append(group) }
    case .freeze(let pattern, _):
      if isPath(pattern) { settings.freezes.append(.init(value: pattern.value, span: pattern.span)) }
    case .setting(let name, let expr, let span): setNumber(name, expr, span, in: &settings)
    case .option(let name, let expr, let span): setOption(name, expr, span, in: &settings)
    }
  }

  private func setOption(_ name: Identifier, _ expr: Expr, _ span: Span, in settings: inout TrainSettings) {
    guard TrainSettings.options.contains(name.text) else { return failUnknown(name) }
    if let word = expr.bareName {
      settings.options[name.text] = .init(value: word, span: span)
    } else if let value = known(expr) {
      var text = value.description
      if name.text == "tokenizer", case .string = value {
        text = resolvePath(text, relativeTo: file.module.file.path)
      }
      settings.options[name.text] = .init(value: text, span: span)
    }
  }

  private func failUnknown(_ name: Identifier) {
    fail(
      "'\(name.text)' is no setting of a 'train' block", at: name.span,
      notes: ["there are \(TrainSettings.lines.joined(separator: ", "))"],
      fixIt: suggestion(for: name.text, among: TrainSettings.lines).map { .init(name.span, $0) })
  }

  private func setNumber(_ name: Identifier, _ expr: Expr, _ span: Span, in settings: inout TrainSettings) {
    guard TrainSettings.numbers.contains(name.text) else { return failUnknown(name) }
    let value = evaluate(expr)
    if value.isPoison { return }
    let least = name.text == "seed" ? 0 : 1
    guard let number = value.constantInteger, number >= least else {
      fail("'\(name.text)' is an Int of \(least) or more, and this is \(describe(value))", at: expr.span)
      return
    }
    // The rows of a window lie in memory together.
    if name.text == "accumulate", number > 65_536 {
      fail("'accumulate' is 65536 at most, and this is \(number)", at: expr.span)
      return
    }
    let setting = TrainSettings.Setting(value: number, span: span)
    switch name.text {
    case "batch": settings.batch = setting
    case "epochs": settings.epochs = setting
    case "steps": settings.steps = setting
    case "accumulate": settings.accumulate = setting
    default: settings.seed = setting
    }
  }

  func scheduleCall(_ rules: [UsedRule]) -> RuleCall? {
    var call = rules.first.map { ruleCall($0) }
    call?.then = rules.dropFirst().map { ruleCall($0) }
    return call
  }

  func ruleCall(_ name: Identifier, _ arguments: [LTMSyntax.Argument]) -> RuleCall {
    RuleCall(name: name.text, span: name.span, arguments: arguments.compactMap(ruleArgument))
  }

  func ruleCall(_ rule: UsedRule) -> RuleCall { ruleCall(rule.name, rule.arguments) }

  private func ruleArgument(_ argument: LTMSyntax.Argument) -> RuleCall.Argument? {
    known(argument.value).map {
      RuleCall.Argument(
        name: argument.name?.text, value: $0, span: argument.value.span, nameSpan: argument.name?.span)
    }
  }

  /// Whether a string is a path of weights; says so where it is not.
  func isPath(_ pattern: StringLiteral) -> Bool {
    if PathPattern.isValid(pattern.value) { return true }
    fail("\"\(pattern.value)\" is no path of weights", at: pattern.span, notes: ["write \(PathPattern.form)"])
    return false
  }

  /// What can be given from outside; `nil` after an error.
  private func known(_ expr: Expr) -> CompileTimeValue? {
    let value = evaluate(expr)
    if value.isPoison { return nil }
    if let known = CompileTimeValue(value) { return known }
    fail(
      "an argument here is a number, a Bool, a String, a function, or a list or tuple of them, and this is \(describe(value))",
      at: expr.span)
    return nil
  }

  private func modelArguments(_ block: TrainDeclaration) -> [String: CompileTimeValue] {
    let model = block.model
    guard case .type(let type)? = file.declaration(model.text, in: file.mainIndex)?.declaration, type.kind == .model
    else {
      fail(
        "there is no model '\(model.text)'", at: model.span,
        fixIt: suggestion(for: model.text, among: file.models).map { .init(model.span, $0) })
      return [:]
    }
    let given = block.arguments.map { Given(name: $0.name, value: evaluate($0.value), span: $0.value.span) }
    // A parameter that is left out may come from a flag: only what is given is checked here.
    var optional = type.parameters
    for index in optional.indices where optional[index].defaultValue == nil {
      optional[index].defaultValue = Expr(.invalid, optional[index].span)
    }
    guard let bound = bind(given, to: optional, of: model.text, at: block.span) else { return [:] }
    var values: [String: CompileTimeValue] = [:]
    for (parameter, given) in zip(type.parameters, bound) {
      guard let given, let value = compileTime(given.value, parameter, given.span, allowsSymbols: false) else {
        continue
      }
      values[parameter.name.text] = CompileTimeValue(value)
    }
    return values
  }
}

extension TrainItem {
  /// The word that the line begins with.
  var keyword: String {
    switch self {
    case .data: "data"
    case .minimize: "minimize"
    case .report: "report"
    case .optimizer: "optimizer"
    case .schedule: "schedule"
    case .clip: "clip"
    case .average: "average"
    case .group: "group"
    case .freeze: "freeze"
    case .setting(let name, _, _), .option(let name, _, _): name.text
    }
  }
}

extension Expr {
  /// The name, where there is nothing else.
  var bareName: String? { if case .name(let name) = kind { name } else { nil } }
}
