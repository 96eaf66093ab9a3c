import LTMSupport

// The judge: every op by its reference, in f64, one after the other.

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
    return try bound(bindings(first.mapValues(\.shape))).evaluateBound(given, rounding: rounding, keep: keep)
  }

  /// All replicas in step, so that each op that joins them finds the operands of all.
  private func evaluateBound(
    _ given: [[String: Tensor]], rounding: ReferenceRounding, keep: Set<ValueID>
  ) throws(DiagnosticSet) -> [[Reference]] {
    let names = Dictionary(inputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first })
    let lastUse = lastUses()
    if let open = nodes.first(where: { $0.type.staticShape == nil }) {
      throw DiagnosticSet([Diagnostic(.error, "the inputs do not tell the size of \(open.type)")])
    }
    var results = [[Reference]](repeating: [], count: given.count)
    for replica in given.indices { results[replica].reserveCapacity(nodes.count) }
    for (index, node) in nodes.enumerated() {
      let joined = node.op == .allReduce ? allReduced(node, results) : nil
      for replica in given.indices {
        var result: Reference
        if let name = names[ValueID(index)] {
          result = try inputValue(name, node, given[replica][name])
        } else if let joined {
          result = joined
        } else {
          let operands = node.operands.map { results[replica][$0.index] }
          result = node.op.definition.evaluate(operands, node.attributes, node.type)
        }
        if rounding == .everyOp { result = result.map(node.type.dtype.round) }
        results[replica].append(result)
        for operand in node.operands where lastUse[operand.index] == index && !keep.contains(operand) {
          results[replica][operand.index].data = []
        }
      }
    }
    return results
  }

  private func allReduced(_ node: Node, _ results: [[Reference]]) -> Reference {
    OpDefinition.allReduce(results.map { $0[node.operands[0].index] }, node.attributes, node.type.dtype)
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
