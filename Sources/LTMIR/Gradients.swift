// Reverse mode: the gradient of one value with respect to others, appended to the graph that computes it. The rules stand
// in the op table; here is only the order in which they run and the sum where a value is read more than once.

extension GraphBuilder {
  /// Appends the gradients of `output` with respect to `values`, each of its value's type; zeros where nothing flows.
  package mutating func differentiate(
    _ output: ValueID, withRespectTo values: [ValueID], seed: ValueID? = nil
  ) throws(OpError) -> [ValueID] {
    let found = try gradients(of: output, withRespectTo: values, seed: seed)
    return zip(values, found).map { value, gradient in gradient ?? constant(0, type(value)) }
  }

  /// Appends the gradients of `output` with respect to `values`, each of its value's type; `nil` where nothing flows.
  ///
  /// The seed is the gradient of `output` itself (its type; ones when left out). What a rule makes takes the place and the
  /// scope of the node that it is for.
  package mutating func gradients(
    of output: ValueID, withRespectTo values: [ValueID], seed: ValueID? = nil
  ) throws(OpError) -> [ValueID?] {
    try requireDifferentiable(output, values, seed: seed)
    return try differentiate([(output, seed ?? constant(1, type(output)))], withRespectTo: values)
  }

  /// The gradients of several outputs together, each with its seed; `nil` where nothing flows.
  package mutating func differentiate(
    _ seeds: [(output: ValueID, gradient: ValueID)], withRespectTo values: [ValueID]
  ) throws(OpError) -> [ValueID?] {
    let saved = (location, scope, reason)
    defer { (location, scope, reason) = saved }
    let last = seeds.map(\.output).max() ?? ValueID(-1)
    var flow = GradientFlow(wanted: Set(values), active: graph.activeValues(from: Set(values), upTo: last))
    for seed in seeds { flow.add(seed.gradient, to: seed.output) }
    var found: [ValueID: ValueID] = [:]
    for index in stride(from: last.index, through: 0, by: -1) where flow.active[index] {
      let value = ValueID(index)
      adopt(graph[value])
      if graph[value].op.hasBodies {
        let first = try propagateThroughBodies(of: value, &flow)
        if flow.wanted.contains(value) { found[value] = first }
        continue
      }
      guard let contributions = flow.parts.removeValue(forKey: value) else { continue }
      let gradient = fanIn(contributions, of: type(value))
      if flow.wanted.contains(value) { found[value] = gradient }
      try propagate(gradient, through: value, &flow)
    }
    return values.map { found[$0] }
  }

  private func requireDifferentiable(_ output: ValueID, _ values: [ValueID], seed: ValueID?) throws(OpError) {
    for value in [output] + values where !type(value).dtype.isFloating {
      throw OpError("a value of dtype \(type(value).dtype) has no gradient")
    }
    guard let seed, type(seed) != type(output) else { return }
    throw OpError("the seed is \(type(seed)), the value \(type(output))")
  }

  private mutating func adopt(_ node: Node) {
    location = node.location
    scope = node.scope
    reason = "gradient of \(node.op.name)"
  }

  /// The sum of what flows into one value, in the accumulator's dtype, rounded once.
  mutating func fanIn(_ parts: [ValueID], of type: TensorType) -> ValueID {
    guard parts.count > 1 else { return parts[0] }
    let wide = parts.map { cast($0, to: type.dtype.arithmetic) }
    return cast(wide.dropFirst().reduce(wide[0]) { add($0, $1) }, to: type.dtype)
  }

  private mutating func propagate(
    _ gradient: ValueID, through value: ValueID, _ flow: inout GradientFlow
  ) throws(OpError) {
    let node = graph[value]
    if node.op == .result, let index = node.attributes.int("index") {
      flow.addResult(index, gradient, of: node.operands[0])
      return
    }
    guard case .rule(let rule) = node.op.definition.gradient,
      node.operands.contains(where: { flow.active[$0.index] })
    else { return }
    let gradients = rule(&self, node, value, gradient)
    for (operand, part) in zip(node.operands, gradients) where flow.active[operand.index] {
      guard let part else { continue }
      guard type(part) == type(operand) else {
        throw OpError(
          "internal error: the gradient rule of \(node.op.name) gives \(type(part)), not \(type(operand))")
      }
      flow.add(part, to: operand)
    }
  }
}

/// What has flowed into each value so far.
struct GradientFlow {
  let wanted: Set<ValueID>
  /// By node: whether a gradient can flow through it to what is wanted.
  let active: [Bool]
  var parts: [ValueID: [ValueID]] = [:]
  /// What has flowed into the results after the first, by op and result.
  private(set) var resultParts: [ValueID: [Int: [ValueID]]] = [:]

  init(wanted: Set<ValueID>, active: [Bool]) {
    self.wanted = wanted
    self.active = active
  }

  mutating func add(_ gradient: ValueID, to value: ValueID) { parts[value, default: []].append(gradient) }

  mutating func addResult(_ index: Int, _ gradient: ValueID, of value: ValueID) {
    resultParts[value, default: [:]][index, default: []].append(gradient)
  }

  /// What has flowed into each result of an op.
  mutating func take(_ value: ValueID) -> [Int: [ValueID]] {
    var all = resultParts.removeValue(forKey: value) ?? [:]
    if let first = parts.removeValue(forKey: value) { all[0, default: []] += first }
    return all
  }
}

extension Graph {
  /// Which nodes up to `last` depend on the wanted values through differentiable ops.
  func activeValues(from wanted: Set<ValueID>, upTo last: ValueID) -> [Bool] {
    var active = [Bool](repeating: false, count: last.index + 1)
    for index in active.indices {
      let node = nodes[index]
      let isReached = node.operands.contains { active[$0.index] }
      active[index] = wanted.contains(ValueID(index)) || isReached && node.carriesGradient
    }
    return active
  }
}

extension Node {
  /// Whether a gradient can flow from a result to an operand.
  fileprivate var carriesGradient: Bool {
    if op.hasBodies { return types.contains { $0.dtype.isFloating } }
    guard type.dtype.isFloating else { return false }
    if case .rule = op.definition.gradient { return true }
    return op == .result
  }
}
