import LTMIR

/// A scan that is to run by segments, with the ops that make what it scans: each segment makes its own part.
struct LoopSegments {
  /// A value with the axis that the scan runs along.
  struct Sequence: Hashable {
    let value: ValueID
    let axis: Int
  }
  /// The values made within each segment, in order.
  private(set) var producers: [Sequence] = []
  /// What segments are cut out of.
  private var sequences: [Sequence] = []
  /// What every segment reads whole.
  private var constants: [ValueID] = []
  /// The name of the bodies made here, which are not divided again.
  static let name = "segment"
  private let graph: Graph
  private let node: Node
  private let form: LoopForm
  private let count: Int
  /// How many iterations make a segment.
  private let length: Int

  /// `nil` where too few iterations are left to gain from segments.
  init?(_ scan: ValueID, of graph: Graph, users: [[ValueID]]) throws(OpError) {
    (self.graph, node) = (graph, graph[scan])
    form = try LoopForm(node)
    let isDone = node.bodies.contains { $0.name == Self.name }
    guard let count = form.length?.constant, count >= 9, !isDone else { return nil }
    self.count = count
    length = Self.length(of: count)
    findProducers(scan, users)
  }

  /// The divisor nearest to the square root, if one is near; else the root, and a shorter segment is left over.
  private static func length(of count: Int) -> Int {
    let root = Double(count).squareRoot()
    let near = (Int(root / 1.5)...Int(root * 1.5)).filter { count.isMultiple(of: $0) }
    return near.min { abs(Double($0) - root) < abs(Double($1) - root) } ?? Int(root.rounded(.up))
  }

  /// Goes from what is scanned back to what it is made of, as long as nothing else reads it.
  private mutating func findProducers(_ scan: ValueID, _ users: [[ValueID]]) {
    let outputs = Set(graph.outputs.map(\.value))
    constants = Array(node.operands.prefix(form.constants))
    var axes: [ValueID: Set<Int>] = [:]
    for operand in node.operands.dropFirst(form.scanned) { axes[operand, default: []].insert(0) }
    var within: Set<ValueID> = [scan]
    // Every reader of a value is met before it.
    for value in graph.values.reversed() {
      guard let found = axes[value] else { continue }
      let isOnlyRead = !outputs.contains(value) && users[value.index].allSatisfy { within.contains($0) }
      if isOnlyRead, found.count == 1, let axis = found.first, let parts = graph.operandAxes(of: value, along: axis) {
        producers.append(Sequence(value: value, axis: axis))
        within.insert(value)
        for (operand, axis) in zip(graph[value].operands, parts) {
          if let axis { axes[operand, default: []].insert(axis) } else { constants.append(operand) }
        }
      } else {
        sequences += found.sorted().map { Sequence(value: value, axis: $0) }
      }
    }
    producers.reverse()
  }

  /// Appends the scan over segments, and one more segment for what is left over; gives the results of the scan.
  func append(to b: inout GraphBuilder, _ copy: (ValueID) -> ValueID) throws(OpError) -> [ValueID] {
    let whole = constants.map(copy)
    let segments = count / length
    var carried = node.operands[form.constants..<form.scanned].map(copy)
    func run(_ count: Int, _ b: inout GraphBuilder) throws(OpError) -> [ValueID] {
      let parts = sequences.map { slice($0, copy($0.value), of: count, &b) }
      let body = try segment(count, b, whole + carried)
      if count < length { return try b.control(.checkpoint, whole + carried + parts, bodies: [body]) }
      let types = (whole + carried).map { b.type($0) } + parts.map { b.type($0).dropFirst }
      let once = try Graph.body(Self.name, types.enumerated().map { ("\($0)", $1) }) { (b, values) throws(OpError) in
        try b.control(.checkpoint, values, bodies: [body])
      }
      let made = try b.control(
        .scan, whole + carried + parts,
        [
          "constants": .int(whole.count), "carried": .int(carried.count), "length": .dim(Dim(segments)),
          "reversed": .bool(form.isReversed),
        ], bodies: [once])
      return made.enumerated().map { $0 < form.carried ? $1 : joined($1, &b) }
    }
    let rest = count - segments * length
    var stacked: [[ValueID]] = []
    for iterations in (form.isReversed ? [rest, length] : [length, rest]) where iterations > 0 {
      let results = try run(iterations, &b)
      carried = Array(results.prefix(form.carried))
      stacked.append(Array(results.dropFirst(form.carried)))
    }
    if form.isReversed { stacked.reverse() }
    let joins = stacked[0].indices.map { index in
      stacked.count == 1
        ? stacked[0][index] : b.make(.concat, stacked.map { $0[index] }, ["axis": .int(0)])
    }
    return carried + joins
  }

  /// The parts of a sequence for all segments, stacked; or the part that is left over, as it is.
  private func slice(_ sequence: Sequence, _ value: ValueID, of part: Int, _ b: inout GraphBuilder) -> ValueID {
    let full = count / length * length
    let (start, limit) = part < length ? (full, count) : (0, full)
    var value = value
    if limit - start < count {
      value = b.make(
        .slice, [value],
        [
          "axis": .int(sequence.axis), "start": .dim(Dim(start)), "limit": .dim(Dim(limit)), "stride": .int(1),
        ])
    }
    if part < length { return value }
    var shape = b.type(value).shape
    shape.replaceSubrange(sequence.axis...sequence.axis, with: [Dim(full / length), Dim(length)])
    value = b.make(.reshape, [value], ["shape": .dims(shape)])
    if sequence.axis == 0 { return value }
    let order = [sequence.axis] + shape.indices.filter { $0 != sequence.axis }
    return b.make(.transpose, [value], ["permutation": .ints(order)])
  }

  private func joined(_ value: ValueID, _ b: inout GraphBuilder) -> ValueID {
    let shape = b.type(value).shape
    return b.make(.reshape, [value], ["shape": .dims([Dim(count / length * length)] + shape.dropFirst(2))])
  }

  /// The body of one segment: constants, carried values and its part of each sequence in; carried and stacked values out.
  private func segment(_ iterations: Int, _ outer: GraphBuilder, _ whole: [ValueID]) throws(OpError) -> Graph {
    let parts = sequences.map { graph[$0.value].type.with(Dim(iterations), at: $0.axis) }
    let types = whole.map { outer.type($0) } + parts
    return try Graph.body(Self.name, types.enumerated().map { ("\($0)", $1) }) { (b, inputs) throws(OpError) in
      let known = Dictionary(zip(constants, inputs), uniquingKeysWith: { first, _ in first })
      var slices: [Sequence: ValueID] = [:]
      for (sequence, input) in zip(sequences, inputs.dropFirst(whole.count)) { slices[sequence] = input }
      for producer in producers {
        let node = graph[producer.value]
        (b.location, b.scope, b.reason) = (node.location, node.scope, node.reason)
        var copy = node
        copy.type = node.type.with(Dim(iterations), at: producer.axis)
        if node.op == .broadcast { copy.attributes["shape"] = .dims(copy.type.shape) }
        let axes = graph.operandAxes(of: producer.value, along: producer.axis) ?? []
        copy.operands = zip(node.operands, axes).map { operand, axis in
          (axis.map { slices[Sequence(value: operand, axis: $0)] } ?? known[operand]) ?? operand
        }
        slices[producer] = b.append(copy)
      }
      (b.location, b.scope, b.reason) = (node.location, node.scope, node.reason)
      let scanned = node.operands.dropFirst(form.scanned).map { slices[Sequence(value: $0, axis: 0)] ?? $0 }
      var attributes = node.attributes
      attributes["length"] = .dim(Dim(iterations))
      let carried = inputs[constants.count..<constants.count + form.carried]
      return try b.control(
        .scan, inputs.prefix(form.constants) + carried + scanned, attributes, bodies: node.bodies)
    }
  }
}

extension Graph {
  /// For each operand of a value, the axis whose index alone decides the value's elements at an index of `axis`; `nil` for
  /// an operand that is read whole. `nil` for a value that cannot be made part by part.
  fileprivate func operandAxes(of value: ValueID, along axis: Int) -> [Int?]? {
    let node = self[value]
    guard node.type.dtype.isFloating, node.furtherTypes.isEmpty else { return nil }
    switch node.op {
    case .broadcast:
      guard let axes = node.attributes.ints("axes") else { return nil }
      let position = axes.firstIndex(of: axis)
      return [position.flatMap { self[node.operands[0]].type.shape[$0] == node.type.shape[axis] ? $0 : nil }]
    case .transpose: return node.attributes.ints("permutation").map { [$0[axis]] }
    case .linear:
      if axis == node.type.rank - 1 { return nil }
      return node.operands.indices.map { $0 == 0 ? axis : nil }
    default:
      guard node.isElementwise, node.operands.allSatisfy({ self[$0].type.shape == node.type.shape }) else { return nil }
      return node.operands.map { _ in axis }
    }
  }
}

extension Node {
  fileprivate var isElementwise: Bool {
    switch op.definition.lowering {
    case .primitive: true
    default: op == .cast
    }
  }
}

extension TensorType {
  fileprivate func with(_ size: Dim, at axis: Int) -> TensorType {
    var shape = shape
    shape[axis] = size
    return TensorType(dtype, shape)
  }

  fileprivate var dropFirst: TensorType { TensorType(dtype, Array(shape.dropFirst())) }
}
