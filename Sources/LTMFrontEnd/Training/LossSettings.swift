import LTMSupport
import LTMSyntax

/// What is minimized, and how: `minimize critic_loss for "critic.**" { optimizer Adam(lr: 1e-4) }`. Where something is not said of it, that of
/// the whole block holds.
package struct LossSettings: Sendable {
  /// The entry.
  package var entry: TrainSettings.Setting<String>
  /// The paths of the weights that it trains; empty for all.
  package var paths: [TrainSettings.Setting<String>] = []
  package var optimizer: RuleCall?
  package var schedule: RuleCall?
  package var clip: RuleCall?
  /// It is minimized with each batch of so many.
  package var every: TrainSettings.Setting<Int>?

  /// The lines of its own that are neither rules nor paths.
  static let options = ["every"]
}

extension TrainSettings {
  /// The entry that is minimized, or the first of several.
  package var minimize: Setting<String>? { losses.first?.entry }

  /// As if the block minimized one of its losses alone.
  package func settings(of loss: LossSettings) -> TrainSettings {
    var own = self
    own.losses = [loss]
    own.optimizer = loss.optimizer ?? optimizer
    own.schedule = loss.schedule ?? schedule
    own.clip = loss.clip ?? clip
    return own
  }
}

extension Elaborator {
  /// Adds what a line minimizes.
  func addLoss(_ loss: MinimizedLoss, to settings: inout TrainSettings) {
    var made = LossSettings(entry: .init(value: loss.name.text, span: loss.name.span))
    for path in loss.paths where isPath(path) { made.paths.append(.init(value: path.value, span: path.span)) }
    var seen: [String: Span] = [:]
    for item in loss.items {
      if let first = seen.updateValue(item.span, forKey: item.keyword) {
        fail("'\(item.keyword)' is given twice", at: item.span, labels: [.init(first, "first given here")])
      }
      read(item, into: &made)
    }
    if let other = settings.losses.first {
      if other.entry.value == made.entry.value || other.paths.isEmpty || made.paths.isEmpty {
        fail(
          "'minimize' is given twice", at: loss.name.span, labels: [.init(other.entry.span, "first given here")],
          notes: ["of several losses each names the weights that it trains, as in minimize loss for \"critic.**\""])
      }
    } else if let every = made.every {
      fail(
        "the first of several losses is minimized with every batch", at: every.span,
        notes: ["put the one that is minimized more often first"])
    }
    settings.losses.append(made)
  }

  private func read(_ item: TrainItem, into loss: inout LossSettings) {
    switch item {
    case .optimizer(let name, let arguments, _): loss.optimizer = ruleCall(name, arguments)
    case .schedule(let rules, _): loss.schedule = scheduleCall(rules)
    case .clip(let rule, _): loss.clip = ruleCall(rule)
    case .option(let name, let expr, let span):
      guard LossSettings.options.contains(name.text) else {
        fail(
          "'\(name.text)' is no line of what is minimized", at: name.span,
          notes: ["there are optimizer, schedule, clip, \(LossSettings.options.joined(separator: ", "))"])
        return
      }
      let value = evaluate(expr)
      if value.isPoison { return }
      guard let number = value.constantInteger, number >= 1 else {
        fail("'\(name.text)' is an Int of 1 or more, and this is \(describe(value))", at: expr.span)
        return
      }
      loss.every = .init(value: number, span: span)
    case .data, .minimize, .report, .average, .group, .freeze, .setting: return
    }
  }
}

extension Program {
  /// The parameters of a loss that what it gives beside itself replaces with the next batch: the last ones, of the same types. None where it
  /// gives nothing more.
  package func carried(_ entry: String) -> [String] {
    guard let info = self.entry(entry) else { return [] }
    let results = info.results.drop { $0.rank == 0 }
    let parameters = info.parameters.suffix(results.count)
    guard results.count < info.results.count, parameters.map(\.type) == Array(results) else { return [] }
    return parameters.map(\.name)
  }

  /// What is wrong with the weights of several losses: one that two of them train, or none.
  func lossProblems(with settings: TrainSettings) -> [Diagnostic] {
    guard settings.losses.count > 1 else { return [] }
    let frozen = frozen(by: settings)
    let paths = settings.losses.map { loss in loss.paths.map { PathPattern($0.value) } }
    var problems: [Diagnostic] = []
    for name in parameters.map(\.name) where !frozen.contains(name) {
      let owners = zip(settings.losses, paths).filter { $1.contains { $0.matches(name) } }.map(\.0.entry)
      if owners.count > 1 {
        problems.append(
          Diagnostic(
            "'\(owners[0].value)' and '\(owners[1].value)' both train '\(name)'", at: owners[1].span,
            notes: ["a weight has one optimizer: two losses of the same weights are one, their sum"]))
      } else if owners.isEmpty {
        problems.append(
          Diagnostic(
            "no loss is minimized for '\(name)'", at: settings.minimize?.span,
            notes: ["name it after 'for', or say that it stays as it is: freeze \"\(name)\""]))
      }
    }
    return Array(problems.prefix(1))
  }

  /// The weights that the loss of these settings does not train.
  func untouched(by settings: TrainSettings) -> Set<String> {
    guard let loss = settings.losses.first, !loss.paths.isEmpty else { return [] }
    let patterns = loss.paths.map { PathPattern($0.value) }
    return Set(parameters.map(\.name).filter { name in !patterns.contains { $0.matches(name) } })
  }
}
