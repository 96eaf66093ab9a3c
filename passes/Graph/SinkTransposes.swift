import LTMIR

extension GraphPass {
  /// What reads a value that was made in another order of axes takes that order, as far as it goes: a convolution's result has
  /// its channels last, and so have the activations, norms, pools and convolutions behind it. Where the order matters, the
  /// transpose stays.
  package static let sinkTransposes = GraphPass.everywhere(
    "sink-transposes", "lets values keep the order of axes in which a convolution made them"
  ) { (graph) in
    guard graph.nodes.contains(where: \.sinks) else { return graph }
    return GraphRewriter.rewrite(graph) { b, node, _ in
      var sinking = Sinking(builder: b, node: node)
      let value = sinking.sunk()
      b = sinking.builder
      return value ?? b.append(node)
    }
  }
}

extension Node {
  /// Whether it is a transpose that its readers may take over.
  fileprivate var sinks: Bool { op == .transpose && attributes.bool("sinks") == true }
}

/// One node, whose operands may be transposes that sink.
private struct Sinking {
  var builder: GraphBuilder
  let node: Node

  /// A value before a transpose, and the transpose's permutation: axis `i` of what is seen is its axis `permutation[i]`.
  private struct Order {
    let base: ValueID
    let permutation: [Int]
  }

  /// The node's value, computed in the order of its operands and seen in its own; `nil` where nothing sinks.
  mutating func sunk() -> ValueID? {
    let orders = node.operands.map(order)
    guard let first = orders.lazy.compactMap({ $0 }).first, node.furtherTypes.isEmpty else { return nil }
    switch node.op {
    case .sum, .max, .min, .prod, .all, .any: return reduced(first)
    case .window: return windowed(first)
    case .slice, .pad, .concat: return alongAxis(orders, first)
    case .reshape: return reshaped(first)
    case .broadcast: return spread(first)
    case .transpose: return composed(first)
    case .cast, .stopGradient: return together(orders, first)
    default:
      guard case .primitive = node.op.definition.lowering else { return nil }
      return together(orders, first)
    }
  }

  private func order(_ value: ValueID) -> Order? {
    let operand = builder.graph[value]
    guard operand.sinks, let permutation = operand.attributes.ints("permutation") else { return nil }
    return Order(base: operand.operands[0], permutation: permutation)
  }

  /// The value under the node's own order of axes.
  private mutating func seen(_ value: ValueID, _ permutation: [Int]) -> ValueID {
    if permutation == Array(permutation.indices) { return value }
    return builder.make(.transpose, [value], ["permutation": .ints(permutation), "sinks": .bool(true)])
  }

  private mutating func make(_ op: Op, _ operands: [ValueID], _ attributes: Attributes) -> ValueID {
    builder.make(op, operands, attributes)
  }

  // MARK: Elementwise

  private mutating func together(_ orders: [Order?], _ first: Order) -> ValueID? {
    var operands: [ValueID] = []
    for (operand, order) in zip(node.operands, orders) {
      // Two orders: whichever came first, the other is transposed.
      operands.append(
        order?.permutation == first.permutation ? order?.base ?? operand : moved(operand, first.permutation))
    }
    return seen(make(node.op, operands, node.attributes), first.permutation)
  }

  /// A value with its axes as they are before the permutation.
  private mutating func moved(_ value: ValueID, _ permutation: [Int]) -> ValueID {
    let operand = builder.graph[value]
    if operand.op == .broadcast, let axes = operand.attributes.ints("axes"), axes.count <= 1 {
      let back = inverse(permutation)
      let shape = back.map { operand.type.shape[$0] }
      return builder.broadcast(operand.operands[0], to: shape, axes: axes.map { permutation[$0] })
    }
    return builder.transpose(value, inverse(permutation))
  }

  // MARK: Axes

  private mutating func reduced(_ order: Order) -> ValueID? {
    guard let axes = node.attributes.ints("axes"), let keep = node.attributes.bool("keep") else { return nil }
    var attributes = node.attributes
    attributes["axes"] = .ints(axes.map { order.permutation[$0] }.sorted())
    let value = make(node.op, [order.base], attributes)
    if keep { return seen(value, order.permutation) }
    // The axes that are left, by their places among these.
    let left = order.permutation.indices.filter { !axes.contains($0) }.map { order.permutation[$0] }
    let places = left.sorted()
    return seen(value, left.map { places.firstIndex(of: $0) ?? 0 })
  }

  private mutating func windowed(_ order: Order) -> ValueID? {
    guard let axis = node.attributes.int("axis") else { return nil }
    let own = order.permutation[axis]
    var attributes = node.attributes
    attributes["axis"] = .int(own)
    let value = make(.window, [order.base], attributes)
    let later = order.permutation.map { $0 > own ? $0 + 1 : $0 }
    return seen(value, Array(later[...axis]) + [own + 1] + Array(later[(axis + 1)...]))
  }

  private mutating func alongAxis(_ orders: [Order?], _ first: Order) -> ValueID? {
    guard let axis = node.attributes.int("axis") else { return nil }
    var attributes = node.attributes
    attributes["axis"] = .int(first.permutation[axis])
    var operands: [ValueID] = []
    for (operand, order) in zip(node.operands, orders) {
      operands.append(
        order?.permutation == first.permutation ? order?.base ?? operand : moved(operand, first.permutation))
    }
    return seen(make(node.op, operands, attributes), first.permutation)
  }

  /// A reshape that joins or splits axes which lie side by side in the base too.
  private mutating func reshaped(_ order: Order) -> ValueID? {
    let (before, after) = (builder.type(node.operands[0]).shape, node.type.shape)
    guard let runs = ReshapeRun.all(before, after) else { return nil }
    // Where each run lies in the base: axes of size 1 lie anywhere.
    var places: [(run: ReshapeRun, place: Int)] = []
    for run in runs {
      let own = run.before.filter { before[$0] != 1 }.map { order.permutation[$0] }
      let isSideBySide = zip(own, own.dropFirst()).allSatisfy { first, next in
        first < next && (first + 1..<next).allSatisfy { axis in before[inverse(order.permutation)[axis]] == 1 }
      }
      guard isSideBySide else { return nil }
      places.append((run, own.first ?? before.count))
    }
    let targets = places.enumerated().sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }
      .flatMap { Array($0.element.run.after) }
    let value = builder.reshape(order.base, to: targets.map { after[$0] })
    return seen(value, inverse(targets))
  }

  /// Spread over more axes, each of which stands behind the one that it follows.
  private mutating func spread(_ order: Order) -> ValueID? {
    guard let axes = node.attributes.ints("axes") else { return nil }
    let shape = node.type.shape
    var runs = [[Int]](repeating: [], count: axes.count)
    var leading: [Int] = []
    for target in shape.indices {
      if let own = axes.lastIndex(where: { $0 <= target }) { runs[own].append(target) } else { leading.append(target) }
    }
    // The targets in the base's order.
    let base = inverse(order.permutation).flatMap { runs[$0] }
    let targets = leading + base
    let places = inverse(order.permutation).map { targets.firstIndex(of: axes[$0]) ?? 0 }
    let value = builder.broadcast(order.base, to: targets.map { shape[$0] }, axes: places)
    return seen(value, inverse(targets))
  }

  private mutating func composed(_ order: Order) -> ValueID? {
    guard let permutation = node.attributes.ints("permutation") else { return nil }
    return seen(order.base, permutation.map { order.permutation[$0] })
  }
}

/// Neighbouring axes of a shape that become neighbouring axes of another: as few as have the same size together.
private struct ReshapeRun {
  var before: Range<Int>
  var after: Range<Int>

  /// The runs of a reshape, in order; `nil` where sizes are not known.
  static func all(_ before: [Dim], _ after: [Dim]) -> [ReshapeRun]? {
    let sizes = (before.compactMap(\.constant), after.compactMap(\.constant))
    guard sizes.0.count == before.count, sizes.1.count == after.count else { return nil }
    var runs: [ReshapeRun] = []
    var (i, j) = (0, 0)
    while i < before.count || j < after.count {
      let start = (i, j)
      var (left, right) = (1, 1)
      repeat {
        if left <= right, i < before.count {
          left *= sizes.0[i]
          i += 1
        } else if j < after.count {
          right *= sizes.1[j]
          j += 1
        } else {
          return nil
        }
      } while left != right
      runs.append(ReshapeRun(before: start.0..<i, after: start.1..<j))
    }
    return runs
  }
}
