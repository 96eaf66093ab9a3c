import LTMIR

extension GraphPass {
  /// Equal ops on equal operands are computed once, at the place of the first.
  package static let commonSubexpressions = GraphPass.everywhere(
    "common-subexpressions", "computes equal expressions once"
  ) { (graph) in
    var seen: [Expression: ValueID] = [:]
    return GraphRewriter.rewrite(graph) { b, node, _ in
      let expression = Expression(node)
      if let value = seen[expression] { return value }
      let value = b.append(node)
      seen[expression] = value
      return value
    }
  }
}

/// What makes two nodes equal: all but place, scope and reason.
private struct Expression: Hashable {
  let op: Op
  let operands: [ValueID]
  let attributes: Attributes
  let types: [TensorType]
  let bodies: [Graph]
  /// The bits of floating attributes: 0 and -0 compare equal, but are not.
  let bits: [UInt64]

  init(_ node: Node) {
    op = node.op
    operands = node.operands
    attributes = node.attributes
    types = node.types
    bodies = node.bodies
    bits = node.attributes.entries.compactMap { if case .float(let value) = $0.value { value.bitPattern } else { nil } }
  }
}
