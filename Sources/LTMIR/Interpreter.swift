import LTMSupport

// The reference interpreter: every op by its reference, in f64, one after the other.

/// Whether the interpreter rounds.
package enum ReferenceRounding: Sendable {
  /// Everything stays in f64, whatever the dtypes say.
  case none
  /// Each node's result is rounded once to its dtype; what happens inside of an op stays in f64.
  case everyOp
}

extension Graph {
  /// The outputs by name. Symbolic dimensions take the sizes of the inputs.
  package func evaluate(
    _ inputs: [String: Tensor], rounding: ReferenceRounding = .none
  ) throws(DiagnosticSet) -> [String: Reference] {
    try evaluate(replicas: [inputs], rounding: rounding)[0]
  }

  /// The outputs of each replica of a data-parallel graph, given the inputs of each.
  package func evaluate(
    replicas inputs: [[String: Tensor]], rounding: ReferenceRounding = .none
  ) throws(DiagnosticSet) -> [[String: Reference]] {
    let keep = Set(outputs.map(\.value))
    return try evaluateNodes(inputs, rounding: rounding, keep: keep).map { values in
      Dictionary(outputs.map { ($0.name, values[$0.value.index]) }, uniquingKeysWith: { first, _ in first })
    }
  }

  /// Every node's value, by index. Symbolic dimensions take the sizes of the inputs.
  package func evaluateAll(
    _ inputs: [String: Tensor], rounding: ReferenceRounding = .none
  ) throws(DiagnosticSet) -> [Reference] {
    try evaluateNodes([inputs], rounding: rounding, keep: Set(values))[0]
  }

  private func evaluateNodes(
    _ given: [[String: Tensor]], rounding: ReferenceRounding, keep: Set<ValueID>
  ) throws(DiagnosticSet) -> [[Reference]] {
    guard let first = given.first, given.count == replicas else {
      throw DiagnosticSet([
        Diagnostic(.error, "`\(name)` runs as \(replicas) replicas, and has inputs for \(given.count)")
      ])
    }
    let graph = try bound(bindings(first.mapValues(\.shape)))
    try graph.requireLegal()
    var values: [[ValueID: Reference]] = []
    for tensors in given { values.append(try graph.inputValues(tensors)) }
    return try graph.evaluateBound(values, rounding: rounding, keep: keep)
  }

  private func inputValues(_ tensors: [String: Tensor]) throws(DiagnosticSet) -> [ValueID: Reference] {
    var values: [ValueID: Reference] = [:]
    for input in inputs { values[input.value] = try inputValue(input.name, self[input.value], tensors[input.name]) }
    return values
  }

  /// All replicas in step, so that each op that joins them finds the operands of all. `keep` says whose values are wanted.
  func evaluateBound(
    _ given: [[ValueID: Reference]], rounding: ReferenceRounding, keep: Set<ValueID>
  ) throws(DiagnosticSet) -> [[Reference]] {
    let lastUse = lastUses()
    var results = [[Reference]](repeating: [], count: given.count)
    for replica in given.indices { results[replica].reserveCapacity(nodes.count) }
    // The results after the first of ops that have several, by node, then replica.
    var further: [Int: [[Reference]]] = [:]
    for (index, node) in nodes.enumerated() {
      let values = try node.evaluated(
        replicas: given.map { $0[ValueID(index)] },
        operands: results.map { values in node.operands.map { values[$0.index] } },
        further: node.operands.first.flatMap { further[$0.index] } ?? [], rounding)
      for replica in given.indices { results[replica].append(values[replica][0]) }
      if !node.furtherTypes.isEmpty { further[index] = values.map { Array($0.dropFirst()) } }
      for operand in node.operands where lastUse[operand.index] == index {
        further[operand.index] = nil
        if !keep.contains(operand) { for replica in given.indices { results[replica][operand.index].data = [] } }
      }
    }
    return results
  }

  /// Rules read attributes and operands as the verifier has found them.
  private func requireLegal() throws(DiagnosticSet) {
    if let open = nodes.first(where: { $0.type.staticShape == nil || $0.op == .dimension }) {
      throw DiagnosticSet([Diagnostic(.error, "the inputs do not tell the size of \(open.type)")])
    }
    guard let violation = verify(stage: .bound).first else { return }
    throw DiagnosticSet([Diagnostic(.error, "`\(name)` is no legal graph: \(violation)")])
  }

  /// The index of the last node that reads each value.
  private func lastUses() -> [Int] {
    var last = [Int](repeating: -1, count: nodes.count)
    for (index, node) in nodes.enumerated() { for operand in node.operands { last[operand.index] = index } }
    return last
  }

  private func inputValue(_ name: String, _ node: Node, _ tensor: Tensor?) throws(DiagnosticSet) -> Reference {
    guard let tensor else { throw DiagnosticSet([Diagnostic(.error, "input `\(name)` is missing")]) }
    guard tensor.dtype == node.type.dtype || tensor.dtype.isFloating && node.type.dtype.isFloating else {
      throw DiagnosticSet([Diagnostic(.error, "input `\(name)` is \(tensor.dtype), not \(node.type.dtype)")])
    }
    guard tensor.shape == node.type.staticShape else {
      throw DiagnosticSet([
        Diagnostic(.error, "input `\(name)` has shape \(tensor.shape), not \(shapeText(node.type.shape))")
      ])
    }
    return Reference(shape: tensor.shape, data: tensor.doubles)
  }
}

extension Node {
  /// All results of a node for each replica: `given` for inputs, `further` the operand's results after the first.
  fileprivate func evaluated(
    replicas given: [Reference?], operands: [[Reference]], further: [[Reference]], _ rounding: ReferenceRounding
  ) throws(DiagnosticSet) -> [[Reference]] {
    func rounded(_ values: [Reference]) -> [Reference] {
      rounding == .everyOp ? zip(values, types).map { $0.map($1.dtype.round) } : values
    }
    if op == .input { return given.map { rounded([$0 ?? .filled(type.boundShape, .nan)]) } }
    if op.hasBodies { return try evaluatedBodies(operands, rounding) }
    if op == .result, let index = attributes.int("index") { return further.map { [$0[index - 1]] } }
    if op == .allReduce {
      let joined = OpDefinition.allReduce(operands.map { $0[0] }, attributes, type.dtype)
      return operands.map { _ in rounded([joined]) }
    }
    if op == .reduceScatter {
      return OpDefinition.reduceScatter(operands.map { $0[0] }, attributes).map { rounded([$0]) }
    }
    if op == .allGather, operands.count > 1 {
      let whole = Reference(shape: type.boundShape, data: operands.flatMap { $0[0].data })
      return operands.map { _ in [whole] }
    }
    let row = op.definition
    return operands.enumerated().map { replica, operands in
      let attributes = attributes.drawing(on: replica)
      let rest = row.further?.evaluate(operands, attributes, furtherTypes) ?? []
      return rounded([row.evaluate(operands, attributes, type)] + rest)
    }
  }
}
