import LTMIR
import LTMKernels
import LTMSupport

/// What a node is to the kernel builder, with its attributes read.
enum NodeKind {
  case input, constant(Double), iota(axis: Int)
  case elementwise(Primitive), cast(rounds: Bool), identity
  case broadcast(axes: [Int]), reshape, transpose([Int]), slice(axis: Int, start: Int, stride: Int)
  case pad(axis: Int, low: Int, value: Double), concat(axis: Int)
  case gather(axis: Int), scatterAdd(axis: Int)
  case reduce(Combiner, axes: [Int]), argReduce(Combiner, axis: Int), contract(ContractionAxes)

  /// Whether a statement of a kernel computes it, rather than an expression.
  var bindsLocal: Bool {
    switch self {
    case .scatterAdd, .reduce, .argReduce, .contract: true
    case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
      .concat,
      .gather:
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
    case .iota, .pad, .concat, .scatterAdd: counted = shapes[shapes.count - 1]
    case .argReduce: counted = shapes[node.operands[0].index]
    case .input, .constant, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .gather, .reduce,
      .contract:
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
  if node.op == .stopGradient { return .identity }
  if node.op == .allReduce, let replicas = node.attributes.int("replicas"), replicas > 1 {
    throw DiagnosticSet([
      Diagnostic(.error, "kernels run on one device, and '\(graph.name)' is one of \(replicas) replicas")
    ])
  }
  switch node.op.definition.lowering {
  case .primitive(let primitive): return .elementwise(primitive)
  case .reduction(let combiner): return .reduce(combiner, axes: node.attributes.ints("axes") ?? [])
  case .decompose: break
  case .structural: if let kind = structuralKind(node, in: graph) { return kind }
  }
  throw DiagnosticSet([
    .internalError(
      in: "kernels", "\(node.op.name) reached the kernel builder, which `decompose` and `bind` should have replaced")
  ])
}

private func structuralKind(_ node: Node, in graph: Graph) -> NodeKind? {
  let attributes = node.attributes
  let axis = attributes.int("axis") ?? 0
  return switch node.op {
  case .input: .input
  case .constant: .constant(attributes.float("value") ?? 0)
  case .iota: .iota(axis: axis)
  case .cast: .cast(rounds: attributes.bool("rounds") ?? true)
  case .stopGradient, .allReduce: .identity
  case .broadcast: .broadcast(axes: attributes.ints("axes") ?? [])
  case .reshape: .reshape
  case .transpose: .transpose(attributes.ints("permutation") ?? [])
  case .slice:
    .slice(axis: axis, start: attributes.dim("start")?.constant ?? 0, stride: attributes.int("stride") ?? 1)
  case .pad: .pad(axis: axis, low: attributes.int("low") ?? 0, value: attributes.float("value") ?? 0)
  case .concat: .concat(axis: axis)
  case .gather: .gather(axis: axis)
  case .scatterAdd: .scatterAdd(axis: axis)
  case .argmax: .argReduce(.maximum, axis: axis)
  case .argmin: .argReduce(.minimum, axis: axis)
  case .contract:
    (try? ContractionAxes(attributes, ranks: (graph[node.operands[0]].type.rank, graph[node.operands[1]].type.rank)))
      .map { .contract($0) }
  case .result, .call, .checkpoint, .scan, .while, .dimension, .neg, .abs, .sign, .exp, .expm1, .log, .log1p, .log2,
    .sqrt, .rsqrt, .reciprocal, .sin, .cos, .tanh,
    .erf,
    .floor, .ceil, .round, .square, .relu, .sigmoid, .silu, .gelu, .geluTanh, .softplus, .isFinite, .not, .add, .sub,
    .mul,
    .div, .pow, .minimum, .maximum, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual, .and, .or, .where,
    .sum,
    .mean, .max, .min, .prod, .all, .any, .variance, .logsumexp, .matmul, .linear, .softmax, .logSoftmax, .layerNorm,
    .rmsNorm, .batchNorm, .crossEntropy, .mseLoss, .l1Loss, .bceWithLogits, .binaryCrossEntropy, .huberLoss:
    nil
  }
}
