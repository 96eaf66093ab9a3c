import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// One call of `fit`: compiles, then tries batch after batch.
struct TrainingRun {
  let session: TrainingSession
  private let trainer: Trainer
  /// As training found it, with what a checkpoint holds of weights that the step does not read.
  private(set) var model: Model
  private var plan: TrainingPlan
  private let dataset: Dataset
  private let evaluations: [Evaluation]
  /// What evaluations read: the session's arrays, and what is theirs alone.
  private let readers: SessionStorage
  private var compileSeconds = 0.0
  /// What was seen of the files before training.
  private var warningsOfFiles: [Diagnostic] = []
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

  /// - Parameter keepsWeights: whether the weights that the run begins with may be asked for later. A copy of them beside
  ///   those that are trained would be the peak of the memory.
  init(
    _ trainer: Trainer, _ model: consuming Model, _ data: TrainingData?, keepsWeights: Bool
  ) throws(LTMError) {
    let begin = ResourceUsage.monotonicSeconds
    self.trainer = trainer
    self.model = consume model
    let inputs = trainer.inputs(of: self.model)
    try reporting { try checkOutputs(trainer.outputs, inputs: inputs) }
    if let path = trainer.savePath { try reporting { try Checkpoint.checkPath(path) } }
    plan = try TrainingPlan(trainer, self.model, data)
    if data == nil { try plan.checkReports(self.model) }
    let dump = try trainer.dumpPath.map { (path) throws(LTMError) in try StageDump(path) }
    try dump?.begin(self.model.path)
    let program = try TrainingProgram(
      self.model, trainer.policy, sizes: plan.sizes, replicas: plan.replicas, dump: dump)
    if let dump {
      let backend = trainer.execution.target.backend
      for (name, text) in try backend.dump(program.lowered, architecture: nil) { dump.add(name, text) }
      try dump.finish()
    }
    session = try TrainingSession(
      self.model, program, trainer.policy, trainer.execution, learningRate: plan.learningRate,
      totalSteps: plan.totalAttempts, seed: plan.seed)
    if let checkpoint = plan.checkpoint {
      warningsOfFiles += [try session.restore(checkpoint, of: &self.model)].compactMap(\.self)
    }
    session.model = self.model
    try session.checkInitialWeights()
    if !keepsWeights {
      self.model = self.model.keepingGiven(Set(session.unreadWeights))
      session.model = self.model
    }
    try plan.checkIndices(self.model)
    let (dataset, executable) = (plan.dataset, session.executable)
    self.dataset = try reporting { try dataset.converted { executable.dtype(of: $0) } }
    let readers = session.storageOfReaders()
    self.readers = readers
    var evaluations: [Evaluation] = []
    if let test = dataset.test {
      for name in self.model.reportNames {
        evaluations.append(
          try Evaluation(name, self.model, trainer, test, batch: plan.batchSize, in: readers))
      }
    }
    self.evaluations = evaluations
    compileSeconds = ResourceUsage.monotonicSeconds - begin
  }

  /// Trains to the end, to a request to stop, or to an error.
  mutating func train(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) -> TrainingResult {
    let first = Int(try session.control(.attempt) ?? 0)
    firstStep = Int(try session.control(.step) ?? 0)
    var attempt = first
    var reports = attempt < plan.totalAttempts ? [] : try evaluate()
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
        reports = try evaluate()
        let epoch = (attempt - 1) / plan.batches.batchesPerEpoch
        try notify(observer, .epoch(EpochRecord(epoch: epoch, loss: sum.mean, reports: reports)))
        sum = LossSum()
      }
    }
    if let last, !wasStopped, attempt - first == skipped { try stop(at: last.record, observer) }
    let seconds = ResourceUsage.monotonicSeconds - begin
    return TrainingResult(
      steps: Int(try session.control(.step) ?? 0), skipped: skipped, loss: last?.record.loss ?? .nan,
      reports: reports, memory: session.executable.memory, seconds: seconds,
      wasStopped: wasStopped, warnings: warnings)
  }

  /// What the run has met that its user should know.
  private var warnings: [Diagnostic] {
    let counted = zip(session.program.step.indexReads, outside).filter { $0.1 > 0 }
    let own = counted.map { $0.warning(outside: Int($1)).showingItsLine() }
    return own
      + evaluations.flatMap(\.entry.warnings).filter { warning in !own.contains { $0.location == warning.location } }
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
      let scaling = trainer.policy.level.lossScale
      blame.notes.append(
        "\(LossScale.skipLimit) tries in a row were skipped with the loss scale at its floor of \(scaling.floor)"
          + (scaling.isDynamic ? "; --loss-scale dynamic:min=\(scaling.floor / 1024) lets it fall further" : ""))
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
    // Where no update was made they are what the run began with, which was looked at.
    let (tensors, metadata) = (session.tensorsToSave(of: model), plan.metadata(model, trainer.policy))
    try reporting { try writeSafetensors(path, tensors, metadata: metadata) }
  }

  /// What is reported, with the weights as they are now. One that the dtype of an evaluation cannot hold is the end of a run
  /// that diverges.
  private func evaluate() throws(LTMError) -> [ReportValue] {
    if evaluations.isEmpty { return [] }
    do {
      try readers.refresh()
    } catch {
      guard !error.isInternal, var first = error.diagnostics.first else { throw error }
      let step = Int(try session.control(.step) ?? 0)
      first.message = "after step \(step) the run has diverged: the weight \(first.message)"
      first.notes = ["a smaller learning rate, warmup, or bf16, which has the range of f32, may help"]
      throw LTMError(first)
    }
    return try evaluations.map { (evaluation) throws(LTMError) in
      ReportValue(name: evaluation.entry.name, value: try evaluation.value())
    }
  }

  private func overview(_ attempt: Int) -> TrainingOverview {
    TrainingOverview(
      totalSteps: plan.totalAttempts, stepsPerEpoch: plan.batches.batchesPerEpoch, batchSize: plan.batchSize,
      firstAttempt: attempt, length: plan.limitText, memory: session.executable.memory,
      reportBytes: evaluations.reduce(readers.memory.ofSession) { $0 + $1.entry.memoryBytes },
      compileSeconds: compileSeconds,
      warnings: (session.program.warnings + warningsOfFiles
        + [plan.warningOfPrecision(trainer.policy)].compactMap(\.self)).map {
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
