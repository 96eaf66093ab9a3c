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
  GraphRewriter.rewrite(graph) { b, node, _ in
    guard case .decompose(let formula) = node.op.definition.lowering else { return b.append(node) }
    b.reason = node.reason ?? "part of \(node.op.name)"
    let value = formula(&b, node)
    // A formula of another type leaves the op as it was, for the verifier to name (`graph_c10`).
    return b.type(value) == node.type ? value : b.append(node)
  }
}

extension Node {
  fileprivate var isComposite: Bool { if case .decompose = op.definition.lowering { true } else { false } }
}
