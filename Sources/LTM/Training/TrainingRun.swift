import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// One call of `fit`: compiles, then tries batch after batch.
struct TrainingRun {
  /// The step of what is minimized, or of the first of several losses.
  let session: TrainingSession
  /// The steps of the others.
  let further: [FurtherLoss]
  let trainer: Trainer
  let options: TrainingOptions
  /// As training found it, with what a checkpoint holds of weights that the step does not read.
  private(set) var model: Model
  var plan: TrainingPlan
  let data: RunData
  let validation: Validation
  var loop: LoopState
  var logs: RunLogs
  private var compileSeconds = 0.0
  /// What was seen before training.
  private var warningsBefore: [Diagnostic] = []
  private var skipped = 0
  var last: TryOutcome?
  private var firstStep = 0
  /// When training began.
  private(set) var begin = 0.0
  /// After how many seconds of training a checkpoint was last written.
  var lastSave = 0.0
  /// Whether an update itself made a weight or a state non-finite: there is no last good step to give back.
  private(set) var isRuined = false
  /// Gathers batches ahead, where that is asked for.
  private let loader: BatchLoader?
  /// How long the parts of the run took.
  let clock = PhaseClock()
  /// Tries that the device is still at, in order.
  private var underWay: [BatchTries] = []
  /// How many computed indices lay outside so far, for each op of the step that reads some.
  var outside: [Double] = []
  /// What all ranks take for the time, and for a wish to stop.
  var agreed = (isStopped: false, seconds: 0.0)
  /// Metrics that were no number, each named once.
  var notNumbers: Set<String> = []

  /// - Parameter keepsWeights: whether the weights that the run begins with may be asked for later. A copy of them beside
  ///   those that are trained would be the peak of the memory.
  init(
    _ trainer: Trainer, _ model: consuming Model, _ arrays: TrainingData?, keepsWeights: Bool
  ) throws(LTMError) {
    let begin = ResourceUsage.monotonicSeconds
    self.model = consume model
    var trainer = trainer
    let options = try trainer.settledOptions(self.model)
    if options.fastDevRun == true { trainer.savePath = nil }
    let isFirst = trainer.execution.communicator?.isFirst ?? true
    if !isFirst { trainer.dumpPath = nil }
    (self.trainer, self.options) = (trainer, options)
    let inputs = trainer.inputs(of: self.model)
    try reporting { try checkOutputs(trainer.outputs, inputs: inputs) }
    if let path = trainer.savePath, isFirst { try reporting { try Checkpoint.checkPath(path) } }
    try self.model.addReports(for: options)
    plan = try TrainingPlan(trainer, self.model, arrays, options)
    self.model.categories = plan.categories
    self.model.givesGradients = options.histograms != nil
    if arrays == nil { try plan.checkReports(self.model) }
    let program = try Self.program(self.model, trainer, plan)
    session = try TrainingSession(
      self.model, program, trainer.policy, trainer.execution, learningRate: plan.learningRate,
      totalSteps: plan.totalAttempts, seed: plan.seed,
      lastProgram: try Self.lastProgram(self.model, trainer, plan))
    further = try FurtherLoss.all(self.model, trainer, plan, beside: session)
    let sessions = [session] + further.map(\.session)
    if let checkpoint = plan.checkpoint {
      for session in sessions {
        warningsBefore += [try session.restore(checkpoint, of: &self.model)].compactMap(\.self)
      }
    } else if let resumed = trainer.resumePath {
      warningsBefore.append(Diagnostic(.warning, "there is no '\(resumed)' checkpoint yet: training starts anew"))
    }
    for session in sessions {
      session.model = self.model
      try session.checkInitialWeights()
    }
    if !keepsWeights {
      self.model = self.model.keepingGiven(Set(session.unreadWeights))
      for session in sessions { session.model = self.model }
    }
    try plan.checkIndices(self.model)
    func dtype(_ name: String) -> DType? { sessions.lazy.compactMap { $0.executable.dtype(of: name) }.first }
    data = try plan.data.converted(dtype)
    let taken = data.train.shapes.keys.filter { dtype($0) != nil }
    if let threads = options.loaderThreads ?? (data.train.images.isEmpty ? nil : BatchLoader.threadsForImages) {
      loader = BatchLoader(data.train, names: Set(taken), threads: threads, limit: plan.totalAttempts)
    } else {
      loader = nil
    }
    validation = try Validation(plan, data, self.model, trainer, in: session.storageOfReaders(further.map(\.session)))
    let monitor = try Monitor(options, keys: validation.keys)
    try self.model.stepRules().schedule?.check(watching: monitor)
    loop = LoopState(
      monitor: monitor, folder: try CheckpointFolder(options, isMonitored: monitor != nil, writes: isFirst))
    loop.restore(plan.checkpoint?.metadata[LoopState.key])
    let ofFurther = further.flatMap { loss in FurtherLoss.values.map(loss.key) }
    let names = StepRecord.outputs.map(\.name) + ofFurther + validation.keys
    logs = try RunLogs(isFirst ? options : nil, values: names, appends: plan.checkpoint != nil)
    compileSeconds = ResourceUsage.monotonicSeconds - begin
    try requireAgreement()
  }

  /// Trains to the end, to a reason to stop, or to an error.
  mutating func train(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) -> TrainingResult {
    let first = Int(try session.control(.attempt) ?? 0)
    firstStep = Int(try session.control(.step) ?? 0)
    var attempt = first
    var ending = attempt < plan.totalAttempts ? reasonToEnd(attempt) : nil
    var reports = attempt < plan.totalAttempts && ending == nil ? [] : try evaluate()
    if attempt < plan.totalAttempts, ending == nil { try checkSanity() }
    try notify(observer, .started(overview(attempt)))
    begin = ResourceUsage.monotonicSeconds
    try agree(mayStop: false)
    lastSave = elapsed
    var wasStopped = false
    while attempt < plan.totalAttempts, !wasStopped, ending == nil {
      try settle(leaving: lookahead, observer)
      try start(attempt, observer)
      attempt += 1
      try settle(leaving: lookahead, observer)
      if isHistogramDue(attempt) {
        try settle(leaving: 0, observer)
        try note(clock.time("logs") { () throws(LTMError) in try writeHistograms() }, observer)
      }
      try agree()
      wasStopped = agreed.isStopped
      ending = reasonToEnd(attempt)
      let isLast = attempt == plan.totalAttempts || wasStopped || ending != nil
      if isLast || isDue(attempt) {
        try settle(leaving: 0, observer)
        (reports, ending) = try pause(attempt, isLast: isLast, ending, reports, observer)
      }
    }
    if let last, !wasStopped, attempt - first == skipped { try stop(at: last.record, session, observer) }
    let seconds = ResourceUsage.monotonicSeconds - begin
    return TrainingResult(
      steps: Int(try session.control(.step) ?? 0), skipped: skipped, loss: last?.record.loss ?? .nan,
      reports: try validation.final(reports), best: loop.monitor?.best, memory: session.executable.memory,
      seconds: seconds, wasStopped: wasStopped, ending: ending, warnings: warnings,
      phases: clock.phases.map { NamedValue(name: $0.name, value: $0.seconds) })
  }

  /// What is done between two steps: validation, a checkpoint, the end of an epoch. Gives what is reported, and why training ends.
  private mutating func pause(
    _ attempt: Int, isLast: Bool, _ ending: String?, _ before: [ReportValue],
    _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) -> ([ReportValue], String?) {
    var (reports, ending, isBest) = (before, ending, false)
    let (isEpochsEnd, validates) = (attempt % plan.batches.batchesPerEpoch == 0, isValidationDue(attempt))
    let (epoch, mean) = ((attempt - 1) / plan.batches.batchesPerEpoch, loop.losses.mean)
    if isEpochsEnd {
      if loop.monitor == nil { try observe(mean) }
      loop.losses = LossSum()
    }
    if validates || isLast {
      try checkWeights(after: last?.record, observer)
      let started = ResourceUsage.monotonicSeconds
      reports = try evaluateOrSave(observer)
      clock.add("validation", ResourceUsage.monotonicSeconds - started)
      // A validation that is made only since the run ends here would not have been made by one that goes on.
      if validates { isBest = try judge(reports, mean, epoch, observer) }
      ending = ending ?? reasonToEnd(attempt)
      let record = ValidationRecord(
        attempt: attempt, step: last?.record.step ?? 0, epoch: epoch, loss: mean, reports: reports,
        isBest: isBest)
      if !reports.isEmpty { try notify(observer, .validation(record)) }
      try note(clock.time("logs") { logs.write(record) }, observer)
    }
    let isEnd = isLast || ending != nil
    if isEnd || isEpochsEnd || isSaveDue(attempt) { try save(observer) }
    if isEpochsEnd || isEnd {
      let shown = validates || isLast ? reports : []
      try notify(observer, .epoch(EpochRecord(epoch: epoch, loss: mean, reports: shown)))
    }
    return (reports, ending)
  }

  /// What the run has met that its user should know.
  private var warnings: [Diagnostic] {
    let reads = sessions.flatMap(\.program.step.indexReads)
    let counted = zip(reads, outside).filter { $0.1 > 0 }
    let own = counted.map { $0.warning(outside: Int($1)).showingItsLine() }
    return own
      + validation.warnings.filter { warning in !own.contains { $0.location == warning.location } } + logs.warnings
  }

  private mutating func start(_ attempt: Int, _ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    let rows = plan.rows(of: attempt)
    let batch = try loaded(attempt, observer)
    let first = try start(session, attempt, rows, batch)
    var others: [(loss: FurtherLoss, pending: PendingTry)] = []
    for loss in further where loss.isDue(attempt) {
      others.append((loss, try start(loss.session, attempt, rows, batch)))
    }
    underWay.append(BatchTries(first: first, further: others))
  }

  /// The batch of an attempt where batches are loaded ahead. An image that turns out to be damaged ends the run, and what is trained is saved.
  private mutating func loaded(
    _ attempt: Int, _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) -> [String: Tensor]? {
    guard let loader else { return nil }
    do {
      var ahead = plan
      defer { plan = ahead }
      return try clock.time("batches") { () throws(LTMError) in
        try reporting { try loader.batch(attempt) { ahead.rows(of: $0) } }
      }
    } catch {
      try settle(leaving: 0, observer)
      if last != nil { try save(observer) }
      throw error
    }
  }

  /// Starts the step of a loss on a batch.
  private func start(
    _ session: TrainingSession, _ attempt: Int, _ rows: ArraySlice<Int32>, _ batch: [String: Tensor]?
  ) throws(LTMError) -> PendingTry {
    if plan.batches.position(of: attempt).index == 0 { try session.resetCarries() }
    if plan.batches.length > 1 { try session.set(.microBatches, Double(plan.batches.count(of: attempt))) }
    let executable = session.choose(isLast: plan.isLast(rows))
    // What only the report reads is no input of the step.
    try clock.time("batches") { () throws(LTMError) in
      for parameter in data.train.shapes.keys where executable.dtype(of: parameter) != nil {
        let made = batch?[parameter]
        try executable.fill(parameter) { target in
          guard let made else { return data.train.gather(parameter, rows: rows, into: target) }
          made.withUnsafeBytes { target.copyMemory(from: $0) }
        }
      }
    }
    return try clock.time("steps") { () throws(LTMError) in try session.start() }
  }

  /// Waits for tries, the oldest first, until so many are left.
  private mutating func settle(leaving count: Int, _ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    while underWay.count > count {
      let pending = underWay.removeFirst()
      let (outcome, others) = try clock.time("steps") { () throws(LTMError) in try pending.wait() }
      skipped += outcome.record.skipped ? 1 : 0
      last = outcome
      loop.losses.add(outcome.record)
      addOutside(outcome, others)
      try notify(observer, .step(outcome.record))
      let epoch = outcome.record.attempt / plan.batches.batchesPerEpoch
      if !logs.isEmpty { try note(clock.time("logs") { logs.write(outcome.record, epoch: epoch) }, observer) }
      for (session, outcome) in [(session, outcome)] + others.map({ ($0.loss.session, $0.outcome) }) {
        if outcome.record.skipped { try checkWeights(after: last?.record, observer) }
        if session.mustStop(outcome) { try stop(at: outcome.record, session, observer) }
      }
    }
  }

  /// A run that cannot go on says which op is to blame. Everything is as it was before the try.
  private mutating func stop(
    at record: StepRecord, _ session: TrainingSession, _ observer: (TrainingEvent) throws -> Void
  ) throws(LTMError) {
    // Weights that came so from a file are blamed below.
    if try firstNonfinite() == nil { try save(observer) }
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
    guard let record, record.step > firstStep, let (session, slot) = try firstNonfinite() else { return }
    isRuined = true
    var blame = try session.blameUpdate(of: slot, record, model, trainer.execution) { (done, total) throws(LTMError) in
      try notify(observer, .replaying(done: done, of: total))
    }
    if let path = trainer.savePath { blame.notes.append("nothing more was saved: '\(path)' is as it was") }
    throw LTMError(blame)
  }

  mutating func save(_ observer: (TrainingEvent) throws -> Void) throws(LTMError) {
    try checkWeights(after: last?.record, observer)
    let paths = [trainer.savePath, loop.folder.lastPath].compactMap(\.self)
    try clock.time("checkpoints") { () throws(LTMError) in for path in paths { try write(path) } }
    loop.folder.removeDropped(writesFiles)
    lastSave = elapsed
  }

  private func overview(_ attempt: Int) -> TrainingOverview {
    TrainingOverview(
      totalSteps: plan.totalAttempts, stepsPerEpoch: plan.batches.batchesPerEpoch, batchSize: plan.batchSize,
      firstAttempt: attempt, length: plan.limitText, memory: session.executable.memory,
      reportBytes: validation.memoryBytes + session.bytesOfLast + bytesOfFurther,
      compileSeconds: compileSeconds,
      warnings: (sessions.flatMap(\.program.warnings) + warningsBefore
        + [plan.warningOfPrecision(trainer.policy)].compactMap(\.self)).map {
          $0.showingItsLine()
        })
  }
}
