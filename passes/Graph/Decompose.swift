import LTMIR

extension GraphPass {
  /// Composite ops become simpler ones, by their rows, until only what kernels are made of is left. Runs after casts and
  /// gradients are placed: both depend on composites being whole.
  package static let decompose = GraphPass.everywhere("decompose", "replaces composite ops by simpler ones") {
    (graph) in
    var graph = graph
    // A formula may use composites of its own, nested a few deep; more means that a row leads back to itself.
    for _ in 0..<8 where graph.nodes.contains(where: \.isComposite) { graph = decomposedOnce(graph) }
    return graph
  }
}

private func decomposedOnce(_ graph: Graph) -> Graph {
  // The results after the first of ops that had several.
  var further: [ValueID: [ValueID]] = [:]
  return GraphRewriter.rewrite(graph) { b, node, _ in
    if node.op == .result, let index = node.attributes.int("index"), let rest = further[node.operands[0]] {
      return rest[index - 1]
    }
    let row = node.op.definition
    guard case .decompose(let formula) = row.lowering else { return b.append(node) }
    b.reason = node.reason ?? "part of \(node.op.name)"
    let values = row.further?.decompose(&b, node) ?? [formula(&b, node)]
    // A formula of another type leaves the op as it was, for the verifier to name (`graph_c10`).
    guard values.map({ b.type($0) }) == node.types else { return b.append(node) }
    if values.count > 1 { further[values[0]] = Array(values.dropFirst()) }
    return values[0]
  }
}

extension Node {
  fileprivate var isComposite: Bool { if case .decompose = op.definition.lowering { true } else { false } }
}
