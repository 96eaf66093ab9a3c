import LTMGraphPasses
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// Told how many ops of a replay are done, and how many there are.
typealias ReplayProgress = (_ done: Int, _ total: Int) throws(LTMError) -> Void

extension TrainingSession {
  /// Runs an attempt that changed nothing again, with every value looked at, and names the op that made the first NaN or
  /// infinity, its line and the step.
  func blameLastTry(
    _ record: StepRecord, _ execution: Execution, progress: ReplayProgress
  ) throws(LTMError) -> Diagnostic {
    let graph = try flatGraph()
    let facts = try replay(graph, record, execution, to: graph.checkedValues, progress) { $1 }
    let scale = try control(.lossScale) != nil ? record.scale : nil
    return blame(graph, step: record.step, lossScale: scale) { facts[$0] ?? [] }
      ?? Diagnostic(
        .error, "step \(record.step): the loss or a gradient is not finite, and no single op could be named",
        notes: ["the replay, which keeps every value, was finite: a value overflows only inside a fused kernel"])
  }

  /// Names the op of the last update that made a slot non-finite. That step can only be made again from weights that are
  /// finite: the first ones stand in for those that are lost.
  func blameUpdate(
    of slot: StateSlot, _ record: StepRecord, _ model: Model, _ execution: Execution, progress: ReplayProgress
  ) throws(LTMError) -> Diagnostic {
    let step = record.step - 1
    let graph = try flatGraph()
    let roots = graph.newValue(of: slot.name).map { [$0] } ?? []
    let facts = try replay(graph, record, execution, to: roots, progress) { (name, tensor) throws(LTMError) in
      if name == program.step.name(of: .step) {
        return Tensor([Double(step)], shape: [], dtype: tensor.dtype) ?? tensor
      }
      guard let held = slots.first(where: { $0.name == name }), tensor.withUnsafeBytes({ isNonfinite(held, $0) })
      else { return tensor }
      return try initialValue(of: held, model).converted(to: tensor.dtype, as: name)
    }
    let settings = model.settings
    return LTMPrecision.blameUpdate(
      graph, of: slot, step: step,
      rules: RulePlaces(optimizer: settings?.optimizer?.span, schedule: settings?.schedule?.span)
    ) { facts[$0] ?? [] }
  }

  /// The step without bodies: each op of a loop, once for each round.
  private func flatGraph() throws(LTMError) -> Graph {
    let graph = active.program.step.graph
    return try reporting { try GraphPass.inlineBodies.run(graph) }
  }

  /// What the values behind `roots` are like when an attempt is made again, from inputs that `adjust` may replace by name.
  private func replay(
    _ graph: Graph, _ record: StepRecord, _ execution: Execution, to roots: [ValueID], _ progress: ReplayProgress,
    _ adjust: (String, Tensor) throws(LTMError) -> Tensor
  ) throws(LTMError) -> [ValueID: ValueFacts] {
    var replay = Replay(graph, execution.backend)
    try replay.run(
      to: roots,
      input: { (input) throws(LTMError) in
        // The scale has moved on since.
        let held = try active.executable.read(input.name)
        if input.name == program.step.name(of: .lossScale) {
          return Tensor([record.scale], shape: [], dtype: held.dtype) ?? held
        }
        // So has the number of the attempt, which the random numbers were drawn with.
        if input.name == program.step.name(of: .attempt) {
          return Tensor([Double(record.attempt)], shape: [], dtype: held.dtype) ?? held
        }
        return try adjust(input.name, held)
      }, progress: progress)
    return replay.facts
  }
}
