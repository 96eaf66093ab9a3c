/// Rebuilds a graph node by node: what most passes are.
package struct GraphRewriter {
  /// The graph being built. Nodes made through it take the place, scope and reason of the node being rewritten.
  package var builder: GraphBuilder
  private let original: Graph
  private var replacements: [ValueID] = []

  private init(_ graph: Graph) {
    original = graph
    builder = GraphBuilder(name: graph.name)
    replacements.reserveCapacity(graph.nodes.count)
  }

  /// Calls `rewrite` with each node, in order, its operands already replaced; the value that it gives stands for the node
  /// from then on, `nil` drops the node. Inputs are kept as they are.
  package static func rewrite(
    _ graph: Graph, _ rewrite: (inout GraphBuilder, Node, _ old: ValueID) -> ValueID?
  ) -> Graph {
    var rewriter = GraphRewriter(graph)
    for (index, node) in graph.nodes.enumerated() {
      let value = rewriter.visit(node, ValueID(index), rewrite)
      // A dropped node has no user: passes drop what nothing reads.
      rewriter.replacements.append(value ?? ValueID(0))
    }
    return rewriter.finished()
  }

  private mutating func visit(
    _ node: Node, _ old: ValueID, _ rewrite: (inout GraphBuilder, Node, ValueID) -> ValueID?
  ) -> ValueID? {
    var node = node
    node.operands = node.operands.map { replacements[$0.index] }
    if node.op == .input { return builder.append(node) }
    (builder.location, builder.scope, builder.reason) = (node.location, node.scope, node.reason)
    return rewrite(&builder, node, old)
  }

  private func finished() -> Graph {
    var graph = builder.graph
    graph.inputs = original.inputs.map { input in
      GraphInput(name: input.name, role: input.role, value: replacements[input.value.index])
    }
    graph.outputs = original.outputs.map { output in
      GraphOutput(name: output.name, value: replacements[output.value.index], updates: output.updates)
    }
    return graph
  }
}
