import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// One call of `fit`: compiles, then tries batch after batch.
struct TrainingRun {
  let session: TrainingSession
  private let trainer: Trainer
  private var model: Model
  private var plan: TrainingPlan
  private let dataset: Dataset
  private let report: CompiledEntry?
  private var compileSeconds = 0.0
  private var skipped = 0
  private var last: TryOutcome?
  private var firstStep = 0
  /// Whether an update itself made a weight or a state non-finite: there is no last good step to give back.
  private(set) var isRuined = false
  /// Tries that the device is still at, in order.
  private var underWay: [PendingTry] = []
  /// The losses of this pass over the data.
  private var sum = LossSum()
  /// How many computed indices lay outside so far, for each op of the step that reads some.
  private var outside: [Double] = []

  init(_ trainer: Trainer, _ model: Model, _ data: TrainingData?) throws(LTMError) {
    let begin = ResourceUsage.monotonicSeconds
    self.trainer = trainer
    self.model = model
    if let path = trainer.savePath { try reporting { try Checkpoint.checkPath(path) } }
    plan = try TrainingPlan(trainer, model, data)
    let dump = try trainer.dumpPath.map { (path) throws(LTMError) in try StageDump(path) }
    try dump?.begin(model.path)
    let program = try TrainingProgram(
      model, trainer.policy, sizes: plan.sizes, replicas: plan.replicas, dump: dump)
    if let dump {
      let backend = trainer.execution.target.backend
      for (name, text) in try backend.dump(program.lowered, architecture: nil) { dump.add(name, text) }
      try dump.finish()
    }
    session = try TrainingSession(
      model, program, trainer.policy, trainer.execution, learningRate: plan.learningRate, totalSteps: plan.totalAttempts
    )
    if let checkpoint = plan.checkpoint { try session.restore(checkpoint, from: trainer.resumePath ?? "") }
    try plan.checkIndices(model)
    let (dataset, executable) = (plan.dataset, session.executable)
    self.dataset = try reporting { try dataset.converted { executable.dtype(of: $0) } }
    report =
      dataset.test == nil
      ? nil
      : try model.reportName.map { (name) throws(LTMError) in
        try model.compile(name, policy: trainer.policy, execution: trainer.execution)
      }
    try prepareReport()
    compileSeconds = ResourceUsage.monotonicSeconds - begin
  }

  /// Trains to the end, to a request to stop, or to an error.
  mutating func train(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) -> TrainingResult {
    let first = Int(try session.control(.attempt) ?? 0)
    firstStep = Int(try session.control(.step) ?? 0)
    var attempt = first
    var value = attempt < plan.totalAttempts ? nil : try evaluate()
    try notify(observer, .started(overview(attempt)))
    let begin = ResourceUsage.monotonicSeconds
    var wasStopped = false
    while attempt < plan.totalAttempts, !wasStopped {
      try settle(leaving: session.lookahead(after: last), observer)
      try start(attempt)
      attempt += 1
      try settle(leaving: session.lookahead(after: last), observer)
      wasStopped = trainer.stopRequested()
      if attempt % plan.batches.batchesPerEpoch == 0 || attempt == plan.totalAttempts || wasStopped {
        try settle(leaving: 0, observer)
        try save(observer)
        value = try evaluate()
        let epoch = (attempt - 1) / plan.batches.batchesPerEpoch
        try notify(observer, .epoch(EpochRecord(epoch: epoch, loss: sum.mean, report: value)))
        sum = LossSum()
      }
    }
    if let last, !wasStopped, attempt - first == skipped { try stop(at: last.record, observer) }
    let seconds = ResourceUsage.monotonicSeconds - begin
    return TrainingResult(
      steps: Int(try session.control(.step) ?? 0), skipped: skipped, loss: last?.record.loss ?? .nan,
      reportName: report?.name, report: value, memory: session.executable.memory, seconds: seconds,
      wasStopped: wasStopped, warnings: warnings)
  }

  /// What the run has met that its user should know.
  private var warnings: [Diagnostic] {
    let counted = zip(session.program.step.indexReads, outside).filter { $0.1 > 0 }
    let own = counted.map { $0.warning(outside: Int($1)).showingItsLine() }
    return own + (report?.warnings ?? []).filter { warning in !own.contains { $0.location == warning.location } }
  }

  private mutating func start(_ attempt: Int) throws(LTMError) {
    let rows = plan.batches.rows(of: attempt)
    // What only the report reads is no input of the step.
    for parameter in dataset.train.tensors.keys where session.executable.dtype(of: parameter) != nil {
      try session.executable.fill(parameter) { dataset.train.gather(parameter, rows: rows, into: $0) }
    }
    underWay.append(try session.start())
  }

  /// Waits for tries, the oldest first, until so many are left.
  private mutating func settle(leaving count: Int, _ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    while underWay.count > count {
      let outcome = try underWay.removeFirst()()
      skipped += outcome.record.skipped ? 1 : 0
      last = outcome
      sum.add(outcome.record)
      outside = outcome.outside.enumerated().map { $1 + (outside.indices.contains($0) ? outside[$0] : 0) }
      try notify(observer, .step(outcome.record))
      if outcome.record.skipped { try checkWeights(after: outcome.record, observer) }
      if session.mustStop(outcome) { try stop(at: outcome.record, observer) }
    }
  }

  /// Compiles the report for the sizes of its batches, which no epoch's time should hold.
  private func prepareReport() throws(LTMError) {
    guard let report, let test = dataset.test else { return }
    for count in Set(test.evaluationBatches(max(plan.batchSize, 256)).map(\.count)) {
      try report.prepare(
        test.tensors.filter { report.takes($0.key) }.mapValues { [count] + $0.shape.dropFirst() })
    }
  }

  /// A run that cannot go on says which op is to blame. Everything is as it was before the try.
  private mutating func stop(
    at record: StepRecord, _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) {
    // Weights that came so from a file are blamed below.
    if try session.firstNonfinite() == nil { try save(observer) }
    var blame = try session.blameLastTry(record, trainer.execution) { (done, total) throws(LTMError) in
      try notify(observer, .replaying(done: done, of: total))
    }
    if trainer.policy.onNonfinite == .stop {
      blame.notes.append("nothing was updated by this step; --on-nonfinite skip would go on with the next batch")
    } else if skipped < LossScale.skipLimit {
      blame.notes.append("all \(skipped) tries of this run were skipped: nothing was trained")
    } else {
      blame.notes.append("\(LossScale.skipLimit) tries in a row were skipped with the loss scale at its floor")
    }
    throw LTMError(blame)
  }

  /// Ends the run where an update gave weights that are not finite, though loss and gradients were: nothing of it is
  /// saved. A skipped step is what follows from such weights, so that the others need no look.
  private mutating func checkWeights(
    after record: StepRecord?, _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) {
    guard let record, record.step > firstStep, let slot = try session.firstNonfinite() else { return }
    isRuined = true
    var blame = try session.blameUpdate(of: slot, record, model, trainer.execution) { (done, total) throws(LTMError) in
      try notify(observer, .replaying(done: done, of: total))
    }
    if let path = trainer.savePath { blame.notes.append("nothing more was saved: '\(path)' is as it was") }
    throw LTMError(blame)
  }

  private mutating func save(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    try checkWeights(after: last?.record, observer)
    guard let path = trainer.savePath else { return }
    let checkpoint = try session.checkpoint(of: model, metadata: plan.metadata(model, trainer.policy))
    try reporting { try checkpoint.save(path: path) }
  }

  /// The mean of the `report` entry over the test rows, each row counted once.
  private mutating func evaluate() throws(LTMError) -> Double? {
    guard let report, let test = dataset.test else { return nil }
    try session.store(in: &model)
    try report.replaceWeights(by: model)
    var sum = 0.0
    for rows in test.evaluationBatches(max(plan.batchSize, 256)) {
      let inputs = test.batch(rows).filter { report.takes($0.key) }
      let value = try report(inputs).first?.tensor.doubles.first ?? .nan
      sum += value * Double(rows.count)
    }
    return sum / Double(test.count)
  }

  private func overview(_ attempt: Int) -> TrainingOverview {
    TrainingOverview(
      totalSteps: plan.totalAttempts, stepsPerEpoch: plan.batches.batchesPerEpoch, batchSize: plan.batchSize,
      firstAttempt: attempt, memory: session.executable.memory, compileSeconds: compileSeconds,
      warnings: (session.program.warnings + [plan.warningOfPrecision(trainer.policy)].compactMap(\.self)).map {
        $0.showingItsLine()
      })
  }

  private func notify(_ observer: (TrainingEvent) throws -> Void, _ event: TrainingEvent) throws(LTMError) {
    try reporting { try observer(event) }
  }
}

/// The mean of finite losses.
private struct LossSum {
  private var sum = 0.0
  private var count = 0
  var mean: Double { count > 0 ? sum / Double(count) : .nan }

  mutating func add(_ record: StepRecord) {
    if record.loss.isFinite {
      sum += record.loss
      count += 1
    }
  }
}
