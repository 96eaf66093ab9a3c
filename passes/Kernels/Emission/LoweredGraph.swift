import LTMIR
import LTMKernels
import LTMSupport

/// What a node is to the kernel builder, with its attributes read.
enum NodeKind {
  case input, constant(Double), iota(axis: Int)
  case elementwise(Primitive), cast(rounds: Bool), identity
  case broadcast(axes: [Int]), reshape, transpose([Int]), slice(axis: Int, start: Int, stride: Int)
  case pad(axis: Int, low: Int, value: Double), concat(axis: Int)
  case window(axis: Int, WindowForm, outside: Double)
  case gather(axis: Int), scatterAdd(axis: Int), writeAt(axis: Int, wraps: Bool)
  case reduce(Combiner, axes: [Int]), argReduce(Combiner, axis: Int), contract(ContractionAxes)
  /// An op with a body, which is planned for itself; and another result of one.
  case body, result(Int)
  /// What ranks make together, which a step of its own does.
  case collective(CollectiveForm)
  case line(LineOp, axis: Int)
  /// A whole op with a kernel of its own, and its further results.
  case attention(isBackward: Bool)
  case foldKey(stream: UInt64), randomBits(RandomForm)

  /// Whether a statement of a kernel computes it, rather than an expression.
  var bindsLocal: Bool {
    switch self {
    case .scatterAdd, .reduce, .argReduce, .contract, .line, .attention: true
    case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
      .window, .concat, .gather, .writeAt, .body, .result, .collective, .foldKey, .randomBits:
      false
    }
  }

  /// Whether a step of its own compute it, and no kernel of the frame that it stands in.
  var isControl: Bool {
    switch self {
    case .body, .result, .collective: true
    case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
      .window, .concat, .gather, .scatterAdd, .writeAt, .reduce, .argReduce, .contract, .line, .attention, .foldKey,
      .randomBits:
      false
    }
  }
}

/// A graph whose every node is known to the kernel builder and has a size; each output is computed by a node of its own.
struct LoweredGraph {
  private(set) var graph: Graph
  private(set) var kinds: [NodeKind] = []
  private(set) var shapes: [[Int]] = []
  private(set) var counts: [Int] = []
  /// The output that a node computes.
  private(set) var outputOf: [Int: Int] = [:]
  /// The node that computes each output.
  private(set) var outputNodes: [Int] = []
  /// The nodes that some output needs.
  private(set) var isLive: [Bool] = []
  /// For each node, its live users in order.
  private(set) var users: [[Int]] = []

  /// The bytes of as many values of this size as a graph has nodes can still be counted.
  private static let elementLimit = 1 << 40

  init(_ source: Graph) throws(DiagnosticSet) {
    graph = source
    for (number, output) in source.outputs.enumerated() {
      var value = output.value.index
      if outputOf[value] != nil || source[output.value].op == .input { value = copy(of: output.value) }
      outputOf[value] = number
      outputNodes.append(value)
    }
    for node in graph.nodes {
      guard let shape = node.type.staticShape, let count = elementCount(shape), count <= Self.elementLimit else {
        throw DiagnosticSet([Diagnostic(.error, "a tensor of type \(node.type) has no size that memory could hold")])
      }
      shapes.append(shape)
      counts.append(count)
      kinds.append(try nodeKind(node, in: graph))
      try checkIndices(of: node)
    }
    findUsers()
  }

  var nodes: [Node] { graph.nodes }

  private mutating func copy(of value: ValueID) -> Int {
    var node = graph[value]
    (node.op, node.operands, node.attributes) = (.stopGradient, [value], [:])
    graph.nodes.append(node)
    return graph.nodes.count - 1
  }

  /// Throws where a kernel would count beyond an i32, which is what an index along an axis is.
  private func checkIndices(of node: Node) throws(DiagnosticSet) {
    let counted: [Int]
    switch kinds[kinds.count - 1] {
    case .attention: counted = node.operands.prefix(2).flatMap { shapes[$0.index] }
    case .iota, .pad, .window, .concat, .scatterAdd: counted = shapes[shapes.count - 1]
    case .argReduce, .line(.order, _): counted = shapes[node.operands[0].index]
    case .input, .constant, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .gather, .writeAt,
      .reduce, .contract, .line(.prefix, _), .body, .result, .collective, .foldKey, .randomBits:
      return
    }
    guard let counted = counted.max(), counted > Int(Int32.max) else { return }
    throw DiagnosticSet([
      Diagnostic(
        .error, "\(node.op.name) would count to \(counted) along an axis, and indices go to \(Int32.max)",
        notes: ["reshape the tensor, so that no axis is that long"])
    ])
  }

  private mutating func findUsers() {
    isLive = [Bool](repeating: false, count: nodes.count)
    for index in nodes.indices.reversed() {
      if outputOf[index] != nil { isLive[index] = true }
      if isLive[index] { for operand in nodes[index].operands { isLive[operand.index] = true } }
    }
    users = [[Int]](repeating: [], count: nodes.count)
    for index in nodes.indices where isLive[index] {
      for operand in Set(nodes[index].operands) { users[operand.index].append(index) }
    }
  }
}

private func nodeKind(_ node: Node, in graph: Graph) throws(DiagnosticSet) -> NodeKind {
  // What shares the storage of another output is a copy of it.
  if node.op == .stopGradient { return .identity }
  switch node.op.definition.lowering {
  case .primitive(let primitive): return .elementwise(primitive)
  case .reduction(let combiner): return .reduce(combiner, axes: node.attributes[ints: "axes"])
  case .structural(let read):
    return try nodeKind(read(node.attributes, node.operands.map { graph[$0].type }), in: graph)
  case .whole: return .attention(isBackward: node.op == .attentionGradient)
  case .control where node.op != .`while`: return node.attributes.int("index").map { .result($0) } ?? .body
  case .decompose, .control:
    throw DiagnosticSet([
      .internalError(
        in: "kernels", "\(node.op.name) reached the kernel builder, which `decompose` should have replaced")
    ])
  }
}

private func nodeKind(_ op: StructuralOp, in graph: Graph) throws(DiagnosticSet) -> NodeKind {
  switch op {
  case .input: return .input
  case .constant(let value): return .constant(value)
  case .iota(let axis): return .iota(axis: axis)
  case .cast(let rounds): return .cast(rounds: rounds)
  case .allReduce(let replicas, let operation): return replicas == 1 ? .identity : .collective(.join(operation))
  case .reduceScatter(let replicas, let operation): return replicas == 1 ? .reshape : .collective(.scatter(operation))
  case .allGather(let replicas): return replicas == 1 ? .identity : .collective(.gather)
  case .broadcast(let axes): return .broadcast(axes: axes)
  case .reshape: return .reshape
  case .transpose(let permutation): return .transpose(permutation)
  case .slice(let axis, let start, _, let stride): return .slice(axis: axis, start: start, stride: stride)
  case .pad(let axis, let low, _, let value): return .pad(axis: axis, low: low, value: value)
  case .window(let axis, let form, let outside): return .window(axis: axis, form, outside: outside)
  case .concat(let axis): return .concat(axis: axis)
  case .gather(let axis): return .gather(axis: axis)
  case .scatterAdd(let axis): return .scatterAdd(axis: axis)
  case .writeAt(let axis, let wraps): return .writeAt(axis: axis, wraps: wraps)
  case .argReduce(let combiner, let axis): return .argReduce(combiner, axis: axis)
  case .contract(let axes): return .contract(axes)
  case .line(let op, let axis): return .line(op, axis: axis)
  case .foldKey(let stream): return .foldKey(stream: stream)
  case .randomBits(let form): return .randomBits(form)
  }
}
