import LTMPrecision
import LTMRuntime
import LTMSupport

/// What a run does with the steps of all its losses alike.
extension TrainingRun {
  /// The first loss's, then the others.
  var sessions: [TrainingSession] { [session] + further.map(\.session) }

  /// How many batches may be under way when the next one starts. The steps of several losses wait for each other.
  var lookahead: Int { further.isEmpty ? session.lookahead(after: last) : 0 }

  /// Gives schedules that observe the next value of what is watched.
  func observe(_ value: Double) throws(LTMError) { for session in sessions { try session.observe(value) } }

  /// The first of what training changes that is not finite, with the session that changes it.
  func firstNonfinite() throws(LTMError) -> (session: TrainingSession, slot: StateSlot)? {
    for session in sessions {
      if let slot = try session.firstNonfinite() { return try found((session, slot)) }
    }
    return try found(nil)
  }

  /// All that the next step depends on, each once.
  func tensorsToSave() -> [TensorToSave] {
    var seen: Set<String> = []
    return sessions.flatMap { $0.tensorsToSave(of: model) }.filter { seen.insert($0.entry.name).inserted }
  }

  /// Puts the trained weights into a model.
  func store(in model: inout Model) throws(LTMError) { for session in sessions { try session.store(in: &model) } }

  /// What the steps of further losses take beside the first one's.
  var bytesOfFurther: Int {
    further.reduce(0) { sum, loss in
      let memory = loss.session.executable.memory
      return sum + memory.ofRun + memory.masters + memory.optimizerState + loss.session.bytesOfLast
    }
  }

  /// Adds how many indices lay outside; of a loss that did not run nothing is added.
  mutating func addOutside(_ first: TryOutcome, _ others: [(loss: FurtherLoss, outcome: TryOutcome)]) {
    let all =
      [first.outside]
      + further.map { loss in
        others.first { $0.loss.name == loss.name }?.outcome.outside
          ?? Array(repeating: 0, count: loss.session.program.step.indexReads.count)
      }
    let counts = all.flatMap(\.self)
    outside = counts.indices.map { counts[$0] + (outside.indices.contains($0) ? outside[$0] : 0) }
  }

  /// The step, with a text of each of its stages where that is asked for.
  static func program(
    _ model: Model, _ trainer: Trainer, _ plan: TrainingPlan
  ) throws(LTMError) -> TrainingProgram {
    let dump = try trainer.dumpPath.map { (path) throws(LTMError) in try StageDump(path) }
    try dump?.begin(model.path)
    let program = try TrainingProgram(model, trainer.policy, sizes: plan.sizes, replicas: plan.replicas, dump: dump)
    if let dump {
      let backend = trainer.execution.target.backend
      for (name, text) in try backend.dump(program.lowered, architecture: nil) { dump.add(name, text) }
      try dump.finish()
    }
    return program
  }

  /// The step for a last batch that is smaller; `nil` where there is none.
  static func lastProgram(
    _ model: Model, _ trainer: Trainer, _ plan: TrainingPlan
  ) throws(LTMError) -> TrainingProgram? {
    guard let sizes = plan.sizesOfLast else { return nil }
    return try TrainingProgram(model, trainer.policy, sizes: sizes, replicas: plan.replicas)
  }
}
