import LTMPrecision
import LTMRuntime
import LTMSupport

/// When something other than a step is due, and when it is enough.
extension TrainingRun {
  /// Whether anything is to be done after so many attempts.
  func isDue(_ attempt: Int) -> Bool {
    attempt % plan.batches.batchesPerEpoch == 0 || isValidationDue(attempt) || isSaveDue(attempt)
  }

  /// Whether a validation is due, by the attempts alone: a resumed run validates where an unbroken one does.
  func isValidationDue(_ attempt: Int) -> Bool {
    let (perEpoch, every) = (plan.batches.batchesPerEpoch, options.checkValEveryNEpoch ?? 1)
    switch options.valCheckInterval {
    case nil: return attempt % perEpoch == 0 && (attempt / perEpoch) % every == 0
    case .count(let steps)?: return attempt % steps == 0
    case .fraction?:
      guard ((attempt - 1) / perEpoch + 1) % every == 0 else { return false }
      let steps = options.valCheckInterval?.of(perEpoch) ?? perEpoch
      let place = attempt % perEpoch
      return place == 0 ? perEpoch % steps == 0 : place % steps == 0
    }
  }

  /// Whether a checkpoint is due beside those at the end of each epoch.
  func isSaveDue(_ attempt: Int) -> Bool {
    guard trainer.savePath != nil || loop.folder.lastPath != nil else { return false }
    if let steps = options.saveEveryNSteps, attempt % steps == 0 { return true }
    return options.saveEvery.map { elapsed - lastSave >= $0 } ?? false
  }

  /// Why training ends here though steps are left: patience or time, but for the least that was asked for.
  func reasonToEnd(_ attempt: Int) -> String? {
    guard attempt > 0, attempt >= options.minSteps ?? 0,
      attempt / plan.batches.batchesPerEpoch >= options.minEpochs ?? 0
    else { return nil }
    if let reason = loop.monitor?.ending { return reason }
    if let limit = options.maxTime, elapsed >= limit { return "the time of \(Float(limit)) s was up" }
    return nil
  }

  /// What is reported, with the weights as they are now. One that the dtype of an evaluation cannot hold is the end of a run
  /// that diverges.
  func evaluate(limit: Int = .max) throws(LTMError) -> [ReportValue] {
    if validation.evaluations.isEmpty, validation.tests.isEmpty { return [] }
    do {
      try validation.readers.refresh()
    } catch {
      guard !error.isInternal, var first = error.diagnostics.first else { throw error }
      let step = Int(try session.control(.step) ?? 0)
      first.message = "after step \(step) the run has diverged: the weight \(first.message)"
      first.notes = ["a smaller learning rate, warmup, or bf16, which has the range of f32, may help"]
      throw LTMError(first)
    }
    return try validation.evaluate(limit: limit)
  }

  /// The same; where it cannot be evaluated, what was trained so far is saved first.
  mutating func evaluateOrSave(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) -> [ReportValue] {
    do {
      return try evaluate()
    } catch {
      try save(observer)
      throw error
    }
  }

  /// Evaluates a few batches before the first step: whatever is wrong with validation shows before hours of training.
  func checkSanity() throws(LTMError) {
    if let batches = options.numSanityValSteps, batches > 0 { _ = try evaluate(limit: batches) }
  }

  /// Writes all that the next step depends on.
  func write(_ path: String) throws(LTMError) {
    guard writesFiles else { return try contribute() }
    // Where no update was made they are what the run began with, which was looked at.
    let tensors = tensorsToSave()
    let metadata = plan.metadata(model, trainer.policy, loop.text(seconds: elapsed))
    try reporting { try writeSafetensors(path, tensors, metadata: metadata) }
  }

  /// Seconds of training, those before a resume included, as all ranks count them.
  var elapsed: Double { communicator == nil ? secondsHere : agreed.seconds }

  /// The same by this process's clock.
  var secondsHere: Double { loop.secondsBefore + (begin > 0 ? ResourceUsage.monotonicSeconds - begin : 0) }

  func notify(_ observer: (TrainingEvent) throws -> Void, _ event: TrainingEvent) throws(LTMError) {
    try reporting { try observer(event) }
  }

  func note(_ warnings: [Diagnostic], _ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    for warning in warnings { try notify(observer, .warning(warning)) }
  }

  /// Tells the monitor and a schedule that observes what a validation gave, and saves it where it is among the best. Gives whether it is the best.
  mutating func judge(
    _ reports: [ReportValue], _ mean: Double, _ epoch: Int, _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) -> Bool {
    let values =
      [NamedValue(name: Validation.trainLoss, value: mean)]
      + reports.map { NamedValue(name: $0.key, value: $0.value) }
    for value in values where value.value.isNaN && notNumbers.insert(value.name).inserted {
      let warning = Diagnostic(.warning, "\(value.name) is not a number after step \(last?.record.step ?? 0)")
      try notify(observer, .warning(warning))
    }
    guard var monitor = loop.monitor, let value = values.first(where: { $0.name == monitor.key })?.value else {
      return false
    }
    let step = last?.record.step ?? 0
    try observe(value)
    let isBest = monitor.take(value, step: step)
    loop.monitor = monitor
    if let name = loop.folder.admit(value, by: monitor, epoch: epoch, step: step, values) {
      try clock.time("checkpoints") { () throws(LTMError) in try write(loop.folder.path(name)) }
    }
    return isBest
  }
}
