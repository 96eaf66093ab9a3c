import LTMIR

/// Bytes of a graph with bound dimensions, by what they hold. Counted on the graph, before kernels fuse ops: what a plan
/// allocates is less.
package struct Footprint: Sendable, Hashable {
  /// Parameters, as the forward pass reads them.
  package var weights = 0
  /// Copies of parameters in another dtype that live through the step (O1's casts).
  package var weightCasts = 0
  /// Results of the forward pass that the gradient reads. Views of a value count with it, constants not at all.
  package var activations = 0
  /// The largest sum of results that are alive at once, in program order.
  package var peak = 0
  /// f32 copies of half parameters.
  package var masters = 0
  /// What the optimizer keeps.
  package var optimizerState = 0
  /// Running statistics and other state of layers.
  package var layerState = 0

  /// Counts a graph; `forwardCount` is how many nodes at the beginning are the forward pass, all of them by default.
  package init(_ graph: Graph, forwardCount: Int? = nil) {
    for input in graph.inputs {
      let bytes = byteCount(graph[input.value].type)
      switch input.role {
      case .parameter: weights += bytes
      case .master: masters += bytes
      case .optimizerState: optimizerState += bytes
      case .state: layerState += bytes
      case .argument, .control: break
      }
    }
    countActivations(graph, forwardCount ?? graph.nodes.count)
    countPeak(graph)
  }

  private mutating func countActivations(_ graph: Graph, _ forwardCount: Int) {
    let parameters = Set(graph.inputs.filter { $0.role == .parameter }.map(\.value))
    let roots = graph.storageRoots()
    var kept: Set<ValueID> = []
    for (index, node) in graph.nodes.enumerated() where index >= forwardCount {
      for operand in node.operands where operand.index < forwardCount { kept.insert(roots[operand.index]) }
    }
    for value in kept where isComputed(graph[value]) {
      let node = graph[value]
      if node.op == .cast, let source = node.operands.first, parameters.contains(roots[source.index]) {
        weightCasts += byteCount(node.type)
      } else {
        activations += byteCount(node.type)
      }
    }
  }

  private mutating func countPeak(_ graph: Graph) {
    let roots = graph.storageRoots()
    var last = Array(0..<graph.nodes.count)
    for (index, node) in graph.nodes.enumerated() {
      for operand in node.operands { last[roots[operand.index].index] = index }
    }
    var ending = [Int](repeating: 0, count: graph.nodes.count)
    var alive = 0
    for (index, node) in graph.nodes.enumerated() {
      if roots[index].index == index, isComputed(node) {
        alive += byteCount(node.type)
        ending[last[index]] += byteCount(node.type)
      }
      peak = max(peak, alive)
      alive -= ending[index]
    }
  }
}

extension Graph {
  /// For each value the one whose memory it shows: views show their operand's.
  fileprivate func storageRoots() -> [ValueID] {
    var roots: [ValueID] = []
    for (index, node) in nodes.enumerated() {
      let isView = [Op.reshape, .transpose, .broadcast, .slice, .stopGradient].contains(node.op)
      roots.append(isView ? node.operands.first.map { roots[$0.index] } ?? ValueID(index) : ValueID(index))
    }
    return roots
  }
}

/// Whether a node fills memory of its own: an index or a number is computed where it is read.
private func isComputed(_ node: Node) -> Bool {
  switch node.op {
  case .input, .constant, .dimension, .iota: false
  case _: true
  }
}

private func byteCount(_ type: TensorType) -> Int {
  guard let shape = type.staticShape, let count = elementCount(shape) else { return 0 }
  return count.multipliedReportingOverflow(by: type.dtype.byteCount).partialValue
}
