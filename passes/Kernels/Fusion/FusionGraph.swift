import LTMIR

// Which nodes get a value in memory or in a kernel (compute nodes), and which are expanded wherever they are read: views,
// literals, and elementwise work so cheap that repeating it costs less than storing it.

struct FusionGraph {
  let lowered: LoweredGraph
  /// Whether a contraction's kernel may reduce what it computes.
  let epilogueReductions: Bool
  /// Computed once, in one kernel; all others but inputs are expanded.
  private(set) var isCompute: [Bool]
  /// For each node, the inputs and compute nodes that it reads, through what is expanded.
  private(set) var reads: [[Int]] = []
  /// For each input and compute node, the compute nodes that read it.
  private(set) var readers: [[Int]]

  init(_ lowered: LoweredGraph, epilogueReductions: Bool) {
    self.lowered = lowered
    self.epilogueReductions = epilogueReductions
    isCompute = [Bool](repeating: false, count: lowered.nodes.count)
    readers = [[Int]](repeating: [], count: lowered.nodes.count)
    var analysis = Expansion(lowered)
    for index in lowered.nodes.indices where lowered.isLive[index] { isCompute[index] = analysis.settle(index) }
    link()
  }

  /// Gives a node a value of its own after all: some reader cannot expand it.
  mutating func materialise(_ node: Int) {
    isCompute[node] = true
    for source in reads[node] { insert(reader: node, of: source) }
    var pending = lowered.users[node]
    while let user = pending.popLast() {
      let (old, new) = (reads[user], sources(user))
      guard old != new else { continue }
      reads[user] = new
      guard isCompute[user] else {
        pending += lowered.users[user]
        continue
      }
      for source in old where !new.contains(source) { readers[source].removeAll { $0 == user } }
      for source in new where !old.contains(source) { insert(reader: user, of: source) }
    }
  }

  /// The input or compute node that holds a value as it lies in memory; `nil` where it has to be made.
  func holder(of node: Int) -> Int? {
    if isCompute[node] || isInput(node) { return node }
    switch lowered.kinds[node] {
    case .reshape, .identity: return holder(of: lowered.nodes[node].operands[0].index)
    default: return nil
    }
  }

  func isInput(_ node: Int) -> Bool { if case .input = lowered.kinds[node] { true } else { false } }

  private mutating func link() {
    for index in lowered.nodes.indices {
      reads.append(sources(index))
      if isCompute[index] { for source in reads[index] { readers[source].append(index) } }
    }
  }

  /// The inputs and compute nodes that a node reads, by what its operands read.
  private func sources(_ node: Int) -> [Int] {
    let operands = Set(lowered.nodes[node].operands.map(\.index))
    let found = operands.reduce(into: Set<Int>()) { found, operand in
      if isCompute[operand] || isInput(operand) { found.insert(operand) } else { found.formUnion(reads[operand]) }
    }
    return found.sorted()
  }

  private mutating func insert(reader: Int, of source: Int) {
    let place = readers[source].lastIndex { $0 < reader }.map { $0 + 1 } ?? 0
    readers[source].insert(reader, at: place)
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
    /// Whether random numbers are drawn.
    var draws = false
    /// Whether all else is literals. Then nothing is kept in memory: whoever reads it draws it again.
    var isDrawn: Bool { draws && leaves.isEmpty }
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
      isSoleUse: !isInput && !lowered.kinds[index].isControl && lowered.users[index].count == 1)
  }

  private func cost(_ index: Int) -> Cost {
    var cost = Cost()
    if case .randomBits = lowered.kinds[index] { return Cost(operations: ownOperations(index), draws: true) }
    for operand in lowered.nodes[index].operands {
      cost.operations += costs[operand.index].operations
      cost.leaves.formUnion(costs[operand.index].leaves)
      if costs[operand.index].isSoleUse { cost.isSoleUse = true }
      if costs[operand.index].draws { cost.draws = true }
    }
    cost.operations += ownOperations(index)
    return cost
  }

  private func mustCompute(_ index: Int, _ cost: Cost) -> Bool {
    switch lowered.kinds[index] {
    case .elementwise where cost.isDrawn, .cast where cost.isDrawn: isReadOften(index)
    case .elementwise where cost.leaves.count > 0 && isWindowed(index): true
    // So that windows read plain memory, in the order that they are read in: a pad with what it pads, or a transpose.
    case .pad where isSlid(index) && !isSummed(index), .transpose where isSlid(index) || isSpreadFar(index): true
    case .cast where isNarrowing(index) && isWindowed(index): true
    case .scatterAdd, .writeAt, .reduce, .argReduce, .contract, .line, .attention, .body, .result, .collective, .gather,
      .concat, .foldKey:
      true
    case .input, .constant, .iota, .broadcast, .reshape, .transpose, .slice, .window, .identity, .randomBits: false
    case .pad: cost.operations > Self.operationLimit
    case .elementwise: isDear(cost)
    case .cast: isSharedNarrowing(index) || (isWidening(index) ? isDear(cost, soleUse: false) : isDear(cost))
    }
  }

  private func isDear(_ cost: Cost, soleUse: Bool = true) -> Bool {
    cost.operations > Self.operationLimit || cost.leaves.count > 1 || (cost.isSoleUse && soleUse)
  }

  /// Whether a reader takes each element again and again, so that what is drawn for it would be drawn as often.
  private func isReadOften(_ index: Int) -> Bool {
    lowered.users[index].contains { user in
      switch lowered.kinds[user] {
      case .contract, .scatterAdd, .line, .attention, .body, .collective: true
      case .broadcast: lowered.counts[user] >= 4 * lowered.counts[index] || isReadOften(user)
      case .reshape, .transpose, .slice, .pad, .concat, .cast, .identity: isReadOften(user)
      case .window(_, let form, _): form.overlaps || isReadOften(user)
      case .input, .constant, .iota, .elementwise, .gather, .writeAt, .reduce, .argReduce, .foldKey, .randomBits,
        .result:
        false
      }
    }
  }

  /// Whether windows read each element several times, so that what is computed for them would be computed as often.
  private func isWindowed(_ index: Int) -> Bool {
    lowered.users[index].contains { user in
      switch lowered.kinds[user] {
      case .window(_, let form, _): form.overlaps || isWindowed(user)
      case .reshape, .transpose, .slice, .pad, .identity: isWindowed(user)
      case .cast: !isNarrowing(user) && isWindowed(user)
      case .input, .constant, .iota, .elementwise, .broadcast, .concat, .gather, .scatterAdd, .writeAt, .attention,
        .reduce, .argReduce,
        .contract, .line, .body, .result, .collective, .foldKey, .randomBits:
        false
      }
    }
  }

  /// Whether windows of several elements are taken of it.
  private func isSlid(_ index: Int) -> Bool {
    lowered.users[index].contains { user in
      switch lowered.kinds[user] {
      case .window(_, let form, _): form.size > 1 || isSlid(user)
      case .reshape, .identity: isSlid(user)
      case .input, .constant, .iota, .elementwise, .cast, .broadcast, .transpose, .slice, .pad, .concat, .gather,
        .scatterAdd, .writeAt, .attention, .reduce, .argReduce, .contract, .line, .body, .result, .collective, .foldKey,
        .randomBits:
        false
      }
    }
  }

  /// Whether all windows of it are small and summed once multiplied, as a depthwise convolution's: a choice for each place then
  /// costs less than a copy. Windows of 5 x 5 took a fifth longer with their choices than with the copy, those of 3 x 3 a tenth less.
  private func isSummed(_ index: Int, isMultiplied: Bool = false) -> Bool {
    lowered.users[index].allSatisfy { user in
      switch lowered.kinds[user] {
      case .reduce: true
      case .window(_, let form, _): form.size <= 3 && isSummed(user, isMultiplied: isMultiplied)
      case .elementwise: !isMultiplied && isSummed(user, isMultiplied: true)
      case .reshape, .identity, .broadcast, .cast, .transpose, .pad: isSummed(user, isMultiplied: isMultiplied)
      case .input, .constant, .iota, .slice, .concat, .gather, .scatterAdd, .writeAt, .attention, .argReduce, .contract,
        .line, .body, .result, .collective, .foldKey, .randomBits:
        false
      }
    }
  }

  /// Whether it has another innermost axis than its operand, and is then spread over so much that reading it across memory would
  /// cost more than a copy.
  private func isSpreadFar(_ index: Int) -> Bool {
    guard case .transpose(let permutation) = lowered.kinds[index], permutation.last != permutation.count - 1 else {
      return false
    }
    func isSpread(_ node: Int) -> Bool {
      lowered.users[node].contains { user in
        switch lowered.kinds[user] {
        case .broadcast: lowered.counts[user] >= 8 * lowered.counts[index]
        case .cast: isSpread(user)
        case .input, .constant, .iota, .elementwise, .window, .reshape, .identity, .transpose, .slice, .pad, .concat,
          .gather, .scatterAdd, .writeAt, .attention, .reduce, .argReduce, .contract, .line, .body, .result,
          .collective, .foldKey,
          .randomBits:
          false
        }
      }
    }
    return lowered.counts[index] > 1 && isSpread(index)
  }

  private func isNarrowing(_ index: Int) -> Bool {
    let node = lowered.nodes[index]
    return node.type.dtype.isHalf && !lowered.graph[node.operands[0]].type.dtype.isHalf
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
    case .pad, .window: 1
    case .randomBits: Primitive.philox.cost
    case .input, .constant, .iota, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .concat, .gather,
      .scatterAdd, .writeAt, .reduce, .argReduce, .contract, .line, .attention, .body, .result, .collective, .foldKey:
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
      .lessEqual, .greater, .greaterEqual, .and, .or, .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight, .select,
      .after:
      1
    case .div, .sqrt: 3
    case .exp, .log, .sin, .cos, .tanh, .erf, .expm1, .log1p, .log2, .pow, .timesSigmoid, .timesNormalCDF,
      .timesGaussian:
      10
    case .philox: 60
    }
  }
}

extension WindowForm {
  /// Whether an element may lie in several windows.
  fileprivate var overlaps: Bool { size > 1 && stride < (size - 1) * abs(dilation) + 1 }
}
