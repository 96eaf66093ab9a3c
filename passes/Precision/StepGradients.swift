import LTMIR
import LTMSupport

// What happens to all gradients together before the optimizer gets them: unscaled, measured, clipped, in this order.

extension StepBuilder {
  /// Clips the gradients and gives their norm, where either is asked for. Otherwise each one is unscaled where it is used.
  mutating func clip() throws(DiagnosticSet) {
    guard rules.clip != nil || rules.tracksNorm || rules.givesGradients else { return }
    let gradients = gradients.map { unscaled($0) }
    if rules.tracksNorm { outputNorm(gradients) }
    if rules.givesGradients {
      guard shards.isEmpty else {
        throw DiagnosticSet([
          Diagnostic(.error, "histograms show whole gradients, and --shard optimizer divides them")
        ])
      }
      for (parameter, gradient) in zip(parameters, gradients) {
        builder.output(StepProgram.gradient(of: parameter.name), gradient)
      }
    }
    prepared = gradients
    guard let rule = rules.clip else { return }
    try requireDivisible(rule)
    let measured = try measure(gradients, rule)
    var graphs: [TensorType: Graph] = [:]
    for (index, gradient) in gradients.enumerated() {
      let type = builder.type(gradient)
      if graphs[type] == nil { graphs[type] = try resolveFloats(try rule.clip(type.shape), to: type.dtype) }
      guard let graph = graphs[type] else { continue }
      var arguments = ["grad": gradient, "weight": clippedWeight(index)]
      arguments["measured"] = measured
      let outputs = try builder.inline(graph, arguments, scope: "clip/\(parameters[index].name)")
      guard let clipped = outputs["grad"], builder.type(clipped).shape == type.shape else {
        throw DiagnosticSet([Diagnostic(.error, "'\(rule.name)' gives no gradient of shape \(type)")])
      }
      prepared?[index] = builder.cast(clipped, to: type.dtype)
    }
  }

  /// The sum over all weights of what the rule measures; `nil` where it measures nothing.
  private mutating func measure(_ gradients: [ValueID], _ rule: ClipTemplate) throws(DiagnosticSet) -> ValueID? {
    guard let measure = rule.measure else { return nil }
    var graphs: [TensorType: Graph] = [:]
    var (total, parts): (ValueID?, ValueID?) = (nil, nil)
    for (index, gradient) in gradients.enumerated() {
      let type = builder.type(gradient)
      if graphs[type] == nil { graphs[type] = try resolveFloats(try measure(type.shape), to: type.dtype) }
      guard let graph = graphs[type] else { continue }
      let arguments = ["grad": gradient, "weight": clippedWeight(index)]
      let outputs = try builder.inline(graph, arguments, scope: "clip/\(parameters[index].name)")
      guard let value = outputs["measured"] else {
        throw DiagnosticSet([Diagnostic(.error, "'\(rule.name)' measures no scalar")])
      }
      let wide = builder.cast(value, to: policy.full)
      if shards[index] == nil {
        total = total.map { builder.add($0, wide) } ?? wide
      } else {
        parts = parts.map { builder.add($0, wide) } ?? wide
      }
    }
    return sumOverParts(total, parts)
  }

  /// The weight that a clipping rule is given: what this rank holds of it.
  private mutating func clippedWeight(_ index: Int) -> ValueID {
    shards[index] == nil ? parameters[index].value : heldWeight(index).value
  }

  /// The norm of all gradients as one vector.
  private mutating func outputNorm(_ gradients: [ValueID]) {
    builder.reason = "the norm of all gradients"
    defer { builder.reason = nil }
    var (total, parts): (ValueID?, ValueID?) = (nil, nil)
    for (index, gradient) in gradients.enumerated() {
      let wide = builder.cast(gradient, to: policy.full)
      let square = builder.sum(builder.mul(wide, wide), Array(0..<builder.type(wide).rank))
      if shards[index] == nil {
        total = total.map { builder.add($0, square) } ?? square
      } else {
        parts = parts.map { builder.add($0, square) } ?? square
      }
    }
    if let total = sumOverParts(total, parts) { builder.output(StepProgram.gradientNorm, builder.make(.sqrt, [total])) }
  }
}
