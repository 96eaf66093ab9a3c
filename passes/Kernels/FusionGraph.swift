import LTMIR

// Which nodes get a value in memory or in a kernel (compute nodes), and which are expanded wherever they are read: views,
// literals, and elementwise work so cheap that repeating it costs less than storing it.

struct FusionGraph {
  let lowered: LoweredGraph
  /// Whether a contraction's kernel may reduce what it computes.
  let folds: Bool
  /// Computed once, in one kernel; all others but inputs are expanded.
  private(set) var isCompute: [Bool]
  /// For each node, the inputs and compute nodes that it reads, through what is expanded.
  private(set) var reads: [[Int]] = []
  /// For each input and compute node, the compute nodes that read it.
  private(set) var readers: [[Int]] = []

  init(_ lowered: LoweredGraph, folds: Bool) {
    self.lowered = lowered
    self.folds = folds
    isCompute = [Bool](repeating: false, count: lowered.nodes.count)
    var analysis = Expansion(lowered)
    for index in lowered.nodes.indices where lowered.isLive[index] { isCompute[index] = analysis.settle(index) }
    relink()
  }

  /// Gives a node a value of its own after all: some reader cannot expand it.
  mutating func materialise(_ node: Int) {
    isCompute[node] = true
    relink()
  }

  func isInput(_ node: Int) -> Bool { if case .input = lowered.kinds[node] { true } else { false } }

  private mutating func relink() {
    var expanded: [Set<Int>] = []
    reads = []
    readers = [[Int]](repeating: [], count: lowered.nodes.count)
    for (index, node) in lowered.nodes.enumerated() {
      let sources = node.operands.reduce(into: Set<Int>()) { $0.formUnion(expanded[$1.index]) }
      reads.append(sources.sorted())
      expanded.append(isCompute[index] || isInput(index) ? [index] : sources)
      if isCompute[index] { for source in sources { readers[source].append(index) } }
    }
  }
}

/// The cost of expanding each node where it is read.
private struct Expansion {
  private struct Cost {
    var operations = 0
    /// Values of more than one element that are read.
    var leaves: Set<Int> = []
    /// Whether nothing but this chain reads the compute node at its end: then it belongs into that node's kernel.
    var isSoleUse = false
  }
  private let lowered: LoweredGraph
  private var costs: [Cost] = []
  private static let operationLimit = 4

  init(_ lowered: LoweredGraph) { self.lowered = lowered }

  /// Whether the next node becomes a compute node.
  mutating func settle(_ index: Int) -> Bool {
    while costs.count < index { costs.append(Cost()) }
    let cost = cost(index)
    let isInput = if case .input = lowered.kinds[index] { true } else { false }
    let isCompute = !isInput && (lowered.outputOf[index] != nil || mustCompute(index, cost))
    costs.append(isCompute || isInput ? leaf(index, isInput: isInput) : cost)
    return isCompute
  }

  private func leaf(_ index: Int, isInput: Bool) -> Cost {
    Cost(
      operations: 0, leaves: lowered.counts[index] > 1 ? [index] : [],
      isSoleUse: !isInput && lowered.users[index].count == 1)
  }

  private func cost(_ index: Int) -> Cost {
    var cost = Cost()
    for operand in lowered.nodes[index].operands {
      cost.operations += costs[operand.index].operations
      cost.leaves.formUnion(costs[operand.index].leaves)
      if costs[operand.index].isSoleUse { cost.isSoleUse = true }
    }
    cost.operations += ownOperations(index)
    return cost
  }

  private func mustCompute(_ index: Int, _ cost: Cost) -> Bool {
    switch lowered.kinds[index] {
    case .scatterAdd, .reduce, .argReduce, .contract, .gather, .concat: true
    case .input, .constant, .iota, .broadcast, .reshape, .transpose, .slice, .identity: false
    case .pad: cost.operations > Self.operationLimit
    case .elementwise: isDear(cost)
    case .cast: isSharedNarrowing(index) || (isWidening(index) ? isDear(cost, soleUse: false) : isDear(cost))
    }
  }

  private func isDear(_ cost: Cost, soleUse: Bool = true) -> Bool {
    cost.operations > Self.operationLimit || cost.leaves.count > 1 || (cost.isSoleUse && soleUse)
  }

  /// A half is stored as it is, and widened by its readers.
  private func isWidening(_ index: Int) -> Bool {
    let node = lowered.nodes[index]
    return lowered.graph[node.operands[0]].type.dtype.isHalf && !node.type.dtype.isHalf
  }

  /// A weight is narrowed once a step, not once a use.
  private func isSharedNarrowing(_ index: Int) -> Bool {
    let node = lowered.nodes[index]
    return node.type.dtype.isHalf && !lowered.graph[node.operands[0]].type.dtype.isHalf
      && lowered.users[index].count > 1
      && lowered.counts[index] > 1
  }

  private func ownOperations(_ index: Int) -> Int {
    switch lowered.kinds[index] {
    case .elementwise(let primitive): primitive.cost
    case .pad: 1
    case .input, .constant, .iota, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .concat, .gather,
      .scatterAdd,
      .reduce, .argReduce, .contract:
      0
    }
  }
}

extension Primitive {
  /// What it costs beside an addition, roughly.
  var cost: Int {
    switch self {
    case .neg, .abs, .floor, .ceil, .round, .isFinite, .not, .add, .sub, .mul, .minimum, .maximum, .equal, .notEqual,
      .less,
      .lessEqual, .greater, .greaterEqual, .and, .or, .select:
      1
    case .div, .sqrt: 3
    case .exp, .log, .sin, .cos, .tanh, .erf, .expm1, .log1p, .pow: 10
    }
  }
}
