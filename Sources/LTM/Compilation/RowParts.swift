import LTMGraphPasses
import LTMIR
import LTMSupport

/// An entry in two parts: what can be computed from some of the rows, and what is made of that once it is there for all of them. Sums
/// and means merge, values of single rows are gathered. So the value is exact over any number of rows, though the model never sees all at once.
struct RowParts {
  /// How the values of parts become one.
  enum Merge: Hashable {
    case sum, mean
    /// The same in each part.
    case fixed
    /// One after the other along an axis.
    case rows(axis: Int)
  }

  /// A value between the two parts.
  struct Value {
    let name: String
    let merge: Merge
    /// The argument that it is, where nothing is computed for it.
    let argument: String?
  }

  /// Computes the values of some rows.
  let partial: Graph
  let values: [Value]
  /// Makes the result of the values of all rows.
  let whole: Graph
  /// The name of its result.
  static let result = "result"

  /// `nil` where the entry must see all rows at once: what the model computes mixes rows, or draws numbers for them.
  init?(_ graph: Graph) {
    let results = graph.outputs.filter { $0.updates == nil }
    guard results.count == 1 else { return nil }
    let counted = graph.withCountsOfBools
    guard let result = counted.outputs.first(where: { $0.updates == nil }) else { return nil }
    for dividesParts in [false, true] {
      var cut = Cut(counted, dividesParts: dividesParts)
      guard cut.visit(result.value) else { continue }
      (values, whole) = cut.finish(result.value)
      partial = cut.partial()
      return
    }
    return nil
  }
}

extension Graph {
  /// The graph with the mean of bools as their number by that of all: a count is exact in every batch, and the quotient of two is made
  /// once.
  fileprivate var withCountsOfBools: Graph {
    GraphRewriter.rewrite(self) { b, node, _ in
      guard node.op == .mean, let x = node.operands.first, b.type(x).dtype == .bool,
        let axes = node.attributes.ints("axes"), let keep = node.attributes.bool("keep")
      else { return b.append(node) }
      let count = b.cast(b.sum(x, axes, keep: keep), to: node.type.dtype)
      return b.dividedByCount(count, of: axes.map { b.type(x).shape[$0] })
    }
  }
}

/// Finds where a graph is cut: as late as its values still say what all rows give.
private struct Cut {
  private let graph: Graph
  private let roles: [RowAnalysis.Role]
  /// Whether a value is made of an input.
  private let readsInput: [Bool]
  /// Whether a value is made of a sum by the number of rows, which is best divided once, for all of them.
  private let isDivided: [Bool]
  private var between: Set<ValueID> = []
  private var behind: Set<ValueID> = []

  /// - Parameter dividesParts: whether a sum may be divided for each part.
  init(_ graph: Graph, dividesParts: Bool) {
    self.graph = graph
    let roles = RowAnalysis(graph).roles
    var (reads, divided): ([Bool], [Bool]) = ([], [])
    for (index, node) in graph.nodes.enumerated() {
      reads.append(node.op == .input || node.operands.contains { reads[$0.index] })
      let isQuotient = node.op == .div && node.operands.map { roles[$0.index] } == [.sum, .count]
      divided.append(
        !dividesParts && roles[index] == .mean && (isQuotient || node.operands.contains { divided[$0.index] }))
    }
    (self.roles, readsInput, isDivided) = (roles, reads, divided)
  }

  /// Whether a value can be had from parts of the rows.
  mutating func visit(_ root: ValueID) -> Bool {
    var open = [root]
    while let value = open.popLast() {
      if between.contains(value) || !behind.insert(value).inserted { continue }
      let node = graph[value]
      if canBeCut(value, node) {
        behind.remove(value)
        between.insert(value)
      } else if node.op == .input || node.op == .randomBits || node.op.hasBodies
        || node.op.definition.precision == .half
      {
        // The model itself is not made again, in f64 and on all rows.
        return false
      } else {
        open += node.operands
      }
    }
    return true
  }

  private func canBeCut(_ value: ValueID, _ node: Node) -> Bool {
    guard readsInput[value.index] else { return false }
    switch roles[value.index] {
    case .sum: return true
    case .mean: return !isDivided[value.index]
    case .fixed: return node.op != .input
    // A value that is only spread out is gathered before.
    case .rows: return node.op != .broadcast
    case .count, .other: return false
    }
  }

  func partial() -> Graph {
    var partial = graph
    partial.outputs =
      between.sorted().filter { graph[$0].op != .input }.map { GraphOutput(name: name($0), value: $0) }
      + graph.outputs.filter { $0.updates != nil }
    return partial
  }

  private func name(_ value: ValueID) -> String { "value.\(value.index)" }

  func finish(_ result: ValueID) -> ([RowParts.Value], Graph) {
    var builder = GraphBuilder(name: graph.name)
    var made: [ValueID: ValueID] = [:]
    for value in between.sorted() {
      made[value] = builder.input(name(value), graph[value].type, role: .argument)
    }
    for value in behind.sorted() {
      var node = graph[value]
      node.operands = node.operands.compactMap { made[$0] }
      made[value] = builder.append(node)
    }
    if let value = made[result] { builder.output(RowParts.result, value) }
    let values = between.sorted().map { value in
      RowParts.Value(
        name: name(value), merge: merge(value), argument: graph.inputs.first { $0.value == value }?.name)
    }
    return (values, builder.graph)
  }

  private func merge(_ value: ValueID) -> RowParts.Merge {
    switch roles[value.index] {
    case .sum: .sum
    case .mean: .mean
    case .rows(let axis): .rows(axis: axis)
    case .fixed, .count, .other: .fixed
    }
  }
}

/// Values of parts of the rows on their way to becoming one.
struct MergedValue {
  private let merge: RowParts.Merge
  private var shape: [Int] = []
  private var sums: [Double] = []
  private var rows = 0
  private var parts: [Tensor] = []

  init(_ merge: RowParts.Merge) { self.merge = merge }

  /// Adds what some rows gave.
  mutating func add(_ tensor: Tensor, rows count: Int) {
    shape = tensor.shape
    if case .rows = merge { return parts.append(tensor) }
    let factor = merge == .mean ? Double(count) : 1
    let values = tensor.doubles
    if sums.isEmpty || merge == .fixed {
      sums = values.map { $0 * factor }
    } else {
      for (index, value) in values.enumerated() { sums[index] += value * factor }
    }
    rows += count
  }

  /// What all rows give, in a dtype that the rest is computed from.
  func value(as dtype: DType) -> Tensor? {
    if case .rows(let axis) = merge { return gathered(axis, dtype) }
    let factor = merge == .mean ? Double(max(rows, 1)) : 1
    return Tensor(sums.map { $0 / factor }, shape: shape, dtype: dtype)
  }

  private func gathered(_ axis: Int, _ dtype: DType) -> Tensor? {
    guard let first = parts.first, first.shape.indices.contains(axis) else { return nil }
    var shape = first.shape
    shape[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
    let outer = shape[..<axis].reduce(1, *)
    let pieces = parts.map(\.doubles)
    var values: [Double] = []
    for place in 0..<outer {
      for piece in pieces {
        let size = piece.count / max(outer, 1)
        values += piece[place * size..<(place + 1) * size]
      }
    }
    return Tensor(values, shape: shape, dtype: dtype)
  }
}
