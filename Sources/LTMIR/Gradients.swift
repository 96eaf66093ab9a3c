// Reverse mode: the gradient of one value with respect to others, appended to the graph that computes it. The rules stand
// in the op table; here is only the order in which they run and the sum where a value is read more than once.

extension GraphBuilder {
  /// Appends the gradients of `output` with respect to `values`, each of its value's type; zeros where nothing flows.
  ///
  /// The seed is the gradient of `output` itself (its type; ones when left out). What a rule makes takes the place and the
  /// scope of the node that it is for.
  package mutating func differentiate(
    _ output: ValueID, withRespectTo values: [ValueID], seed: ValueID? = nil
  ) throws(OpError) -> [ValueID] {
    try requireDifferentiable(output, values, seed: seed)
    let saved = (location, scope, reason)
    defer { (location, scope, reason) = saved }
    let wanted = Set(values)
    let active = activeValues(from: wanted, upTo: output)
    var parts: [ValueID: [ValueID]] = [:]
    var found: [ValueID: ValueID] = [:]
    parts[output] = [seed ?? constant(1, type(output))]
    for index in stride(from: output.index, through: 0, by: -1) where active[index] {
      let value = ValueID(index)
      guard let contributions = parts.removeValue(forKey: value) else { continue }
      adopt(graph[value])
      let gradient = fanIn(contributions, of: type(value))
      if wanted.contains(value) { found[value] = gradient }
      try propagate(gradient, through: value, active, into: &parts)
    }
    return values.map { value in found[value] ?? constant(0, type(value)) }
  }

  private func requireDifferentiable(_ output: ValueID, _ values: [ValueID], seed: ValueID?) throws(OpError) {
    for value in [output] + values where !type(value).dtype.isFloating {
      throw OpError("a value of dtype \(type(value).dtype) has no gradient")
    }
    guard let seed, type(seed) != type(output) else { return }
    throw OpError("the seed is \(type(seed)), the value \(type(output))")
  }

  /// Which nodes up to `output` depend on the wanted values through differentiable ops.
  private func activeValues(from wanted: Set<ValueID>, upTo output: ValueID) -> [Bool] {
    var active = [Bool](repeating: false, count: output.index + 1)
    for index in active.indices {
      let node = graph.nodes[index]
      if wanted.contains(ValueID(index)) { active[index] = true }
      if case .rule = node.op.definition.gradient, node.type.dtype.isFloating,
        node.operands.contains(where: { active[$0.index] })
      {
        active[index] = true
      }
    }
    return active
  }

  private mutating func adopt(_ node: Node) {
    location = node.location
    scope = node.scope
    reason = "gradient of \(node.op.name)"
  }

  /// The sum of what flows into one value, in the accumulator's dtype, rounded once.
  private mutating func fanIn(_ parts: [ValueID], of type: TensorType) -> ValueID {
    guard parts.count > 1 else { return parts[0] }
    let wide = parts.map { cast($0, to: type.dtype.arithmetic) }
    return cast(wide.dropFirst().reduce(wide[0]) { add($0, $1) }, to: type.dtype)
  }

  private mutating func propagate(
    _ gradient: ValueID, through value: ValueID, _ active: [Bool], into parts: inout [ValueID: [ValueID]]
  ) throws(OpError) {
    let node = graph[value]
    guard case .rule(let rule) = node.op.definition.gradient,
      node.operands.contains(where: { active[$0.index] })
    else { return }
    let gradients = rule(&self, node, value, gradient)
    for (operand, part) in zip(node.operands, gradients) where active[operand.index] {
      guard let part else { continue }
      guard type(part) == type(operand) else {
        throw OpError(
          "internal error: the gradient rule of \(node.op.name) gives \(type(part)), not \(type(operand))")
      }
      parts[operand, default: []].append(part)
    }
  }
}
