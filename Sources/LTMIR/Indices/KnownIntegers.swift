/// What can be said of integers before a graph runs: their values, where they depend on nothing that is given; else the
/// range that they lie in.
struct KnownIntegers {
  /// Larger tensors are not computed here.
  private static let elementLimit = 1 << 20

  private var values: [Int: Reference] = [:]
  private var ranges: [Int: ClosedRange<Double>] = [:]
  private let graph: Graph

  init(_ graph: Graph, of wanted: [ValueID]) {
    self.graph = graph
    var needed = [Bool](repeating: false, count: graph.nodes.count)
    for value in wanted { needed[source(of: value).index] = true }
    for index in needed.indices.reversed() where needed[index] {
      for operand in graph.nodes[index].operands { needed[operand.index] = true }
    }
    for index in needed.indices where needed[index] { visit(index) }
  }

  /// The values, where they are known.
  func values(of value: ValueID) -> [Double]? { values[source(of: value).index]?.data }

  /// The range that the values lie in, where one is known.
  func range(of value: ValueID) -> ClosedRange<Double>? { ranges[source(of: value).index] }

  /// What holds the same elements, in another arrangement.
  private func source(of value: ValueID) -> ValueID {
    var value = value
    while [.reshape, .transpose, .broadcast, .stopGradient].contains(graph[value].op) {
      value = graph[value].operands[0]
    }
    return value
  }

  private mutating func visit(_ index: Int) {
    let node = graph.nodes[index]
    if let value = evaluated(node) {
      values[index] = value
      if let low = value.data.min(), let high = value.data.max(), low <= high { ranges[index] = low...high }
    } else {
      ranges[index] = range(of: node)
    }
  }

  private func evaluated(_ node: Node) -> Reference? {
    guard node.op != .input, !node.op.isControl, let shape = node.type.staticShape, let count = elementCount(shape),
      count <= Self.elementLimit, node.attributes.entries.allSatisfy(\.value.isBound)
    else { return nil }
    var operands: [Reference] = []
    for operand in node.operands {
      guard let value = values[operand.index] else { return nil }
      operands.append(value)
    }
    return node.op.definition.evaluate(operands, node.attributes, node.type).map(node.type.dtype.round)
  }

  /// The least and the greatest that a node can give, by those of its operands.
  private func range(of node: Node) -> ClosedRange<Double>? {
    func operand(_ index: Int) -> ClosedRange<Double>? { ranges[node.operands[index].index] }
    func both(_ combine: (Double, Double) -> Double) -> ClosedRange<Double>? {
      guard let a = operand(0), let b = operand(1) else { return nil }
      let corners = [a.lowerBound, a.upperBound].flatMap { x in [b.lowerBound, b.upperBound].map { combine(x, $0) } }
      guard let low = corners.min(), let high = corners.max(), low <= high else { return nil }
      return fits(low...high, node.type.dtype)
    }
    switch node.op {
    case .reshape, .transpose, .broadcast, .slice, .stopGradient, .gather: return operand(0)
    case .cast:
      return operand(0).flatMap { fits($0, node.type.dtype) } ?? bounds(of: graph[node.operands[0]].type.dtype)
    case .concat, .where:
      let parts = (node.op == .where ? [1, 2] : Array(node.operands.indices)).map(operand)
      guard parts.allSatisfy({ $0 != nil }), let low = parts.compactMap({ $0?.lowerBound }).min(),
        let high = parts.compactMap({ $0?.upperBound }).max()
      else { return nil }
      return low...high
    case .iota:
      guard let axis = node.attributes.int("axis"), let size = node.type.shape[axis].constant else { return nil }
      return 0...Double(size - 1)
    case .permutation:
      return node.type.shape[0].constant.map { 0...Double($0 - 1) }
    case .categorical:
      guard let size = graph[node.operands[0]].type.shape.last?.constant else { return nil }
      return 0...Double(size - 1)
    case .result:
      // The indices of `sort` and `topk`.
      let whole = graph[node.operands[0]]
      return whole.op.definition.further == nil ? bounds(of: node.type.dtype) : range(ofIndicesOf: whole)
    case .argmax, .argmin, .argsort: return range(ofIndicesOf: node)
    case .oneHot: return 0...1
    case .takeAlongAxis: return operand(0)
    case .add: return both(+)
    case .sub: return both(-)
    case .mul: return both(*)
    case .minimum: return both { min($0, $1) } ?? clamped(node) { min($0, $1) }
    case .maximum: return both { max($0, $1) } ?? clamped(node) { max($0, $1) }
    case _: return bounds(of: node.type.dtype)
    }
  }

  /// The range of indices along the axis of an op.
  private func range(ofIndicesOf node: Node) -> ClosedRange<Double>? {
    guard let axis = node.attributes.int("axis"), let size = graph[node.operands[0]].type.shape[axis].constant else {
      return nil
    }
    return 0...Double(size - 1)
  }

  /// `minimum` and `maximum` where one operand is not known: bound on one side, and by the dtype on the other.
  private func clamped(_ node: Node, _ choose: (Double, Double) -> Double) -> ClosedRange<Double>? {
    let limits = node.type.dtype == .i64 ? -0x1p63...0x1p63 : -0x1p31...0x1p31
    guard !node.type.dtype.isFloating, let known = node.operands.compactMap({ ranges[$0.index] }).first else {
      return nil
    }
    return choose(known.lowerBound, limits.lowerBound)...choose(known.upperBound, limits.upperBound)
  }

  /// The range, where no integer of the dtype overflows in it.
  private func fits(_ range: ClosedRange<Double>, _ dtype: DType) -> ClosedRange<Double>? {
    let limit = dtype.loaded == .i32 ? Double(Int32.max) : 1e15
    let fits = range.lowerBound >= -limit && range.upperBound <= limit && dtype.format.bits >= 32
    return fits ? range : bounds(of: dtype)
  }

  private func bounds(of dtype: DType) -> ClosedRange<Double>? {
    dtype.isFloating || dtype.format.bits >= 32 ? nil : dtype.format.range
  }
}

extension Attribute {
  /// Whether no symbol occurs in it.
  fileprivate var isBound: Bool {
    switch self {
    case .dim(let dim): dim.constant != nil
    case .dims(let dims): dims.allSatisfy { $0.constant != nil }
    case .int, .ints, .float, .bool, .dtype, .word: true
    }
  }
}
