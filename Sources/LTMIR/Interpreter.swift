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
    let graph = try bound(bindings(inputs.mapValues(\.shape)))
    let values = try graph.evaluateNodes(inputs, rounding: rounding, keep: Set(outputs.map(\.value)))
    return Dictionary(outputs.map { ($0.name, values[$0.value.index]) }, uniquingKeysWith: { first, _ in first })
  }

  /// Every node's value, by index. Symbolic dimensions take the sizes of the inputs.
  package func evaluateAll(
    _ inputs: [String: Tensor], rounding: ReferenceRounding = .none
  ) throws(DiagnosticSet) -> [Reference] {
    try bound(bindings(inputs.mapValues(\.shape))).evaluateNodes(inputs, rounding: rounding, keep: Set(values))
  }

  private func evaluateNodes(
    _ given: [String: Tensor], rounding: ReferenceRounding, keep: Set<ValueID>
  ) throws(DiagnosticSet) -> [Reference] {
    let names = Dictionary(inputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first })
    let lastUse = lastUses()
    if let open = nodes.first(where: { $0.type.staticShape == nil }) {
      throw DiagnosticSet([Diagnostic(.error, "the inputs do not tell the size of \(open.type)")])
    }
    var results: [Reference] = []
    results.reserveCapacity(nodes.count)
    for (index, node) in nodes.enumerated() {
      var result: Reference
      if let name = names[ValueID(index)] {
        result = try inputValue(name, node, given[name])
      } else {
        result = node.op.definition.evaluate(node.operands.map { results[$0.index] }, node.attributes, node.type)
      }
      if rounding == .everyOp { result = result.map(node.type.dtype.round) }
      results.append(result)
      for operand in node.operands where lastUse[operand.index] == index && !keep.contains(operand) {
        results[operand.index].data = []
      }
    }
    return results
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
