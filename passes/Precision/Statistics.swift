import LTMIR

/// What stays in full precision because of what it is for: statistics and parameters of normalisations, and whatever feeds
/// a state that is kept in full precision. A mean in half, or a variance that half cannot hold, would outlive the step.
///
/// What only such readers read is full, up to what the graph is given. What others read too, an activation say, is as they
/// need it, unless it is a reduction of one: a batch's mean is full for all its readers.
struct Statistics {
  /// For each value the rule that keeps it; `nil` where none does.
  private(set) var rules: [String?]

  private let graph: Graph
  private let users: [[ValueID]]
  private let isWeak: [Bool]
  /// Values that other results than states are made of.
  private let results: Set<ValueID>
  /// Values that a state in full precision receives.
  private let writes: Set<ValueID>

  /// - Parameters:
  ///   - stateOutputs: the outputs of a body that feed a state where it stands.
  ///   - readsStatistic: whether a node reads an operand as a normalisation reads what comes after its first.
  init(
    _ graph: Graph, users: [[ValueID]], isWeak: [Bool], policy: PrecisionPolicy, stateOutputs: Set<Int> = [],
    readsStatistic: (Node, ValueID) -> Bool
  ) {
    self.graph = graph
    self.users = users
    self.isWeak = isWeak
    rules = Array(repeating: nil, count: graph.nodes.count)
    let isState = graph.outputs.enumerated().map { index, output in
      output.updates.flatMap { graph.input($0) }.map { $0.role != .cache && !graph[$0.value].type.dtype.isHalf }
        ?? stateOutputs.contains(index)
    }
    writes = Set(zip(graph.outputs, isState).filter(\.1).map(\.0.value))
    results = Set(zip(graph.outputs, isState).filter { !$1 }.map(\.0.value))
    guard policy.half != nil else { return }
    mark(small: reductions { $0.role == .state }, "it feeds a state, which is \(policy.full)", roots: writes) { _, _ in
      false
    }
    let keepsParameters = policy.level.keepNormalizationInFloat32 == true
    let rule = keepsParameters ? "keep-norm-f32" : "a statistic is \(policy.full) at every level"
    mark(small: reductions { $0.role != .argument }, rule, roots: [], reads: readsStatistic)
  }

  /// Marks what leads to `roots` and to the operands that `reads` is true of, from the last value to the first.
  private mutating func mark(
    small: [Bool], _ rule: String, roots: Set<ValueID>, reads: (_ reader: Node, ValueID) -> Bool
  ) {
    var isMarked = Array(repeating: false, count: rules.count)
    for value in graph.values.reversed() {
      let readers = users[value.index]
      let asking = readers.count { reads(graph[$0], value) || isMarked[$0.index] && passesOn(graph[$0]) }
      guard asking > 0 || roots.contains(value) else { continue }
      isMarked[value.index] = small[value.index] || asking == readers.count && !results.contains(value)
      if isMarked[value.index], rules[value.index] == nil { rules[value.index] = rule }
    }
  }

  /// Whether a marked node asks the same of its operands: not where it rounds to half itself.
  private func passesOn(_ node: Node) -> Bool { !node.type.dtype.isHalf }

  /// Values that are reductions, or made of reductions and of the inputs that are chosen alone.
  private func reductions(from isChosen: (GraphInput) -> Bool) -> [Bool] {
    let inputs = Set(graph.inputs.filter(isChosen).map(\.value))
    var isSmall = Array(repeating: false, count: graph.nodes.count)
    for value in graph.values {
      let node = graph[value]
      let floats = node.operands.filter { graph[$0].type.dtype.isFloating && !isWeak[$0.index] }
      isSmall[value.index] =
        inputs.contains(value) || node.op.givesStatistic || !floats.isEmpty && floats.allSatisfy { isSmall[$0.index] }
    }
    return isSmall
  }
}

extension Op {
  /// Whether it reduces axes to a statistic, or counts what shares one.
  fileprivate var givesStatistic: Bool { self == .rankCount || definition.signature.contains { $0.kind == .axes } }
}
