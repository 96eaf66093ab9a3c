import LTMIR
import LTMSupport

/// Names the op that made the first non-finite value of a step. The step changed nothing, so it was run again with every
/// value looked at.
///
/// Only what leads to the loss or to a gradient counts: an infinity that a mask puts in on purpose is no one's fault when
/// all that follows from it is finite.
///
/// - Parameters:
///   - graph: the step, as it was run again.
///   - step: how many updates were made before, for the message.
///   - lossScale: the scale of this try; `nil` where scaling is off.
///   - isNonfinite: whether a value holds a NaN or an infinity.
package func blame(
  _ graph: Graph, step: Int, lossScale: Double?, floor: Double = 1, isNonfinite: (ValueID) -> Bool
) -> Diagnostic? {
  guard let origin = firstNonfinite(in: graph, isNonfinite) else { return nil }
  let node = graph[origin]
  var diagnostic: Diagnostic
  if let input = graph.inputs.first(where: { $0.value == origin }) {
    diagnostic = inputDiagnostic(input, step)
  } else {
    let gradient = node.reason.flatMap { $0.hasPrefix("gradient of ") ? "the \($0)" : nil }
    let layer = node.scope.isEmpty ? "" : " in \(node.scope)"
    diagnostic = Diagnostic(
      .error, "step \(step): \(gradient ?? node.op.name)\(layer) made the first non-finite value, \(node.type)")
    if gradient == nil, let reason = node.reason { diagnostic.notes.append(reason) }
    diagnostic.notes += hints(graph, origin, lossScale, floor)
  }
  diagnostic.location = node.location
  return diagnostic
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

/// Names the op of an optimizer or a schedule that made a weight or a state of its own non-finite.
///
/// - Parameters:
///   - graph: the step, as it was run again from finite weights.
///   - slot: what is no longer finite.
///   - step: the update that made it so, from 0.
package func blameUpdate(
  _ graph: Graph, of slot: StateSlot, step: Int, rules: RulePlaces, isNonfinite: (ValueID) -> Bool
) -> Diagnostic {
  let subject = "'\(slot.checkpointKey ?? slot.name)'"
  let write = graph.outputs.first { $0.updates == slot.name }?.value
  let new = write.flatMap { graph[$0].operands.last }
  let origin = new.flatMap { firstNonfinite(in: graph, from: [$0], isNonfinite) }.map { graph[$0] }
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

/// The earliest value that is not finite although all it was computed from is, among those that the overflow check sees.
func firstNonfinite(in graph: Graph, _ isNonfinite: (ValueID) -> Bool) -> ValueID? {
  let checks = graph.nodes.filter { $0.op == .isFinite }.flatMap(\.operands)
  return firstNonfinite(in: graph, from: checks.isEmpty ? graph.outputs.map(\.value) : checks, isNonfinite)
}

private func firstNonfinite(in graph: Graph, from roots: [ValueID], _ isNonfinite: (ValueID) -> Bool) -> ValueID? {
  var pending = roots.filter(isNonfinite)
  var seen = Set(pending)
  var origins: [ValueID] = []
  while let value = pending.popLast() {
    let sources = graph[value].operands.filter(isNonfinite)
    if sources.isEmpty { origins.append(value) }
    for source in sources where seen.insert(source).inserted { pending.append(source) }
  }
  // A constant was written as an infinity: what it did is blamed only if nothing else is.
  return origins.filter { graph[$0].op != .constant }.min() ?? origins.min()
}

private func inputDiagnostic(_ input: GraphInput, _ step: Int) -> Diagnostic {
  switch input.role {
  case .argument:
    Diagnostic(
      .error, "step \(step): the argument '\(input.name)' is not finite", notes: ["look at this batch of the data"])
  case .parameter, .master, .state, .optimizerState, .control:
    Diagnostic(
      .error, "step \(step): '\(input.name)' is not finite before the step begins",
      notes: [
        step == 0
          ? "it came so from the initial weights"
          : "it came so from the checkpoint, or from an update: look at the learning rate, the schedule, the optimizer"
      ])
  }
}

private func hints(_ graph: Graph, _ origin: ValueID, _ lossScale: Double?, _ floor: Double) -> [String] {
  let node = graph[origin]
  var notes: [String] = []
  let isScaled = graph.input(StepControl.lossScale.rawValue).map { reaches(graph, from: $0.value, to: origin) } ?? false
  if let lossScale, isScaled {
    notes.append(
      lossScale > floor
        ? "it is a gradient scaled by \(plain(lossScale)): a smaller loss scale can help"
        : "it is a gradient scaled by \(plain(lossScale)), the smallest scale: no loss scale can help")
  } else if lossScale != nil {
    notes.append("it is computed before the gradient starts: no loss scale can help")
  }
  if node.type.dtype.isHalf {
    let layer = node.scope.isEmpty ? "" : "keep the layer in f32 with keep-f32=\(node.scope), or "
    notes.append(
      "\(node.type.dtype) ends at \(plain(node.type.dtype.greatestFinite)): \(layer)compute it in @f32 { ... }")
  }
  return notes
}

/// Whether a value is computed from another.
private func reaches(_ graph: Graph, from source: ValueID, to target: ValueID) -> Bool {
  guard source <= target else { return false }
  var reached = Array(repeating: false, count: target.index + 1)
  reached[source.index] = true
  for index in reached.indices where graph.nodes[index].operands.contains(where: { reached[$0.index] }) {
    reached[index] = true
  }
  return reached[target.index]
}
