import LTMIR

/// The graph with each test `x > 0` made on `maximum(x, 0)` where that exists before it: the same truth, NaN included. The
/// gradient of a rectifier then reads what the next layer reads, and `x` itself is never stored.
func shareRectified(_ graph: Graph) -> Graph {
  var graph = graph
  var rectified: [ValueID: ValueID] = [:]
  for value in graph.values {
    let node = graph[value]
    guard node.operands.count == 2, graph.isZero(node.operands[1]) else { continue }
    if node.op == .maximum { rectified[node.operands[0]] = value }
    if node.op == .greater, let shared = rectified[node.operands[0]] { graph[value].operands[0] = shared }
  }
  return graph
}

extension Graph {
  /// Whether a value is a literal 0, spread or not.
  fileprivate func isZero(_ value: ValueID) -> Bool {
    let node = self[value]
    if node.op == .broadcast { return isZero(node.operands[0]) }
    return node.op == .constant && node.attributes.float("value") == 0
  }
}
