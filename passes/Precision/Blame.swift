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

/// The earliest value that is not finite although all it was computed from is, among those that the overflow check sees.
func firstNonfinite(in graph: Graph, _ isNonfinite: (ValueID) -> Bool) -> ValueID? {
  let checks = graph.nodes.filter { $0.op == .isFinite }.flatMap(\.operands)
  let roots = checks.isEmpty ? graph.outputs.map(\.value) : checks
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
