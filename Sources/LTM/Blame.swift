import LTMIR
import LTMPrecision
import LTMSupport

extension TrainingSession {
  /// Runs a try that changed nothing again, with every value looked at, and names the op that made the first non-finite
  /// one, its line and the step.
  func blameLastTry(_ record: StepRecord, _ execution: Execution) throws(LTMError) -> Diagnostic {
    let graph = program.step.graph
    let (instrumented, flags) = graph.watchingFiniteness()
    let lowered = try Pipeline.step.run(instrumented, stage: [.bound, .afterCasts])
    let replay = try execution.backend.compile(lowered)
    for input in graph.inputs where replay.dtype(of: input.name) != nil {
      try replay.write(try executable.read(input.name), to: input.name)
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
    let scale = program.step.slots.contains { $0.name == StepControl.lossScale.rawValue } ? record.scale : nil
    let found = blame(graph, step: record.step, lossScale: scale) { nonfinite.contains($0) }
    return found
      ?? Diagnostic(
        .error, "step \(record.step): the loss or a gradient is not finite, and no single op could be named",
        notes: ["the replay, which keeps every value, was finite: a value overflows only inside a fused kernel"])
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
