import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// A compiled training step with the state that lives from one step to the next.
final class TrainingSession {
  let program: TrainingProgram
  let executable: any Executable
  private let policy: PrecisionPolicy
  let slots: [StateSlot]
  /// When the last try was done.
  private var lastEnd = 0.0

  init(
    _ model: Model, _ program: TrainingProgram, _ policy: PrecisionPolicy, _ execution: Execution, learningRate: Double,
    totalSteps: Int
  ) throws(LTMError) {
    self.program = program
    self.policy = policy
    slots = program.step.slots
    executable = try execution.backend.compile(program.lowered)
    try execution.clock.time("weights") { () throws(LTMError) in
      for slot in slots where !(executable.startsAtZero && slot.initial == .initializer(.constant(0))) {
        try executable.write(try initialValue(of: slot, model), to: slot.name)
      }
      try writeConstants(of: model)
    }
    try set(.learningRate, learningRate)
    try set(.totalSteps, Double(totalSteps))
  }

  /// What the step reads and never writes: the state of a layer that is frozen.
  private func writeConstants(of model: Model) throws(LTMError) {
    let written = Set(slots.map(\.name))
    for input in program.lowered.inputs where input.role != .argument && !written.contains(input.name) {
      if let tensor = model.weights[input.name] { try executable.write(converting: tensor, to: input.name) }
    }
  }

  func initialValue(of slot: StateSlot, _ model: Model) throws(LTMError) -> Tensor {
    let shape = slot.type.staticShape ?? []
    let dtype = slot.type.dtype
    var tensor: Tensor?
    switch slot.initial {
    case .parameter(let name), .layerState(let name):
      tensor = try model.weights[name].map { (held) throws(LTMError) in try held.converted(to: dtype, for: name) }
    case .copy(let other):
      if let source = slots.first(where: { $0.name == other }) {
        tensor = try initialValue(of: source, model).converted(to: dtype, for: slot.name)
      }
    case .initializer(let initializer):
      tensor = initialTensor(initializer, shape: shape, dtype: dtype, seed: model.seed, name: slot.name)
    case .number(let value): tensor = Tensor([value], shape: [], dtype: dtype)
    case .host: tensor = Tensor(zeros: shape, dtype: dtype)
    }
    guard let tensor else { throw LTMError("'\(slot.name)' has no initial value") }
    return tensor
  }

  private func set(_ control: StepControl, _ value: Double) throws(LTMError) {
    guard let slot = slots.first(where: { $0.name == control.rawValue }) else { return }
    guard let tensor = Tensor([value], shape: [], dtype: slot.type.dtype) else { return }
    try executable.write(tensor, to: slot.name)
  }

  private func scalar(_ name: String) throws(LTMError) -> Double { try executable.read(name).doubles.first ?? .nan }

  /// A control's value; `nil` where the policy has none of it.
  func control(_ control: StepControl) throws(LTMError) -> Double? {
    guard slots.contains(where: { $0.name == control.rawValue }) else { return nil }
    return try scalar(control.rawValue)
  }

  /// Starts a try on the arguments that lie in the executable. The result waits for it; it is to be asked once, and in
  /// order. A device that queues its work may be at several tries.
  func start() throws(LTMError) -> PendingTry {
    let controls: [StepControl] = [.lossScale, .attempt]
    let before = controls.map(\.rawValue).filter { name in slots.contains { $0.name == name } }
    let kept = [StepControl.step, .skips].map(\.rawValue).filter { name in slots.contains { $0.name == name } }
    let counts = program.step.indexReads.indices.map(Graph.outsideCount)
    let after = [StepProgram.foundInf, StepProgram.loss] + kept + counts
    let begin = ResourceUsage.monotonicSeconds
    let values = try executable.start(before: before, after: after)
    return { [self] () throws(LTMError) in
      let numbers = try values().map { $0.doubles.first ?? .nan }
      let named = Dictionary(zip(before + after, numbers), uniquingKeysWith: { first, _ in first })
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

  // MARK: checkpoints

  /// Everything that the next step depends on, and what of the model's weights the step does not read.
  func checkpoint(of model: Model, metadata: [String: String]) throws(LTMError) -> Checkpoint {
    let keys = Set(slots.compactMap(\.checkpointKey))
    var tensors = model.weights.filter { !keys.contains($0.key) }.sorted { $0.key < $1.key }.map {
      (name: $0.key, tensor: $0.value)
    }
    for slot in slots {
      if let key = slot.checkpointKey { tensors.append((key, try executable.read(slot.name))) }
    }
    return Checkpoint(tensors: tensors, metadata: metadata)
  }

  /// Goes on from a checkpoint. The loss scale may be absent: another opt level wrote the file.
  func restore(_ checkpoint: Checkpoint, from path: String) throws(LTMError) {
    var restored: [String: Tensor] = [:]
    for slot in slots { restored[slot.name] = try tensor(for: slot, in: checkpoint, path) }
    let counts = [StepControl.step, .attempt].compactMap { restored[$0.rawValue]?.doubles.first }
    if counts.count == 2, counts[0] > counts[1] {
      throw LTMError("\(path): says \(counts[0]) updates in \(counts[1]) tries, which no run can have saved")
    }
    for slot in slots {
      if case .copy(let other) = slot.initial { restored[slot.name] = restored[other] }
      if let tensor = restored[slot.name] { try executable.write(tensor.converted(to: slot.type.dtype), to: slot.name) }
    }
  }

  /// What a checkpoint holds for a slot; `nil` where it may do without.
  private func tensor(
    for slot: StateSlot, in checkpoint: Checkpoint, _ path: String
  ) throws(LTMError) -> Tensor? {
    guard let key = slot.checkpointKey else { return nil }
    guard let tensor = checkpoint[key] else {
      if slot.role == .control, key != StepControl.step.rawValue { return nil }
      throw LTMError(
        "\(path): holds no '\(key)'",
        notes: [
          "it was written by another optimizer, or holds weights only; '--weights \(path)' starts anew from those"
        ])
    }
    guard tensor.shape == slot.type.staticShape, tensor.dtype.isFloating == slot.type.dtype.isFloating else {
      throw LTMError("\(path): '\(key)' is \(tensor.dtype)\(tensor.shape), and \(slot.type) is needed")
    }
    if slot.role == .control, !tensor.doubles.allSatisfy({ $0.isFinite && $0 >= 0 }) {
      throw LTMError("\(path): '\(key)' is \(tensor.summary), which no run can have saved")
    }
    if slot.isNonfinite(tensor) {
      throw LTMError(
        "\(path): '\(key)' is not finite, and no run can go on from it", notes: ["resume from an earlier checkpoint"])
    }
    return tensor
  }

  /// Puts the trained weights into the model.
  func store(in model: inout Model) throws(LTMError) {
    var trained: [String: Tensor] = [:]
    for slot in slots {
      guard let key = slot.checkpointKey, model.weights[key] != nil else { continue }
      trained[key] = try executable.read(slot.name)
    }
    try model.set(trained)
  }
}

/// A try that a device may still be at.
typealias PendingTry = () throws(LTMError) -> TryOutcome

/// What became of a try.
struct TryOutcome {
  let record: StepRecord
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
      scale: values[StepControl.lossScale.rawValue] ?? 1, skipped: values[StepProgram.foundInf] != 0, seconds: seconds)
  }
}
