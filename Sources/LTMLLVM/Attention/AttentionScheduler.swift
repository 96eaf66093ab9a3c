import LTMIR
import LTMKernels

extension Schedule {
  /// Blocks of queries by blocks of keys. Lanes are queries: what a softmax reduces are rows of registers, and weights stand
  /// in memory as the products read them.
  package struct Attention: Hashable, Sendable {
    /// Lanes of a register, and registers of queries that a product holds side by side.
    package var lanes: Int
    package var vectors: Int
    /// Queries and keys in a block.
    package var queries: Int
    package var keys: Int
    package var isDouble: Bool
    /// Whether products are of pairs of bf16.
    package var isPaired: Bool
    /// Points that a word of an operand holds.
    package var points: Int { isPaired ? 2 : 1 }
    package var elementBytes: Int { isDouble ? 8 : 4 }
  }
}

extension Scheduler {
  func attention(_ attention: KernelAttention) -> Schedule {
    let isDouble = kernel.kernel[attention.product].dtype == .f64
    let operands = [attention.query, attention.key, attention.value] + (attention.backward.map { [$0.gradient] } ?? [])
    let isPaired = profile.dotsBF16 && !isDouble && operands.allSatisfy(kernel.holdsBF16)
    let lanes = profile.vectorBytes / (isDouble ? 8 : 4)
    let (queries, keys) = (kernel.extent(kernel.kernel.queryAxis.index), kernel.extent(attention.keys.index))
    let block = queries < Self.queryBlock ? roundUp(queries, lanes) : roundUp(Self.queryBlock, lanes)
    let numbers = Schedule.Attention(
      lanes: lanes, vectors: min(profile.vectorRegisters >= 32 ? 4 : 2, block / lanes), queries: block,
      keys: min(Self.keyBlock, roundUp(keys, isPaired ? 2 : 1)), isDouble: isDouble, isPaired: isPaired)
    let layout = AttentionLayout(kernel, attention, numbers)
    return Schedule(
      strategy: .attention(numbers), taskCount: layout.taskCount, scratchBytes: layout.bytes)
  }

  /// Queries whose operands and sums stay in the first caches, and a number of keys that tiles of 6, 8 and 12 rows divide.
  private static let queryBlock = 64, keyBlock = 96
}

extension FlatKernel {
  /// Whether every value of an operand is one of bf16.
  func holdsBF16(_ operand: ScalarID) -> Bool {
    switch kernel[operand] {
    case .load(let buffer, _, _, let otherwise): kernel[buffer].dtype == .bf16 && otherwise == 0
    case .round(_, let dtype): dtype == .bf16
    case .constant, .axis, .local, .scratch, .apply, .convert: false
    }
  }
}

/// Where an attention's blocks lie in a thread's scratch memory, and how its tasks are numbered.
struct AttentionLayout {
  let numbers: Schedule.Attention
  let queries: Int, keys: Int, depth: Int, width: Int
  /// Heads that share their keys.
  let groups: Int
  /// The domain's axes that a task has one index of.
  let taskAxes: [Int]
  let taskCount: Int
  private(set) var bytes = 0
  private(set) var offsets: [Block: Int] = [:]

  enum Block: Hashable {
    /// The queries and the gradient, lanes along queries; and as they lie, in words along queries.
    case query, queryLines, gradient, gradientLines
    /// Keys and values as they lie; and in words along keys.
    case key, keyLines, value, valueLines
    /// Products of queries and keys, later weights; of gradients and values, later changes of scores.
    case products, changes
    /// Weights and changes as products read them.
    case weights, weightLines, changeLines, changeRows
    /// Changes of scores, where they are a result.
    case scoreChanges
    /// Sums: outputs, gradients of queries (all blocks'), of keys and values.
    case outputs, queryGradients, keyGradients, valueGradients
    /// For each query the greatest score, the sum of exponentials; going back, of all blocks, its logarithm and a mean.
    case tops, sums, logSums, means
    /// Results, lanes along their own axis.
    case turned
  }

  init(_ kernel: FlatKernel, _ attention: KernelAttention, _ numbers: Schedule.Attention) {
    self.numbers = numbers
    let (query, group) = (kernel.kernel.queryAxis.index, kernel.kernel.groupAxis.index)
    (queries, keys) = (kernel.extent(query), kernel.extent(attention.keys.index))
    (depth, width) = (kernel.extent(attention.depth.index), kernel.extent(attention.width.index))
    groups = kernel.extent(group)
    let isForward = attention.backward == nil
    taskAxes = kernel.domain.filter { $0 != query && (isForward || $0 != group) }
    taskCount = kernel.points(taskAxes) * (isForward ? (queries + numbers.queries - 1) / numbers.queries : 1)
    if isForward { placeForward() } else { placeBackward(attention.results[.scoreGradient] != nil) }
  }

  /// Blocks of queries.
  var blocks: Int { (queries + numbers.queries - 1) / numbers.queries }
  /// Queries of a block that are some: with several blocks all of them, since the last one begins earlier.
  var liveQueries: Int { min(queries, numbers.queries) }
  /// Steps of a product over the depth, the width, a block's keys and its queries.
  func steps(_ extent: Int) -> Int { (extent + numbers.points - 1) / numbers.points }
  /// Elements of a line, filled up to whole vectors.
  func line(_ extent: Int) -> Int { roundUp(extent, numbers.lanes) }
  /// Words of a line as it lies.
  func words(_ extent: Int) -> Int { line(extent) / numbers.points }

  private mutating func add(_ block: Block, _ elements: Int) {
    offsets[block] = bytes
    bytes += roundUp(elements * numbers.elementBytes, 64)
  }

  private mutating func placeForward() {
    let n = numbers
    add(.query, steps(depth) * n.queries)
    add(.key, n.keys * words(depth))
    add(.valueLines, steps(n.keys) * line(width))
    add(.products, n.keys * n.queries)
    if n.isPaired { add(.weights, steps(n.keys) * n.queries) } else { offsets[.weights] = offsets[.products] }
    add(.outputs, width * n.queries)
    add(.tops, n.queries)
    add(.sums, n.queries)
    add(.turned, n.queries * line(width))
  }

  private mutating func placeBackward(_ givesScores: Bool) {
    let n = numbers
    add(.query, steps(depth) * n.queries)
    add(.queryLines, steps(n.queries) * line(depth))
    add(.gradient, steps(width) * n.queries)
    add(.gradientLines, steps(n.queries) * line(width))
    add(.key, n.keys * words(depth))
    add(.value, n.keys * words(width))
    add(.products, n.keys * n.queries)
    add(.changes, n.keys * n.queries)
    if n.isPaired {
      add(.keyLines, steps(n.keys) * line(depth))
      add(.weightLines, n.keys * steps(n.queries))
      add(.changeLines, n.keys * steps(n.queries))
      add(.changeRows, steps(n.keys) * n.queries)
    } else {
      offsets[.keyLines] = offsets[.key]
      offsets[.weightLines] = offsets[.products]
      (offsets[.changeLines], offsets[.changeRows]) = (offsets[.changes], offsets[.changes])
    }
    if givesScores { add(.scoreChanges, n.keys * n.queries) }
    add(.keyGradients, n.keys * line(depth))
    add(.valueGradients, n.keys * line(width))
    add(.queryGradients, groups * blocks * depth * n.queries)
    add(.logSums, groups * blocks * n.queries)
    add(.means, groups * blocks * n.queries)
    add(.turned, n.queries * line(depth))
  }
}
