import LTMRuntime
import LTMSupport

/// What is evaluated while a run trains, and at its end.
struct Validation {
  /// Over the rows to validate on, and over the training rows where that is asked for.
  let evaluations: [Evaluation]
  /// Over the test rows, where others serve for validation.
  let tests: [Evaluation]
  /// Whether the test rows are validated on, for want of others.
  let usesTestRows: Bool
  /// What evaluations read: the session's arrays, and what is theirs alone.
  let readers: SessionStorage

  init(
    _ plan: TrainingPlan, _ data: RunData, _ model: Model, _ trainer: Trainer, in readers: SessionStorage
  ) throws(LTMError) {
    self.readers = readers
    func evaluation(
      _ name: String, _ split: String, _ rows: Dataset.Split, dataset: String? = nil
    ) throws(LTMError) -> Evaluation {
      let value = ReportValue(name: name, split: split, dataset: dataset)
      return try Evaluation(value, model, trainer, rows, batch: plan.batchSize, in: readers)
    }
    var all: [Evaluation] = []
    for (dataset, rows) in data.validation {
      for name in model.reportNames { all.append(try evaluation(name, "val", rows, dataset: dataset)) }
    }
    for name in plan.options.reportTrain ?? [] { all.append(try evaluation(name, "train", data.train)) }
    evaluations = all
    usesTestRows = data.usesTestRows
    var tests: [Evaluation] = []
    if let rows = data.test, !usesTestRows {
      for name in model.reportNames { tests.append(try evaluation(name, "test", rows)) }
    }
    self.tests = tests
  }

  /// What is reported, with the weights as they are now.
  func evaluate(limit: Int = .max) throws(LTMError) -> [ReportValue] {
    try evaluations.map { (evaluation) throws(LTMError) in try evaluation.evaluate(limit: limit) }
  }

  /// What stands in the result: over the test rows where there are such.
  func final(_ last: [ReportValue]) throws(LTMError) -> [ReportValue] {
    if !tests.isEmpty { return try tests.map { (test) throws(LTMError) in try test.evaluate() } }
    guard usesTestRows else { return last }
    return last.map { $0.split == "val" ? ReportValue(name: $0.name, split: "test", value: $0.value) : $0 }
  }

  /// Bytes of what is reported, beside the weights that training holds.
  var memoryBytes: Int {
    (evaluations + tests).reduce(readers.memory.ofSession) { $0 + ($1.entry?.memoryBytes ?? 0) }
  }

  /// What the evaluations so far have met.
  var warnings: [Diagnostic] { (evaluations + tests).flatMap { $0.entry?.warnings ?? [] } }

  /// What can be monitored.
  var keys: [String] { [Self.trainLoss] + evaluations.map(\.value.key) }

  /// The mean of the losses of an epoch's steps.
  static let trainLoss = "train_loss"
}
