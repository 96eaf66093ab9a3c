import LTMIR
import LTMKernels

/// How a kernel runs on a CPU: a strategy with its numbers. Depends on shapes and the profile, never on threads, so that
/// any number of threads gives the same bits.
package struct Schedule: Hashable, Sendable {
  package enum Strategy: Hashable, Sendable {
    /// Elementwise: vectors along the domain's innermost axis.
    case pointwise(Spread)
    /// Elementwise, where operands lie across the vectors: blocks of these are transposed first.
    case blocks(Blocks)
    /// Reductions, one lane for each point of the domain's innermost axis.
    case columns(Spread)
    /// Points of the domain one by one, vectors along the inner axes.
    case rows(Rows)
    /// Sums by destination: a task owns some rows and goes through all indices.
    case scatter(Scatter)
    /// Sums up to each place of lines.
    case prefix(Prefix)
    /// Lines that are sorted.
    case order(Order)
    /// An attention, blocks of queries by blocks of keys.
    case attention(Attention)
    /// A contraction in packed tiles.
    case contraction(Tiles)
    /// A matrix that lies along the depth, times a vector or a few: several rows of the matrix at a time, vectors along them.
    case product(Product)
    /// A matrix that lies across the depth, times a vector or a few: several lines of it at a time are added up.
    case axpy(Axpy)
  }

  /// Vectors along the innermost axis, which is cut into blocks.
  package struct Spread: Hashable, Sendable {
    package var lanes: Int
    /// Points of the innermost axis in a block: a multiple of `lanes`, or the whole axis.
    package var block: Int
    package var blocksPerTask: Int
    /// Whether a block meets all other points before the next block: what these share of it stays in the first cache.
    package var isBlockMajor = false
    /// Whether what varies along the innermost axis alone is computed once, for all rows of a call, into scratch memory.
    package var keepsInvariants = false
  }

  /// Vectors along the domain's innermost axis, in blocks of it and of the axis along which operands are contiguous.
  package struct Blocks: Hashable, Sendable {
    package var lanes: Int
    package var rowAxis: Int
    package var rows: Int
    /// A multiple of `lanes`, or the whole axis.
    package var columns: Int
    package var blocksPerTask: Int
  }

  package struct Rows: Hashable, Sendable {
    package var lanes: Int
    package var pointsPerTask: Int
    /// Points along the domain's innermost axis for which operands that lie across the rows are transposed together.
    package var rowsTogether = 1
  }

  package struct Scatter: Hashable, Sendable {
    package var lanes: Int
    /// Rows that a task owns.
    package var rows: Int
    /// Elements from one row's sums to the next's.
    package var rowElements: Int
    /// Sums of single updates, of blocks of them, of blocks of blocks.
    package var levels: Int

    /// How many updates fill the sums below a level.
    static func updates(_ level: Int) -> Int { 1 << min(6 * level, 60) }
  }

  package struct Product: Hashable, Sendable {
    package var lanes: Int
    /// Rows that share what they read of the vectors, and vectors that share what they read of the rows.
    package var rows: Int
    package var vectors: Int
    package var rowAxis: Int
    /// `nil`: there is one vector.
    package var vectorAxis: Int?
    /// Accumulators of each product: one addition need not wait for the last.
    package var ways: Int
    /// Whether there are so many in blocks of any size: else one in those whose products are enough accumulators.
    package var keepsWays: Bool
    /// Rows from one that is read to the one that is prefetched meanwhile.
    package var ahead: Int
    package var blocksPerTask: Int
  }

  package struct Axpy: Hashable, Sendable {
    package var lanes: Int
    /// Columns of the matrix whose sums are kept together: a multiple of `lanes`.
    package var block: Int
    /// Vectors that share what they read of the matrix.
    package var vectors: Int
    /// Lines of the matrix that are added together.
    package var lines: Int
    package var isDouble: Bool
    package var matrixAxis: Int
    /// `nil`: there is one vector.
    package var vectorAxis: Int?
    package var blocksPerTask: Int
  }

  /// Tiles of `mc` by `nc`, their operands packed into panels of `tile.rows` and `columns`, in blocks of depth.
  package struct Tiles: Hashable, Sendable {
    package var tile: RegisterTile
    package var lanes: Int
    package var mc = 0
    package var nc = 0
    /// Which of the contracted axes is cut into blocks: those before it are visited one by one, those after it in full.
    package var blockedAxis = 0
    /// Points of that axis in a block.
    package var block = 0
    /// Steps of the micro-kernel in a block.
    package var steps = 0
    /// The whole depth is one block.
    package var isSinglePass = false
    package var rowAxis: Int
    /// Axes of the rows before `rowAxis`, outermost first: a line of rows for each of their points.
    package var outerRows: [Int] = []
    /// Lines of the depth that the micro-kernel takes one after the other: the points of all contracted axes but the last, where
    /// rows are lines along that one; 1 where the depth is one line.
    package var taps = 1
    /// Whether they are left where they lie.
    var visitsTaps: Bool { taps > 1 && operands.lines != .copied }
    package var columnAxis: Int
    /// The operands stand as `rhs`, `lhs`.
    package var isSwapped: Bool
    package var isDouble: Bool
    /// How both operands reach the micro-kernel.
    package var operands = Operands.columnsFirst(rows: .packed(.byTask), columns: .packed(.byTask))
    /// The result is stored transposed: its innermost axis has the rows.
    package var isTransposed: Bool { rowAxis > columnAxis }
    /// Columns of a register tile.
    package var columns: Int { tile.vectors * lanes }
    /// The distance between rows of sums: of one register tile, or of the task's tile where sums wait for the next block;
    /// no large power of two, whose rows would share cache sets.
    package var rowStride: Int { isSinglePass ? columns : nc % 128 == 0 ? nc + columns : nc }
    package var elementBytes: Int { isDouble ? 8 : 4 }
    /// Bytes from one line of the rows to the next, where they are not packed.
    var lineBytes: Int {
      switch operands.lines {
      case nil: 0
      case .copied: (roundUp(steps, lanes) + 16) * elementBytes
      case .unpacked(let stride): stride * elementBytes / tile.points
      }
    }
  }

  /// The order in which panels meet, and what each side's consist of.
  package enum Operands: Hashable, Sendable {
    /// Each panel of columns meets all rows before the next one.
    case columnsFirst(rows: Rows, columns: Columns)
    /// Each panel of rows, which are lines along the depth, meets all columns before the next one.
    case rowsFirst(lines: Lines, columns: Packing)

    package enum Rows: Hashable, Sendable {
      /// In panels `[panel][depth][width]`.
      case packed(Packing)
      /// The operand itself, whose lines lie this many numbers apart.
      case unpacked(stride: Int)
    }

    package enum Columns: Hashable, Sendable {
      case packed(Packing)
      /// Packing is fused into the first micro-kernel pass: the first panel of rows packs each panel of columns while it is
      /// multiplied with it.
      case packedInFirstPass
    }

    /// Lines of which the micro-kernel takes one number at a time.
    package enum Lines: Hashable, Sendable {
      /// Copies of the operand's, widened.
      case copied
      case unpacked(stride: Int)
    }

    /// Who packs an operand.
    package enum Packing: Hashable, Sendable {
      /// Each task, what it needs.
      case byTask
      /// Tasks of a first phase, for all others.
      case once
      /// The same, in the first launch only: the operand never changes.
      case prepacked
    }

    package var isRowsFirst: Bool { if case .rowsFirst = self { true } else { false } }
    package var packsInFirstPass: Bool {
      if case .columnsFirst(_, .packedInFirstPass) = self { true } else { false }
    }
    /// `nil` where rows are lines.
    package var rows: Packing? { if case .columnsFirst(.packed(let packing), _) = self { packing } else { nil } }
    /// `nil` where rows are packed.
    package var lines: Lines? {
      switch self {
      case .columnsFirst(.packed, _): nil
      case .columnsFirst(.unpacked(let stride), _): .unpacked(stride: stride)
      case .rowsFirst(let lines, _): lines
      }
    }
    /// `nil` where packing is fused into the first pass.
    package var columns: Packing? {
      switch self {
      case .columnsFirst(_, .packedInFirstPass): nil
      case .columnsFirst(_, .packed(let packing)), .rowsFirst(_, let packing): packing
      }
    }
  }

  package var strategy: Strategy
  /// The strategy's name.
  package var name: String {
    switch strategy {
    case .pointwise: "pointwise"
    case .blocks: "blocks"
    case .columns: "columns"
    case .rows: "rows"
    case .scatter: "scatter"
    case .prefix: "prefix"
    case .order: "order"
    case .attention: "attention"
    case .contraction: "contraction"
    case .product: "product"
    case .axpy: "axpy"
    }
  }
  /// Tasks of the launch, 0 for an empty domain.
  package var taskCount: Int
  /// How many of them, the first, must be done before the others begin.
  package var preparations = 0
  /// Which of those need not be done again as long as constant operands stay as they are and nothing else uses the workspace.
  package var prepackPhases = 0..<0
  /// How many of them, the last, wait until the others are done.
  package var conclusions = 0
  /// Bytes of memory that all tasks of a launch share, aligned to 64: the entry after the buffers' in the argument list.
  package var workspaceBytes = 0
  /// Bytes of scratch memory that each thread needs, aligned to 64.
  package var scratchBytes: Int
  /// Tasks that may run at the same time, in the order in which these groups must run.
  package var phases: [Range<Int>] { [0..<preparations].filter { !$0.isEmpty } + ending }
  /// The same when the kept preparations are done.
  package var laterPhases: [Range<Int>] {
    [0..<prepackPhases.lowerBound, prepackPhases.upperBound..<preparations].filter { !$0.isEmpty } + ending
  }
  private var ending: [Range<Int>] {
    let last = taskCount - conclusions
    return [preparations..<last, last..<taskCount].filter { !$0.isEmpty }
  }
}

/// Chooses how a kernel runs on a CPU.
package func schedule(_ kernel: Kernel, _ profile: TargetProfile) -> Schedule {
  Scheduler(kernel: FlatKernel(kernel), profile: profile).schedule()
}

/// Elements of work that are worth a task.
let taskWork = 16_384

struct Scheduler {
  let kernel: FlatKernel
  let profile: TargetProfile

  func schedule() -> Schedule {
    switch kernel.kernel.form {
    case .line(let store, let op, let over, let to): return lines(op, over: over.index, to: to.index, store.value)
    case .attention(let attention): return self.attention(attention)
    case .contraction:
      if profile.keepsOrder { return orderedProduct() ?? rows() }
      if let product = tiles() ?? product() { return product }
    case .loops: if let scatter = scatter() { return scatter }
    }
    if kernel.kernel.epilogueReductions { return rows() }
    let reads = kernel.kernel.body.contains { !$0.innerAxes.isEmpty }
    if reads { return prefersColumns && !writesRows ? spread(isColumns: true) : rows() }
    let isReduction = kernel.kernel.body.contains { if case .store = $0 { false } else { true } }
    return isReduction ? rows() : blocks() ?? spread(isColumns: false)
  }

  /// Lanes of one register, for the widest scalar that the kernel computes with.
  var registerLanes: Int {
    let isWide = kernel.kernel.expressions.indices.contains { id in
      let dtype = kernel.kernel.dtype(ScalarID(id))
      return dtype == .f64 || dtype == .i64
    }
    return profile.vectorBytes / (isWide ? 8 : 4)
  }

  /// How many registers a value takes along a row. Instructions that wait for the last one fill the processor's window
  /// before the next vector's begin: the vectors side by side are what it can overlap.
  static let rowUnroll = 4

  /// How many registers a value takes where lanes are columns: fewer where formulas are long and would spill.
  private var unroll: Int {
    let weight = kernel.kernel.expressions.reduce(0) { sum, expression in
      guard case .apply(let primitive, _, _) = expression else { return sum }
      return sum + primitive.weight
    }
    return weight > 30 ? 1 : weight > 12 ? 2 : 4
  }

  /// The fewest whole registers, a power of two of them and at most `limit`, that hold `extent` lanes.
  static func lanes(_ extent: Int, register: Int, limit: Int) -> Int {
    var lanes = register
    while lanes < limit, lanes < extent { lanes *= 2 }
    return lanes
  }

  // MARK: Pointwise and columns

  func spread(isColumns: Bool) -> Schedule {
    let extent = kernel.domain.last.map(kernel.extent) ?? 1
    let register = registerLanes
    let depth = kernel.kernel.body.map { kernel.points($0.innerAxes.map(\.index)) }.max() ?? 1
    // The sums of a window are short chains: more of them side by side hide what each addition waits for.
    let registers = isColumns ? min(unroll, depth <= Self.windowPoints ? 4 : 2) : Self.rowUnroll
    let lanes = extent == 1 ? 1 : Self.lanes(extent, register: register, limit: register * registers)
    let work = max(lanes, taskWork / max(1, depth) / lanes * lanes)
    let shared = isColumns ? sharedBlock(extent, lanes) : nil
    let block = shared ?? (extent <= work ? extent : work)
    let blocks = kernel.points(kernel.domain.dropLast()) * ((extent + max(block, 1) - 1) / max(block, 1))
    let blocksPerTask = max(1, work / max(block, 1))
    var numbers = Schedule.Spread(lanes: lanes, block: max(block, 1), blocksPerTask: blocksPerTask)
    numbers.isBlockMajor = shared != nil
    let kept = isColumns ? 0 : invariantBytes(lanes)
    numbers.keepsInvariants = kept > 0 && block == extent && blocks >= Self.invariantRows
    return Schedule(
      strategy: isColumns ? .columns(numbers) : .pointwise(numbers),
      taskCount: (blocks + blocksPerTask - 1) / blocksPerTask,
      scratchBytes: numbers.keepsInvariants ? kept : RowLayout(kernel, columnLanes: lanes).bytes)
  }

  /// Points of a block where what all blocks share, as a depthwise convolution's taps, would not stay in the first cache from
  /// one point of the outer axes to the next.
  private func sharedBlock(_ extent: Int, _ lanes: Int) -> Int? {
    let bytes = kernel.sharedColumnBytes
    guard bytes * extent > Self.sharedLimit, kernel.points(kernel.domain.dropLast()) > 1 else { return nil }
    return max(lanes, Self.sharedLimit / bytes / lanes * lanes)
  }

  /// A part of the first cache that leaves room for a window's lines.
  private static let sharedLimit = 1 << 13

  /// So few points are a window, rather than what is long.
  private static let windowPoints = 64

  /// Fewer rows do not pay for keeping anything.
  private static let invariantRows = 64
  /// What may be kept: no more than stays in a cache beside the rows.
  private static let invariantLimit = 1 << 17

  /// Bytes of scratch for a pointwise kernel's row invariants; 0 where there are none, or too many.
  private func invariantBytes(_ lanes: Int) -> Int {
    let count = kernel.rowInvariants(FormulaFacts(kernel.kernel, isPlain: profile.keepsOrder)).count
    let bytes = roundUp(kernel.domain.last.map(kernel.extent) ?? 1, lanes) * 4 * count
    return bytes <= Self.invariantLimit ? bytes : 0
  }

  // MARK: Rows

  private func rows() -> Schedule {
    let longest = kernel.kernel.body.compactMap { $0.innerAxes.last.map { kernel.extent($0.index) } }.max() ?? 1
    let register = registerLanes
    let lanes = Self.lanes(longest, register: register, limit: register * Self.rowUnroll)
    let depth = kernel.kernel.body.reduce(0) { $0 + kernel.points($1.innerAxes.map(\.index)) }
    let points = kernel.points(kernel.domain)
    let perTask = max(1, taskWork / max(1, depth))
    let epilogueReductions = kernel.epilogueReductions.count { $0 != nil }
    var schedule = Schedule(
      strategy: .rows(.init(lanes: lanes, pointsPerTask: perTask)),
      taskCount: epilogueReductions + (points + perTask - 1) / perTask,
      preparations: epilogueReductions,
      scratchBytes: RowLayout(kernel, rowLanes: lanes).bytes + RowCache(kernel, lanes: lanes).bytes)
    if let transposed = transposedRows(after: schedule.scratchBytes) {
      let (together, row) = (transposed.rows, kernel.extent(transposed.layout.rowAxis))
      let blocks = points / max(1, row) * ((row + together - 1) / together)
      let blocksPerTask = max(1, perTask / together)
      schedule.strategy = .rows(
        .init(lanes: lanes, pointsPerTask: blocksPerTask * together, rowsTogether: together))
      schedule.taskCount = (blocks + blocksPerTask - 1) / blocksPerTask
      schedule.scratchBytes = transposed.layout.bytes
    }
    return schedule
  }

  /// Whether rows are written as such, and what lies across them can be transposed: lanes along the domain's innermost axis
  /// would write element by element.
  private var writesRows: Bool {
    guard let column = kernel.domain.last, transposedRows(after: 0) != nil else { return false }
    return zip(kernel.kernel.body, kernel.stores).contains { statement, accesses in
      !statement.innerAxes.isEmpty && accesses.contains { !(0...1 ~= $0.form.strides[column]) }
    }
  }

  /// Whether lanes along the domain's innermost axis read neighbours more often than lanes along the inner axes.
  var prefersColumns: Bool {
    guard let column = kernel.domain.last else { return false }
    let (strayRows, strayColumns) = kernel.strayLoads
    let inner = kernel.kernel.body.flatMap { $0.innerAxes.map { kernel.extent($0.index) } }.max() ?? 1
    if strayRows == strayColumns { return kernel.extent(column) > inner && inner < registerLanes }
    return strayColumns < strayRows && kernel.extent(column) > 1
  }
}

package func roundUp(_ value: Int, _ unit: Int) -> Int { (value + unit - 1) / unit * unit }

extension Primitive {
  /// Registers that a formula keeps busy, roughly.
  fileprivate var weight: Int {
    switch self {
    case .exp, .log, .sin, .cos, .tanh, .erf, .expm1, .log1p, .log2, .pow, .timesSigmoid, .timesNormalCDF,
      .timesGaussian:
      14
    case .philox: 14
    case .sqrt, .div: 2
    case .neg, .abs, .floor, .ceil, .round, .isFinite, .not, .add, .sub, .mul, .minimum, .maximum, .equal, .notEqual,
      .less, .lessEqual, .greater, .greaterEqual, .and, .or, .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight, .select,
      .after:
      1
    }
  }
}

/// Where each row scratch of a kernel lies in the thread's scratch memory.
struct RowLayout {
  private(set) var offsets: [LocalID: Int] = [:]
  private(set) var bytes = 0

  /// Rows of consecutive elements, padded to whole vectors.
  init(_ kernel: FlatKernel, rowLanes: Int) { self.init(kernel) { roundUp($0, rowLanes) } }

  /// Rows whose elements are vectors, one lane a column.
  init(_ kernel: FlatKernel, columnLanes: Int) { self.init(kernel) { $0 * columnLanes } }

  private init(_ kernel: FlatKernel, elements: (Int) -> Int) {
    for case .scratch(let local, let axis, _) in kernel.kernel.body {
      offsets[local] = bytes
      bytes += roundUp(elements(kernel.extent(axis.index)) * kernel.kernel[local].dtype.byteCount, 64)
    }
  }
}
