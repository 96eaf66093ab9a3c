import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// A compiled training step with the state that lives from one step to the next.
final class TrainingSession {
  let program: TrainingProgram
  /// The step for a last batch that is smaller, on the same arrays.
  private let last: (program: TrainingProgram, executable: any Executable)?
  /// The step that was started last.
  private(set) var active: (program: TrainingProgram, executable: any Executable)
  /// Where everything lies that lives from one step to the next.
  let storage: SessionStorage
  /// The weights that the step of another loss trains.
  var trainedElsewhere: Set<String> = []
  let executable: any Executable
  let policy: PrecisionPolicy
  /// The other processes that share each batch.
  let communicator: Communicator?
  /// The model as training found it.
  var model: Model
  let slots: [StateSlot]
  /// When the last try was done.
  private var lastEnd = 0.0

  init(
    _ model: Model, _ program: TrainingProgram, _ policy: PrecisionPolicy, _ execution: Execution, learningRate: Double,
    totalSteps: Int, seed: UInt64? = nil, lastProgram: TrainingProgram? = nil,
    storage: SessionStorage = SessionStorage()
  ) throws(LTMError) {
    self.program = program
    self.policy = policy
    communicator = execution.communicator
    slots = program.step.slots
    self.model = model
    self.storage = storage
    let executable = try execution.backend.compile(program.lowered, in: storage)
    self.executable = executable
    active = (program, executable)
    last = try lastProgram.map { (program) throws(LTMError) in
      (program, try execution.backend.compile(program.lowered, in: storage))
    }
    try execution.clock.time("weights") { () throws(LTMError) in
      for slot in slots where !slot.isCopy && !(executable.startsAtZero && slot.initial == .initializer(.constant(0))) {
        try executable.write(try initialValue(of: slot, model), to: slot.name)
      }
      try writeCopies()
      try writeConstants(of: model)
    }
    try set(.learningRate, learningRate)
    try set(.totalSteps, Double(totalSteps))
    try set(.microBatches, Double(Int32.max))
    let replicas = program.replicas
    try set(.firstPart, Double((replicas.parts ?? 0) / replicas.count * (replicas.rank ?? 0)))
    if let slot = slot(of: .seed), let key = seedKey(seed ?? model.seed) {
      try executable.write(key, to: slot.name)
    }
  }

  /// What follows from another slot: the half weights of their masters.
  func writeCopies() throws(LTMError) {
    for slot in slots {
      guard case .copy(let other) = slot.initial else { continue }
      guard let source = slots.first(where: { $0.name == other }) else { continue }
      try executable.write(try whole(source).converted(to: slot.type.dtype, as: slot.name), to: slot.name)
    }
  }

  /// What the step reads and never writes: the state of a layer that is frozen.
  private func writeConstants(of model: Model) throws(LTMError) {
    let written = Set(slots.map(\.name))
    for input in program.lowered.inputs where input.role != .argument && !written.contains(input.name) {
      if let tensor = model.weight(input.name) { try executable.write(converting: tensor, to: input.name) }
    }
  }

  func initialValue(of slot: StateSlot, _ model: Model) throws(LTMError) -> Tensor {
    try held(initialWhole(of: slot, model), slot)
  }

  private func initialWhole(of slot: StateSlot, _ model: Model) throws(LTMError) -> Tensor {
    let shape = slot.shard?.shape ?? slot.type.staticShape ?? []
    let dtype = slot.type.dtype
    var tensor: Tensor?
    switch slot.initial {
    case .parameter(let name), .layerState(let name):
      tensor = try model.weight(name)?.converted(to: dtype, as: name)
    case .copy(let other):
      if let source = slots.first(where: { $0.name == other }) {
        tensor = try initialWhole(of: source, model).converted(to: dtype, as: slot.name)
      }
    case .initializer(let initializer):
      tensor = initialTensor(initializer, shape: shape, dtype: dtype, seed: model.seed, name: slot.name)
    case .number(let value): tensor = Tensor([value], shape: [], dtype: dtype)
    case .host: tensor = Tensor(zeros: shape, dtype: dtype)
    }
    guard let tensor else { throw LTMError("'\(slot.name)' has no initial value") }
    return tensor
  }

  /// The slot of a scalar; `nil` where the policy has none of it.
  private func slot(of control: StepControl) -> StateSlot? {
    let name = program.step.name(of: control)
    return slots.first { $0.name == name }
  }

  func set(_ control: StepControl, _ value: Double) throws(LTMError) {
    guard let slot = slot(of: control) else { return }
    guard let tensor = Tensor([value], shape: [], dtype: slot.type.dtype) else { return }
    try executable.write(tensor, to: slot.name)
  }

  /// Gives a schedule that observes the next value of what is watched, which the next update takes.
  func observe(_ metric: Double) throws(LTMError) {
    guard metric.isFinite else { return }
    try set(.metric, metric)
    try set(.observed, 1)
  }

  private func scalar(_ name: String) throws(LTMError) -> Double { try executable.read(name).doubles.first ?? .nan }

  /// A control's value; `nil` where the policy has none of it.
  func control(_ control: StepControl) throws(LTMError) -> Double? {
    try slot(of: control).map { (slot) throws(LTMError) in try scalar(slot.name) }
  }

  /// Bytes that the step for a smaller last batch takes beside the other.
  var bytesOfLast: Int { last?.executable.memory.ofRun ?? 0 }

  /// The step that the next try runs: that of a whole batch, or of a smaller last one. Its arguments are to be filled.
  func choose(isLast: Bool) -> any Executable {
    if isLast, let last { active = last } else { active = (program, executable) }
    return active.executable
  }

  /// Starts a try on the arguments that lie in the executable. The result waits for it; it is to be asked once, and in
  /// order. A device that queues its work may be at several tries.
  func start() throws(LTMError) -> PendingTry {
    let before = [StepControl.lossScale, .attempt].filter { slot(of: $0) != nil }
    let kept = [StepControl.step, .skips].filter { slot(of: $0) != nil }
    let counts = program.step.indexReads.indices.map(Graph.outsideCount)
    let values = StepRecord.outputs.map(\.output).filter { name in program.lowered.outputs.contains { $0.name == name }
    }
    let results = [StepProgram.foundInf, StepProgram.loss]
    let step = program.step
    let names = before.map(\.rawValue) + results + kept.map(\.rawValue) + values + counts
    let begin = ResourceUsage.monotonicSeconds
    let pending = try active.executable.start(
      before: before.map(step.name), after: results + kept.map(step.name) + values + counts)
    return { [self] () throws(LTMError) in
      let numbers = try pending().map { $0.doubles.first ?? .nan }
      let named = Dictionary(zip(names, numbers), uniquingKeysWith: { first, _ in first })
      let end = ResourceUsage.monotonicSeconds
      defer { lastEnd = end }
      return TryOutcome(named, outside: counts.map { named[$0] ?? 0 }, seconds: end - max(begin, lastEnd))
    }
  }

  /// Whether a try that was not finite ends the run.
  func mustStop(_ outcome: TryOutcome) -> Bool {
    outcome.record.skipped && (policy.onNonfinite == .stop || outcome.skips >= LossScale.skipLimit)
  }

  /// How many tries may be under way when the next one starts, after a try with that outcome: none where one of them could
  /// end the run, which must then be as it was before.
  func lookahead(after last: TryOutcome?) -> Int {
    guard executable.queuesRuns, policy.onNonfinite != .stop, let last else { return 0 }
    return last.skips + Self.mostUnderWay < LossScale.skipLimit ? Self.mostUnderWay : 0
  }

  private static let mostUnderWay = 2

  // MARK: what is not finite

  /// The first of what training changes that is not finite, masters before what follows them; `nil` where all is well.
  func firstNonfinite() throws(LTMError) -> StateSlot? {
    for slot in slots.filter({ $0.role == .master }) + slots.filter({ $0.role != .master }) {
      var isBad = false
      try executable.withBytes(of: slot.name) { isBad = isNonfinite(slot, $0) }
      if isBad { return slot }
    }
    return nil
  }

  /// Whether the value is one that no good run leaves here.
  func isNonfinite(_ slot: StateSlot, _ bytes: UnsafeRawBufferPointer) -> Bool {
    switch slot.role {
    case .argument, .control: false
    case .parameter, .master, .optimizerState, .state, .cache: model.isNonfinite(slot.name, bytes, slot.type.dtype)
    }
  }

  /// What the steps of other losses save.
  var keysElsewhere: Set<String> = []
  /// The names of the weights that no step reads.
  var unreadWeights: [String] {
    let keys = Set(slots.compactMap(\.checkpointKey))
    return model.weightNames.filter { !keys.contains($0) && !trainedElsewhere.contains($0) }
  }

  /// Throws where a run would begin with weights that are not finite: every step would be skipped.
  func checkInitialWeights() throws(LTMError) {
    var bad = try firstNonfinite()?.checkpointKey
    if bad == nil {
      let tensors = unreadWeights.compactMap { name in model.weight(name).map { TensorToSave(name, $0) } }
      bad = try model.firstNonfinite(of: tensors)
    }
    guard let bad else { return }
    throw LTMError(
      "'\(bad)' is not finite before the first step",
      notes: ["it came so from its initial value, or from the weights given", "nothing can be trained from it"])
  }
}

extension StateSlot {
  /// Whether it only follows another slot.
  var isCopy: Bool { if case .copy = initial { true } else { false } }
}

/// A try that a device may still be at.
typealias PendingTry = () throws(LTMError) -> TryOutcome

/// What became of a try.
struct TryOutcome {
  var record: StepRecord
  /// Skips in a row with the loss scale at its floor.
  let skips: Int
  /// How many computed indices lay outside, for each op that reads some.
  let outside: [Double]

  /// From what the step wrote, by name.
  init(_ values: [String: Double], outside: [Double], seconds: Double) {
    self.outside = outside
    func count(_ control: StepControl) -> Int { Int(exactly: values[control.rawValue] ?? 0) ?? 0 }
    skips = count(.skips)
    record = StepRecord(
      attempt: count(.attempt), step: count(.step), loss: values[StepProgram.loss] ?? .nan,
      scale: values[StepControl.lossScale.rawValue] ?? 1, skipped: values[StepProgram.foundInf] != 0, seconds: seconds,
      values: StepRecord.outputs.compactMap { name, output in
        values[output].map { NamedValue(name: name, value: $0) }
      })
  }
}
