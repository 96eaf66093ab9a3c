import LTMIR
import LTMSupport

// Reductions that leave too few results to occupy a machine are cut in two by shape: partial results, then those. A loss
// over rows is cut at the row, so that its partial sums come from the kernel that has the row at hand.

/// The graph with long reductions in two stages, but for some, and where each of its values is now.
func splitReductions(_ graph: Graph, except whole: Set<Int>) -> (graph: Graph, moved: [ValueID]) {
  var builder = GraphBuilder(Graph(name: graph.name, inputs: graph.inputs, outputs: graph.outputs))
  var moved: [ValueID] = []
  var rows = RowReductions()
  for (index, node) in graph.nodes.enumerated() {
    var node = node
    node.operands = node.operands.map { moved[$0.index] }
    builder.location = node.location
    builder.scope = node.scope
    builder.reason = node.reason
    moved.append((whole.contains(index) ? nil : split(node, in: &builder, &rows)) ?? builder.append(node))
  }
  var result = builder.graph
  for index in result.inputs.indices { result.inputs[index].value = moved[result.inputs[index].value.index] }
  for index in result.outputs.indices { result.outputs[index].value = moved[result.outputs[index].value.index] }
  return (result, moved)
}

/// Reductions that would be cut, of what a contraction gives, or of what is made from that element for element.
func epilogueCandidates(_ graph: Graph) -> Set<Int> {
  var comesFromContraction = [Bool](repeating: false, count: graph.nodes.count)
  var found: Set<Int> = []
  var rows = RowReductions()
  for (index, node) in graph.nodes.enumerated() {
    let operands = node.operands.map { comesFromContraction[$0.index] }
    switch node.op.definition.lowering {
    case .primitive: comesFromContraction[index] = operands.contains(true)
    case .structural where node.op == .cast: comesFromContraction[index] = operands[0]
    case .structural: comesFromContraction[index] = node.op == .contract
    case .reduction: if operands[0], cut(node, graph, &rows) != nil { found.insert(index) }
    case .decompose, .whole, .control: break
    }
  }
  return found
}

private enum SplitLimits {
  /// Fewer results than this leave cores idle.
  static let results = 256
  /// Shorter reductions are not worth a second stage.
  static let elements = 1 << 15
  /// The length of a partial reduction.
  static let chunk = 4096
}

/// Where a reduction is cut.
private enum Cut { case rows, chunks }

private func cut(_ node: Node, _ graph: Graph, _ rows: inout RowReductions) -> Cut? {
  guard case .reduction = node.op.definition.lowering, let operand = node.operands.first,
    let shape = graph[operand].type.staticShape, let axes = node.attributes.ints("axes"), let first = axes.first,
    let results = node.type.staticShape.flatMap(elementCount), let total = elementCount(shape), results > 0
  else { return nil }
  let isWhole = axes.count == shape.count
  if isWhole, axes.count > 1, rows.reach(operand, graph) { return .rows }
  let isLong = results < SplitLimits.results && total >= SplitLimits.elements && total / results >= SplitLimits.chunk
  return isLong && axes == Array(first..<first + axes.count) ? .chunks : nil
}

private func split(_ node: Node, in builder: inout GraphBuilder, _ rows: inout RowReductions) -> ValueID? {
  guard let operand = node.operands.first, let shape = builder.type(operand).staticShape,
    let axes = node.attributes.ints("axes")
  else { return nil }
  return switch cut(node, builder.graph, &rows) {
  case .rows: twoStages(node, operand, [shape.count - 1], Array(0..<shape.count - 1), &builder)
  case .chunks: chunked(node, operand, shape, axes, &builder)
  case nil: nil
  }
}

/// `[outer, reduced, inner]` seen as `[outer, chunks, chunk, inner]`: reduced over the third, then over the second.
private func chunked(
  _ node: Node, _ operand: ValueID, _ shape: [Int], _ axes: [Int], _ builder: inout GraphBuilder
) -> ValueID? {
  let inner = shape[(axes[axes.count - 1] + 1)...].reduce(1, *)
  let outer = shape[..<axes[0]].reduce(1, *)
  let length = axes.reduce(1) { $0 * shape[$1] }
  let target = max(SplitLimits.chunk / inner, 16)
  guard let chunk = (1...target).reversed().first(where: { length % $0 == 0 }), chunk * 8 >= target, length / chunk > 1
  else {
    return paddedChunks(node, operand, (outer, length, inner), target, &builder)
  }
  let view = builder.reshape(operand, to: [Dim(outer), Dim(length / chunk), Dim(chunk), Dim(inner)])
  return twoStages(node, view, [2], [1], &builder)
}

/// A length without a fitting divisor is filled up with what the reduction ignores.
private func paddedChunks(
  _ node: Node, _ operand: ValueID, _ sizes: (outer: Int, length: Int, inner: Int), _ chunk: Int,
  _ builder: inout GraphBuilder
) -> ValueID? {
  guard case .reduction(let combiner) = node.op.definition.lowering, chunk < sizes.length else { return nil }
  let chunks = (sizes.length + chunk - 1) / chunk
  let flat = builder.reshape(operand, to: [Dim(sizes.outer), Dim(sizes.length), Dim(sizes.inner)])
  let padded = builder.make(
    .pad, [flat],
    ["axis": .int(1), "low": .int(0), "high": .int(chunks * chunk - sizes.length), "value": .float(combiner.identity)])
  let view = builder.reshape(padded, to: [Dim(sizes.outer), Dim(chunks), Dim(chunk), Dim(sizes.inner)])
  return twoStages(node, view, [2], [1], &builder)
}

/// Reduces over `first`, then over `second` of what remains, in the accumulator's dtype; rounds once.
private func twoStages(
  _ node: Node, _ operand: ValueID, _ first: [Int], _ second: [Int], _ builder: inout GraphBuilder
) -> ValueID {
  let wide = builder.type(operand).dtype.isHalf ? builder.cast(operand, to: .f32) : operand
  let partial = builder.make(node.op, [wide], ["axes": .ints(first), "keep": .bool(false)])
  let whole = builder.make(node.op, [partial], ["axes": .ints(second), "keep": .bool(false)])
  return builder.cast(builder.reshape(whole, to: node.type.shape), to: node.type.dtype)
}

/// For each value of a growing graph, the shapes whose rows were reduced to make it, element for element since.
private struct RowReductions {
  private var shapes: [Set<[Dim]>] = []

  /// Whether a value's elements are made from a reduction of their own rows: of the same shape over its last axis.
  mutating func reach(_ value: ValueID, _ graph: Graph) -> Bool {
    for node in graph.nodes[shapes.count...] { shapes.append(reductions(node, graph)) }
    return shapes[value.index].contains(graph[value].type.shape)
  }

  private func reductions(_ node: Node, _ graph: Graph) -> Set<[Dim]> {
    switch node.op.definition.lowering {
    case .reduction:
      let shape = graph[node.operands[0]].type.shape
      return node.attributes.ints("axes") == [shape.count - 1] ? [shape] : []
    case .primitive: break
    case .structural where [.cast, .broadcast, .reshape].contains(node.op): break
    case .structural, .decompose, .whole, .control: return []
    }
    return node.operands.dropFirst().reduce(node.operands.first.map { shapes[$0.index] } ?? []) { found, operand in
      shapes[operand.index].isSubset(of: found) ? found : found.union(shapes[operand.index])
    }
  }
}
