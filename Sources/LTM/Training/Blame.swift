import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

extension TrainingSession {
  /// Runs a try that changed nothing again, with every value looked at, and names the op that made the first non-finite
  /// one, its line and the step.
  func blameLastTry(_ record: StepRecord, _ execution: Execution) throws(LTMError) -> Diagnostic {
    let graph = program.step.graph
    let nonfinite = try replay(record, execution) { $1 }
    let scale = program.step.slots.contains { $0.name == StepControl.lossScale.rawValue } ? record.scale : nil
    let found = blame(graph, step: record.step, lossScale: scale) { nonfinite.contains($0) }
    return found
      ?? Diagnostic(
        .error, "step \(record.step): the loss or a gradient is not finite, and no single op could be named",
        notes: ["the replay, which keeps every value, was finite: a value overflows only inside a fused kernel"])
  }
}

extension TrainingSession {
  /// Names the op of the last update that made a slot non-finite. That step can only be made again from weights that are
  /// finite: the first ones stand in for those that are lost.
  func blameUpdate(
    of slot: StateSlot, _ record: StepRecord, _ model: Model, _ execution: Execution
  ) throws(LTMError) -> Diagnostic {
    let step = record.step - 1
    let nonfinite = try replay(record, execution) { (name, tensor) throws(LTMError) in
      if name == StepControl.step.rawValue { return Tensor([Double(step)], shape: [], dtype: tensor.dtype) ?? tensor }
      guard let held = slots.first(where: { $0.name == name }), held.isNonfinite(tensor) else { return tensor }
      return try initialValue(of: held, model).converted(to: tensor.dtype)
    }
    let settings = model.settings
    return LTMPrecision.blameUpdate(
      program.step.graph, of: slot, step: step,
      rules: RulePlaces(optimizer: settings?.optimizer?.span, schedule: settings?.schedule?.span)
    ) { nonfinite.contains($0) }
  }

  /// The values that are not finite when a try is made again, from inputs that `adjust` may replace by name.
  private func replay(
    _ record: StepRecord, _ execution: Execution, _ adjust: (String, Tensor) throws(LTMError) -> Tensor
  ) throws(LTMError) -> Set<ValueID> {
    let graph = program.step.graph
    let (instrumented, flags) = graph.watchingFiniteness()
    let lowered = try Pipeline.lowering.run(instrumented, stage: [.bound, .afterCasts])
    let replay = try execution.backend.compile(lowered)
    for input in graph.inputs where replay.dtype(of: input.name) != nil {
      try replay.write(try adjust(input.name, try executable.read(input.name)), to: input.name)
    }
    // The counters and the scale have moved on since.
    if let dtype = replay.dtype(of: StepControl.lossScale.rawValue),
      let scale = Tensor([record.scale], shape: [], dtype: dtype)
    {
      try replay.write(scale, to: StepControl.lossScale.rawValue)
    }
    try replay.run()
    var nonfinite: Set<ValueID> = []
    for (value, name) in flags where try replay.read(name).doubles.first == 0 { nonfinite.insert(value) }
    return nonfinite
  }
}

extension TrainingSession {
  /// The first of what training changes that is not finite, masters before what follows them; `nil` where all is well.
  func firstNonfinite() throws(LTMError) -> StateSlot? {
    for slot in slots.filter({ $0.role == .master }) + slots.filter({ $0.role != .master }) {
      if slot.role != .control, slot.isNonfinite(try executable.read(slot.name)) { return slot }
    }
    return nil
  }
}

extension StateSlot {
  /// Whether the value is one that no good run leaves here. A layer's state may hold an infinity on purpose.
  func isNonfinite(_ tensor: Tensor) -> Bool {
    switch role {
    case .argument, .control: false
    case .parameter, .master, .optimizerState: firstNonFinite(tensor) != nil
    case .state: tensor.doubles.contains(where: \.isNaN)
    }
  }
}

extension Graph {
  /// The graph with, in place of its outputs, one bool for each floating value: whether all of it is finite, on all replicas.
  fileprivate func watchingFiniteness() -> (graph: Graph, flags: [(value: ValueID, name: String)]) {
    var open = self
    open.outputs = []
    var builder = GraphBuilder(open)
    var flags: [(value: ValueID, name: String)] = []
    var names: [ValueID: String] = [:]
    let replicas = replicas
    for value in values where self[value].type.dtype.isFloating {
      // A broadcast is as finite as what it spreads.
      if self[value].op == .broadcast, let name = self[value].operands.first.flatMap({ names[$0] }) {
        names[value] = name
        flags.append((value, name))
        continue
      }
      let each = builder.make(.isFinite, [value])
      let axes = Array(0..<self[value].type.rank)
      let all = axes.isEmpty ? each : builder.make(.all, [each], ["axes": .ints(axes), "keep": .bool(false)])
      let name = "finite/\(value.index)"
      builder.output(name, replicas > 1 ? builder.onAllReplicas(all, replicas) : all)
      names[value] = name
      flags.append((value, name))
    }
    return (builder.graph, flags)
  }
}

extension GraphBuilder {
  /// Whether a flag holds on every replica.
  fileprivate mutating func onAllReplicas(_ flag: ValueID, _ replicas: Int) -> ValueID {
    let attributes: Attributes = ["replicas": .int(replicas), "first": .bool(false)]
    return make(.not, [make(.allReduce, [make(.not, [flag])], attributes)])
  }
}
