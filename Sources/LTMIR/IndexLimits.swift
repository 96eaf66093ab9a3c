import LTMSupport

/// The integers that an argument of a graph may hold: each names a class, or a row of a table.
package struct IndexLimit: Sendable, Hashable {
  /// The argument.
  package let input: String
  /// The op that reads it.
  package let op: Op
  /// Valid are 0 up to, not including, this.
  package let count: Int
  /// Where the op was written.
  package let location: Location?

  /// The message for an argument that breaks the limit; `nil` where it holds.
  package func problem(in tensor: Tensor, from origin: String) -> Diagnostic? {
    let values = tensor.doubles
    guard let index = values.firstIndex(where: { $0 < 0 || $0 >= Double(count) }) else { return nil }
    let row = index / max(1, values.count / max(1, tensor.shape.first ?? 1))
    let things = op == .crossEntropy ? "classes" : "rows"
    var result = Diagnostic(
      .error,
      "\(origin): '\(input)' holds \(Int(values[index])) in row \(row), and '\(op.name)' has \(count) \(things)",
      notes: ["valid are 0 to \(count - 1)"])
    result.location = location
    return result
  }
}

extension Graph {
  /// The limits of arguments that ops read as indices, straight or through ops that only move elements. Dimensions must be
  /// bound.
  package var indexLimits: [IndexLimit] {
    var limits: [IndexLimit] = []
    for node in nodes {
      guard let (operand, dim) = node.op.indexed(node, in: self), let count = dim.constant,
        let input = argument(behind: operand)
      else { continue }
      limits.append(IndexLimit(input: input, op: node.op, count: count, location: node.location))
    }
    return limits
  }

  /// The argument whose elements a value holds, all of them and no others.
  private func argument(behind value: ValueID) -> String? {
    var value = value
    while true {
      let node = self[value]
      switch node.op {
      case .reshape, .transpose, .broadcast, .stopGradient: value = node.operands[0]
      case .cast where !self[node.operands[0]].type.dtype.isFloating: value = node.operands[0]
      case .input: return inputs.first { $0.value == value && $0.role == .argument }?.name
      case _: return nil
      }
    }
  }
}

extension Op {
  /// The operand that the op reads as indices, and the size of what they point into.
  fileprivate func indexed(_ node: Node, in graph: Graph) -> (operand: ValueID, size: Dim)? {
    func shape(_ operand: Int) -> [Dim] { graph[node.operands[operand]].type.shape }
    switch self {
    case .crossEntropy: return shape(0).last.map { (node.operands[1], $0) }
    case .gather, .scatterAdd:
      guard let axis = node.attributes.int("axis"), shape(0).indices.contains(axis) else { return nil }
      return (node.operands[1], shape(0)[axis])
    case _: return nil
    }
  }
}
