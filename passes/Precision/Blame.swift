import LTMIR
import LTMSupport

/// Names the op that made the first NaN or infinity of a step. The step changed nothing, so it was run again with every
/// value looked at.
///
/// Only what leads to the loss or to a gradient counts: an infinity that a mask puts in on purpose is no one's fault when
/// all that follows from it is finite.
///
/// - Parameters:
///   - graph: the step, as it was run again.
///   - step: how many updates were made before, for the message.
///   - lossScale: the scale of this attempt; `nil` where scaling is off.
///   - facts: what each value was like.
package func blame(
  _ graph: Graph, step: Int, lossScale: Double?, floor: Double = 1, facts: @escaping (ValueID) -> ValueFacts
) -> Diagnostic? {
  guard let origin = FaultSearch(graph: graph, facts: facts).origin(from: graph.checkedValues) else { return nil }
  let node = graph[origin]
  let kind = facts(origin).contains(.nan) ? "NaN" : "infinity"
  var diagnostic: Diagnostic
  if let input = graph.inputs.first(where: { $0.value == origin }) {
    diagnostic = inputDiagnostic(input, node.type.dtype, kind, step)
  } else {
    let what = node.gradientOf.map { "the gradient of \($0)" } ?? node.op.name
    let layer = node.scope.isEmpty ? "" : " in \(node.scope)"
    diagnostic = Diagnostic(.error, "step \(step): \(what)\(layer) made the first \(kind), \(node.type)")
    if node.gradientOf == nil, let reason = node.reason { diagnostic.notes.append(reason) }
    let notes = BlameNotes(
      graph: graph, origin: origin, facts: facts, lossScale: lossScale.map { (scale: $0, floor: floor) })
    diagnostic.notes += notes.notes
  }
  diagnostic.location = node.location
  return diagnostic
}

extension Graph {
  /// What the overflow check looks at, or all results where there is none.
  package var checkedValues: [ValueID] {
    let checks = nodes.filter { $0.op == .isFinite && $0.reason == Node.overflowCheck }.flatMap(\.operands)
    return checks.isEmpty ? outputs.map(\.value) : checks
  }
}

extension Node {
  /// The reason of the nodes that a step's `found_inf` is made of.
  static let overflowCheck = "overflow check"
}

/// Where the user names the rules of a step.
package struct RulePlaces: Sendable {
  package let optimizer: Span?
  package let schedule: Span?

  package init(optimizer: Span?, schedule: Span?) {
    self.optimizer = optimizer
    self.schedule = schedule
  }
}

extension Graph {
  /// The value that an update gives an input of a step, before a skip is considered.
  package func newValue(of name: String) -> ValueID? {
    outputs.first { $0.updates == name }.flatMap { self[$0.value].operands.last }
  }
}

/// Names the op of an optimizer or a schedule that made a weight or a state of its own non-finite.
///
/// - Parameters:
///   - graph: the step, as it was run again from finite weights.
///   - slot: what is no longer finite.
///   - step: the update that made it so, from 0.
package func blameUpdate(
  _ graph: Graph, of slot: StateSlot, step: Int, rules: RulePlaces, facts: @escaping (ValueID) -> ValueFacts
) -> Diagnostic {
  let subject = "'\(slot.checkpointKey ?? slot.name)'"
  let search = FaultSearch(graph: graph, facts: facts)
  let origin = graph.newValue(of: slot.name).flatMap { search.origin(from: [$0]) }.map { graph[$0] }
  let isSchedule = origin?.scope == "schedule"
  let note = "the loss and every gradient were finite: look at the learning rate and at the arguments of this rule"
  guard let origin, isSchedule || origin.scope.hasPrefix("optimizer/") else {
    if slot.role == .state, let origin { return blameState(subject, origin, step) }
    return Diagnostic(
      .error, "step \(step): the update made \(subject) non-finite", at: rules.optimizer, notes: [note])
  }
  let rule = isSchedule ? "schedule" : "optimizer"
  var diagnostic = Diagnostic(
    .error, "step \(step): \(origin.op.name) in the \(rule) made \(subject) non-finite", notes: [note])
  diagnostic.place(at: isSchedule ? rules.schedule : rules.optimizer, origin.location)
  return diagnostic
}

/// Names the op of a layer that made its state non-finite.
private func blameState(_ subject: String, _ origin: Node, _ step: Int) -> Diagnostic {
  let layer = origin.scope.isEmpty ? "" : " in \(origin.scope)"
  var diagnostic = Diagnostic(
    .error, "step \(step): \(origin.op.name)\(layer) made the state \(subject) non-finite",
    notes: ["the loss and every gradient were finite: look at what the layer writes to its state"])
  if origin.op == .variance {
    diagnostic.notes.append(
      "the variance of a single value, with the correction of 1, is 0 / 0: a larger batch has one")
  }
  diagnostic.location = origin.location
  return diagnostic
}

private func inputDiagnostic(_ input: GraphInput, _ dtype: DType, _ kind: String, _ step: Int) -> Diagnostic {
  let holds = "holds \(kind == "NaN" ? "a NaN" : "an infinity")"
  switch input.role {
  case .argument:
    return Diagnostic(
      .error, "step \(step): the argument '\(input.name)' \(holds)", notes: ["look at this batch of the data"])
  case .parameter, .master, .state, .cache, .optimizerState, .control:
    var diagnostic = Diagnostic(
      .error, "step \(step): '\(input.name)' \(holds) before the step begins",
      notes: [
        step == 0
          ? "it came so from the initial weights"
          : "it came so from the checkpoint, or from an update: look at the learning rate, the schedule, the optimizer"
      ])
    if dtype.isHalf, kind != "NaN" {
      diagnostic.notes.append("\(dtype) ends at \(plain(dtype.greatestFinite)), and the f32 weight may lie beyond")
    }
    return diagnostic
  }
}
