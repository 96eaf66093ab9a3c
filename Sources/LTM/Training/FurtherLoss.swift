import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// The step of a loss beside the first one: a program of its own on the same arrays, with scalars, an optimizer and a loss scale of its own. It
/// runs on a batch after the steps of the losses before it, and reads the weights as these have left them.
struct FurtherLoss {
  let name: String
  /// It runs with each batch of so many.
  let every: Int
  let session: TrainingSession

  /// Whether it runs in an attempt.
  func isDue(_ attempt: Int) -> Bool { (attempt + 1) % every == 0 }

  /// What logs call a value of it: `lr/critic_loss`.
  func key(_ value: String) -> String { value == "loss" ? name : "\(value)/\(name)" }

  /// The values of its step in a log, in order.
  static let values = ["loss", "scale", "skipped"] + StepRecord.outputs.map(\.name)

  /// A try's values under their names in logs.
  func values(of outcome: TryOutcome) -> [NamedValue] {
    let record = outcome.record
    return [
      NamedValue(name: key("loss"), value: record.loss), NamedValue(name: key("scale"), value: record.scale),
      NamedValue(name: key("skipped"), value: record.skipped ? 1 : 0),
    ] + record.values.map { NamedValue(name: key($0.name), value: $0.value) }
  }
}

extension FurtherLoss {
  /// Those that the `train` block minimizes after the first.
  static func all(
    _ model: Model, _ trainer: Trainer, _ plan: TrainingPlan, beside first: TrainingSession
  ) throws(LTMError) -> [FurtherLoss] {
    var made: [FurtherLoss] = []
    for loss in model.settings?.losses.dropFirst() ?? [] {
      made.append(try FurtherLoss(loss, model, trainer, plan, beside: [first] + made.map(\.session)))
    }
    let sessions = [first] + made.map(\.session)
    let keys = sessions.map { Set($0.slots.compactMap(\.checkpointKey)) }
    for (index, session) in sessions.enumerated() {
      let others = keys.indices.filter { $0 != index }.reduce(into: Set<String>()) { $0.formUnion(keys[$1]) }
      session.keysElsewhere = others
      session.trainedElsewhere = others.intersection(model.weightNames)
    }
    return made
  }

  private init(
    _ loss: LossSettings, _ model: Model, _ trainer: Trainer, _ plan: TrainingPlan, beside others: [TrainingSession]
  ) throws(LTMError) {
    let name = loss.entry.value
    func program(_ sizes: [String: Int]) throws(LTMError) -> TrainingProgram {
      try TrainingProgram(
        model, trainer.policy, sizes: sizes, minimize: name, replicas: plan.replicas,
        sharesScale: plan.options.shareLossScale ?? false)
    }
    let whole = try program(try plan.sizes(of: name, model, isLast: false) ?? [:])
    let last = try plan.sizes(of: name, model, isLast: true).map { (sizes) throws(LTMError) in try program(sizes) }
    for other in others { try whole.check(beside: other.program, name) }
    (self.name, every) = (name, loss.every?.value ?? 1)
    session = try TrainingSession(
      model, whole, trainer.policy, trainer.execution,
      learningRate: try model.learningRate(of: loss, given: plan.learningRate),
      totalSteps: max(plan.totalAttempts / (loss.every?.value ?? 1), 1), seed: plan.seed ^ stableHash(name),
      lastProgram: last, storage: others[0].storage)
  }
}

extension TrainingProgram {
  /// Throws where two steps would read the same thing in two dtypes: it lies in memory once.
  fileprivate func check(beside other: TrainingProgram, _ loss: String) throws(LTMError) {
    for input in lowered.inputs where input.role == .argument || input.role == .parameter {
      guard let there = other.lowered.input(input.name) else { continue }
      let (own, others) = (lowered[input.value].type.dtype, other.lowered[there.value].type.dtype)
      guard own != others else { continue }
      throw LTMError(
        "'\(input.name)' is \(own) in the step of '\(loss)' and \(others) in that of another loss",
        notes: ["pin its dtype, or keep its layer in f32 with keep-f32"])
    }
  }
}

/// What is under way for a batch: the tries of the losses that it is for.
struct BatchTries {
  let first: PendingTry
  let further: [(loss: FurtherLoss, pending: PendingTry)]

  /// Waits for all of them, in order.
  func wait() throws(LTMError) -> (first: TryOutcome, further: [(loss: FurtherLoss, outcome: TryOutcome)]) {
    var outcome = try first()
    var others: [(loss: FurtherLoss, outcome: TryOutcome)] = []
    for (loss, pending) in further {
      others.append((loss, try pending()))
      outcome.record.values += others.last.map { loss.values(of: $0.outcome) } ?? []
    }
    return (outcome, others)
  }
}
