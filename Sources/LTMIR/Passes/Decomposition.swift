// Composite ops become simpler ones, by their rows.

extension Graph {
  /// The graph, bodies included, of ops that kernels are made of.
  ///
  /// - Parameters:
  ///   - keepsWhole: whether ops stay that some targets have a form of their own for.
  ///   - keeping: which nodes stay besides.
  package func decomposed(keepsWhole: Bool, keeping: (Node) -> Bool = { _ in false }) -> Graph {
    mapBodies { $0.decomposedAlone(keepsWhole, keeping) }.decomposedAlone(keepsWhole, keeping)
  }

  private func decomposedAlone(_ keepsWhole: Bool, _ keeping: (Node) -> Bool) -> Graph {
    var graph = self
    // A formula may use composites of its own, nested a few deep; more means that a row leads back to itself.
    for _ in 0..<8
    where graph.nodes.contains(where: { $0.op.formula(keepsWhole: keepsWhole) != nil && !keeping($0) }) {
      graph = graph.decomposedOnce(keepsWhole, keeping)
    }
    return keepsWhole ? graph.withResultsBesideOps() : graph
  }

  /// Results of whole ops right behind these, each once: who takes a graph apart takes them together.
  private func withResultsBesideOps() -> Graph {
    guard nodes.contains(where: { $0.isWhole }) else { return self }
    var results: [ValueID: [ValueID]] = [:]
    return GraphRewriter.rewrite(self) { b, node, _ in
      if node.op == .result, let index = node.attributes.int("index"), let known = results[node.operands[0]] {
        return known[index]
      }
      let value = b.append(node)
      if node.isWhole { results[value] = b.results(of: value) }
      return value
    }
  }

  private func decomposedOnce(_ keepsWhole: Bool, _ keeping: (Node) -> Bool) -> Graph {
    // The results after the first of ops that had several.
    var further: [ValueID: [ValueID]] = [:]
    return GraphRewriter.rewrite(self) { b, node, _ in
      if node.op == .result, let index = node.attributes.int("index"), let rest = further[node.operands[0]] {
        return rest[index - 1]
      }
      guard let formula = node.op.formula(keepsWhole: keepsWhole), !keeping(node) else { return b.append(node) }
      b.reason = node.reason ?? "part of \(node.op.name)"
      let values = node.op.definition.further?.decompose(&b, node) ?? [formula(&b, node)]
      // A formula of another type leaves the op as it was, for the verifier to name (`graph_c10`).
      guard values.map({ b.type($0) }) == node.types else { return b.append(node) }
      if values.count > 1 { further[values[0]] = Array(values.dropFirst()) }
      return values[0]
    }
  }
}

extension Node {
  fileprivate var isWhole: Bool { if case .whole = op.definition.lowering { true } else { false } }
}

extension Op {
  /// What replaces it.
  fileprivate func formula(keepsWhole: Bool) -> (@Sendable (inout GraphBuilder, Node) -> ValueID)? {
    switch definition.lowering {
    case .decompose(let formula): formula
    case .whole(let formula): keepsWhole ? nil : formula
    case .primitive, .reduction, .control, .structural: nil
    }
  }
}
