import LTMGraphPasses
import LTMIR
import LTMPrecision
import LTMSupport

/// A model layer by layer: what each gives, its weights, its arithmetic, and what weights and activations take at each level.
public struct LayerTable: Sendable {
  /// A layer that computes something, in the order of its first op.
  public struct Layer: Sendable {
    /// Its path, `blocks.0.fc1`; empty for what stands in the model itself.
    public let path: String
    /// The dtype and shape of what it gives.
    public let output: String
    /// The numbers that are trained in it.
    public let weights: Int
    /// Additions and multiplications of one call.
    public let operations: Int
    /// The bytes of its weights as its ops read them.
    public let weightBytes: Int
    /// The bytes of all values that it computes, before any fuse.
    public let valueBytes: Int
  }

  /// The layers.
  public private(set) var layers: [Layer] = []
  /// For each level of 16 bits the bytes of the weights that are read, of f32 masters beside them, and of all values.
  public private(set) var levels: [(name: String, weights: Int, masters: Int, values: Int)] = []
  private let entry: String
  private let sizes: [String: Int]

  /// Of an entry with its sizes, under a policy.
  init(_ model: Model, _ entry: String, _ sizes: [String: Int], _ policy: PrecisionPolicy) throws(LTMError) {
    (self.entry, self.sizes) = (entry, sizes)
    let traced = try model.graph(entry, training: false)
    let cast = try Pipeline.inferenceCasts(sizes, policy).run(traced)
    layers = try Self.layers(cast)
    for level in OptLevel.standard {
      let precision: Precision = level.name == "O0" ? .thirtyTwo : .sixteen
      guard let other = try? PrecisionPolicy(precision, level: level, sixteen: policy.half ?? .f16),
        let graph = try? Pipeline.inferenceCasts(sizes, other).run(traced)
      else { continue }
      let parameters = graph.inputs.filter { $0.role == .parameter }
      let weights = parameters.reduce(0) { $0 + graph[$1.value].type.bytes }
      let halves = parameters.filter { graph[$0.value].type.dtype.isHalf }
      let masters = other.level.masterWeights == true ? halves.reduce(0) { $0 + 2 * graph[$1.value].type.bytes } : 0
      let values = graph.nodes.reduce(0) { $0 + ($1.op == .input ? 0 : $1.type.bytes) }
      levels.append((level.name, weights, masters, values))
    }
  }

  private static func layers(_ graph: Graph) throws(LTMError) -> [Layer] {
    var order: [String] = []
    var nodes: [String: [Node]] = [:]
    for node in graph.nodes where node.op != .input && node.op != .constant {
      if nodes[node.scope] == nil { order.append(node.scope) }
      nodes[node.scope, default: []].append(node)
    }
    let simple = try reporting { try GraphPass.decompose.run(graph) }
    var operations: [String: Int] = [:]
    simple.count(into: &operations, times: 1)
    return order.map { path in
      let own = nodes[path] ?? []
      let parameters = graph.inputs.filter { $0.role == .parameter && layer(of: $0.name) == path }
      return Layer(
        path: path, output: own.last.map { "\($0.type)" } ?? "",
        weights: parameters.reduce(0) { $0 + (graph[$1.value].type.staticShape.flatMap(elementCount) ?? 0) },
        operations: operations[path] ?? 0, weightBytes: parameters.reduce(0) { $0 + graph[$1.value].type.bytes },
        valueBytes: own.reduce(0) { $0 + $1.type.bytes })
    }
  }

  /// The path of the layer that a parameter belongs to.
  private static func layer(of parameter: String) -> String {
    parameter.split(separator: ".").dropLast().joined(separator: ".")
  }

  // MARK: As text

  /// Two tables.
  public var text: String {
    let rows = layers.map { layer in
      [
        layer.path.isEmpty ? "(\(entry))" : layer.path, layer.output, grouped(layer.weights), grouped(layer.operations),
        grouped(layer.weightBytes), grouped(layer.valueBytes),
      ]
    }
    let total = [
      "in all", "", grouped(layers.reduce(0) { $0 + $1.weights }), grouped(layers.reduce(0) { $0 + $1.operations }),
      grouped(layers.reduce(0) { $0 + $1.weightBytes }), grouped(layers.reduce(0) { $0 + $1.valueBytes }),
    ]
    let head = ["layer", "gives", "weights", "operations", "weight bytes", "value bytes"]
    let given =
      sizes.isEmpty
      ? "" : " with " + sizes.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }.joined(separator: ", ")
    let byLevel = levels.map { [$0.name, grouped($0.weights), grouped($0.masters), grouped($0.values)] }
    return "\(entry)\(given)\n" + textTable([head] + rows + [total], leftAligned: [0, 1]) + "\n\nin 16 bits, by level\n"
      + textTable([["level", "weight bytes", "master bytes", "value bytes"]] + byLevel, leftAligned: [0])
  }

  /// The same as JSON.
  public var json: String {
    let rows: [JSON] = layers.map { layer in
      [
        "layer": .string(layer.path), "output": .string(layer.output), "weights": .int(layer.weights),
        "operations": .int(layer.operations), "weight_bytes": .int(layer.weightBytes),
        "value_bytes": .int(layer.valueBytes),
      ]
    }
    let byLevel: [JSON] = levels.map {
      [
        "level": .string($0.name), "weight_bytes": .int($0.weights), "master_bytes": .int($0.masters),
        "value_bytes": .int($0.values),
      ]
    }
    return JSON.object([.init("layers", .array(rows)), .init("levels", .array(byLevel))]).text(indent: 2)
  }
}

extension Compilation {
  /// The model layer by layer.
  public func layers() throws(LTMError) -> LayerTable {
    try LayerTable(model, entry, try sizes(training: false), policy)
  }
}

extension TensorType {
  /// The bytes of a value whose dimensions are numbers.
  fileprivate var bytes: Int { (staticShape.flatMap(elementCount) ?? 0) * dtype.byteCount }
}

extension Graph {
  /// Adds up the arithmetic of each scope; a body counts as often as it runs.
  fileprivate func count(into operations: inout [String: Int], times: Int) {
    for node in nodes {
      if node.op.hasBodies {
        let length = node.op == .scan ? (try? LoopForm(node))?.length?.constant ?? 1 : 1
        for body in node.bodies { body.count(into: &operations, times: times * length) }
        continue
      }
      operations[node.scope, default: 0] += times * operationCount(node)
    }
  }

  /// A product and a sum for each pair of numbers that a contraction meets, one for each element of anything else that computes.
  private func operationCount(_ node: Node) -> Int {
    func count(_ type: TensorType) -> Int { type.staticShape.flatMap(elementCount) ?? 0 }
    switch node.op.definition.lowering {
    case .primitive: return count(node.type)
    case .reduction: return node.operands.first.map { count(self[$0].type) } ?? 0
    case .structural where node.op == .contract:
      let (lhs, rhs) = (self[node.operands[0]].type, self[node.operands[1]].type)
      guard let axes = try? ContractionAxes(node.attributes, ranks: (lhs.rank, rhs.rank)), let shape = lhs.staticShape
      else { return 0 }
      return 2 * count(node.type) * axes.lhsContract.reduce(1) { $0 * shape[$1] }
    case .structural, .control, .decompose, .whole: return 0
    }
  }
}

/// `1,234,567`
private func grouped(_ number: Int) -> String {
  let digits = Array(String(number).reversed())
  let parts = stride(from: 0, to: digits.count, by: 3).map { digits[$0..<min($0 + 3, digits.count)] }
  return String(parts.joined(separator: [","]).reversed())
}
