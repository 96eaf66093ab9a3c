import LTMIR

extension GraphPass {
  /// Drops nodes that no output depends on. Inputs stay: they are the signature.
  package static let deadCode = GraphPass.everywhere("dead-code", "drops what no output depends on") { (graph) in
    var isLive = [Bool](repeating: false, count: graph.nodes.count)
    for output in graph.outputs { isLive[output.value.index] = true }
    for index in graph.nodes.indices.reversed() where isLive[index] {
      for operand in graph.nodes[index].operands { isLive[operand.index] = true }
    }
    return GraphRewriter.rewrite(graph) { b, node, old in isLive[old.index] ? b.append(node) : nil }
  }
}
