import LTMIR
import LTMKernels
import LTMLLVM

/// How a kernel runs on a GPU: a strategy with its numbers, and a launch. Depends on shapes and the architecture alone.
package struct DeviceSchedule: Hashable, Sendable {
  enum Strategy: Hashable, Sendable {
    /// Elementwise: each thread one vector along the domain's innermost axis.
    case pointwise(lanes: Int)
    /// Several threads share a point of the domain.
    case cooperative(Cooperation)
    /// Lines along an axis: each thread a line of sums, or one element's rank in its line.
    case lines
    /// A block makes a tile of the result from operands in shared memory.
    case contraction(DeviceTiles)
  }

  /// Threads that share points: of reductions, rows and columns.
  struct Cooperation: Hashable, Sendable {
    /// What neighbouring threads of a warp are: neighbours of one point's inner axes, or neighbouring points.
    enum Direction: String, Hashable, Sendable { case inner, points }
    var direction: Direction
    /// A power of two.
    var threadsPerPoint: Int
    var pointsPerBlock: Int
  }

  var strategy: Strategy
  /// Blocks of the launch.
  package var grid: Int
  /// Threads of a block.
  package var block: Int
  /// Bytes of shared memory that the launch gives each block, beside what the kernel declares. More than 48 KB must be
  /// allowed for the kernel first (`CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`).
  package var sharedBytes = 0

  /// In a few words, for a launch plan.
  package var summary: String {
    switch strategy {
    case .pointwise(let lanes): "pointwise lanes=\(lanes)"
    case .cooperative(let numbers):
      "\(numbers.direction == .inner ? "rows" : "columns") threads=\(numbers.threadsPerPoint) points=\(numbers.pointsPerBlock)"
    case .lines: "lines"
    case .contraction(let tiles): tiles.summary
    }
  }
}

/// Chooses how a kernel runs on a GPU.
package func deviceSchedule(_ kernel: Kernel, _ architecture: DeviceArchitecture) -> DeviceSchedule {
  DeviceScheduler(kernel: FlatKernel(kernel), architecture: architecture).schedule()
}

struct DeviceScheduler {
  let kernel: FlatKernel
  let architecture: DeviceArchitecture
  private static let threads = 128

  func schedule() -> DeviceSchedule {
    let body = kernel.kernel.body
    switch kernel.kernel.form {
    case .line(_, let op, let over, _): return lines(op, over.index)
    case .contraction: if let tiles = contraction() { return tiles }
    // Plans for devices have no attention.
    case .loops, .attention: break
    }
    let storesOnly = body.allSatisfy { if case .store = $0 { true } else { false } }
    return storesOnly ? pointwise() : cooperative()
  }

  private func blocks(_ units: Int, _ perBlock: Int) -> Int { (units + perBlock - 1) / perBlock }

  // MARK: Pointwise

  private func pointwise() -> DeviceSchedule {
    let lanes = kernel.domain.last.map { kernel.vectorLanes($0, kernel.kernel.body.indices.map { $0 }) } ?? 1
    let units = kernel.points(kernel.domain) / lanes
    return DeviceSchedule(
      strategy: .pointwise(lanes: lanes), grid: blocks(units, Self.threads), block: Self.threads)
  }

  private func lines(_ op: LineOp, _ axis: Int) -> DeviceSchedule {
    let perLine = if case .order = op { kernel.extent(axis) } else { 1 }
    return DeviceSchedule(
      strategy: .lines, grid: blocks(kernel.points(kernel.domain) * perLine, Self.threads), block: Self.threads)
  }

  // MARK: Rows and columns

  private func cooperative() -> DeviceSchedule {
    let points = kernel.points(kernel.domain)
    let depth = kernel.kernel.body.map { kernel.points($0.innerAxes.map(\.index)) }.max() ?? 1
    let numbers: DeviceSchedule.Cooperation
    if prefersColumns {
      let threads = powerOfTwo(depth / 4, atMost: 16)
      numbers = .init(
        direction: .points, threadsPerPoint: threads, pointsPerBlock: threads < 4 ? Self.threads / threads : 32)
    } else if depth <= 2, points > 1 {
      numbers = .init(direction: .points, threadsPerPoint: 1, pointsPerBlock: Self.threads)
    } else {
      // A warp for short rows, the more of a block the longer they are.
      let threads = powerOfTwo(depth <= 1024 ? min(depth, 32) : depth / 8, atMost: 512)
      numbers = .init(direction: .inner, threadsPerPoint: threads, pointsPerBlock: max(1, Self.threads / threads))
    }
    return DeviceSchedule(
      strategy: .cooperative(numbers), grid: blocks(points, numbers.pointsPerBlock),
      block: numbers.threadsPerPoint * numbers.pointsPerBlock)
  }

  /// The greatest power of two that is not above `value` or `limit`, at least 1.
  private func powerOfTwo(_ value: Int, atMost limit: Int) -> Int {
    var power = 1
    while power * 2 <= min(value, limit) { power *= 2 }
    return power
  }

  /// Whether neighbouring points read neighbouring elements more often than neighbours of the inner axes do.
  private var prefersColumns: Bool {
    let stray = kernel.strayLoads
    return !kernel.domain.isEmpty && stray.columns < stray.rows
  }

  // MARK: Contraction

  private func contraction() -> DeviceSchedule? {
    guard case .contraction(let local, let over, let lhs, let rhs) = kernel.kernel.form,
      kernel.kernel.body.dropFirst().allSatisfy({ if case .store = $0 { true } else { false } }),
      kernel.kernel.dtype(lhs) == kernel.kernel[local].dtype, kernel.kernel.dtype(rhs) == kernel.kernel[local].dtype
    else { return nil }
    let (left, right) = (kernel.dependencies[lhs.index], kernel.dependencies[rhs.index])
    let lhsAxes = kernel.domain.filter { left.contains($0) && !right.contains($0) }
    let rhsAxes = kernel.domain.filter { right.contains($0) && !left.contains($0) }
    guard let lastLeft = lhsAxes.last, let lastRight = rhsAxes.last else { return nil }
    // The columns are the result's innermost, whichever operand has them.
    let isSwapped = lastLeft > lastRight
    let (rowAxes, columnAxes) = isSwapped ? (rhsAxes, lhsAxes) : (lhsAxes, rhsAxes)
    let depthAxes = over.map(\.index)
    let (m, n, k) = (kernel.points(rowAxes), kernel.points(columnAxes), kernel.points(depthAxes))
    guard m >= 4, n >= 4, k >= 4 else { return nil }
    let operands = isSwapped ? [rhs, lhs] : [lhs, rhs]
    let table = DeviceTiles.table(multiply(lhs, rhs, kernel.kernel[local].dtype)).map { entry in
      (tiles: settled(entry.tiles, operands, rowAxes, columnAxes, depthAxes), worth: entry.worth)
    }
    let batches = kernel.points(kernel.domain) / (m * n)
    func count(_ tiles: DeviceTiles) -> Int { batches * blocks(m, tiles.rows) * blocks(n, tiles.columns) }
    guard
      var tiles = table.first(where: { count($0.tiles) >= $0.worth && $0.tiles.carriedWords <= 64 || $0.worth == 0 })?
        .tiles
    else { return nil }
    tiles.isSwapped = isSwapped
    tiles.batchAxes = kernel.domain.filter { !rowAxes.contains($0) && !columnAxes.contains($0) }
    return DeviceSchedule(
      strategy: .contraction(tiles), grid: count(tiles), block: tiles.threads, sharedBytes: tiles.sharedBytes)
  }

  /// Tiles with their axes and the ways of their operands.
  private func settled(
    _ tiles: DeviceTiles, _ operands: [ScalarID], _ rowAxes: [Int], _ columnAxes: [Int], _ depthAxes: [Int]
  ) -> DeviceTiles {
    var tiles = tiles
    (tiles.rowAxes, tiles.columnAxes) = (rowAxes, columnAxes)
    tiles.sides = zip(operands, [(rowAxes, tiles.rows), (columnAxes, tiles.columns)]).map { operand, side in
      tiles.side(
        operand, axes: side.0, size: side.1, depthAxes: depthAxes, kernel, copies: architecture.hasAsyncCopies)
    }
    return tiles
  }

  /// Tensor cores where both operands are exactly of one half dtype that the architecture multiplies.
  private func multiply(_ lhs: ScalarID, _ rhs: ScalarID, _ sum: DType) -> Multiply {
    guard sum == .f32, let dtype = halfDtype(lhs), dtype == halfDtype(rhs),
      let instruction = architecture.tensorCore(dtype)
    else { return .scalar(sum) }
    return instruction
  }

  /// The half dtype that an operand's values are exactly of.
  private func halfDtype(_ id: ScalarID) -> DType? {
    switch kernel.kernel[id] {
    case .load(let buffer, _, _, let otherwise):
      let dtype = kernel.kernel[buffer].dtype
      return dtype.isHalf && dtype.round(otherwise) == otherwise ? dtype : nil
    case .round(_, let dtype): return dtype.isHalf ? dtype : nil
    case .constant, .axis, .local, .scratch, .apply, .convert: return nil
    }
  }
}

extension DType {
  fileprivate var isHalf: Bool { self == .f16 || self == .bf16 }
}

extension FlatKernel {
  /// How many elements along `axis` a thread takes at once in some statements: 16 bytes of the narrowest buffer that is
  /// walked contiguously, where that divides the axis.
  func vectorLanes(_ axis: Int, _ statements: [Int]) -> Int {
    let roots = statements.flatMap { kernel.body[$0].roots }
    return vectorLanes(axis, roots, statements.flatMap { stores[$0] })
  }

  func vectorLanes(_ axis: Int, _ roots: [ScalarID], _ stores: [FlatAccess] = []) -> Int {
    let accesses = closure(of: roots).compactMap { loads[$0] } + stores
    let contiguous = accesses.filter { $0.form.strides[axis] == 1 }
    guard let narrowest = contiguous.map({ kernel[$0.buffer].dtype.byteCount }).min() else { return 1 }
    var lanes = min(8, max(1, 16 / narrowest))
    while extent(axis) % lanes != 0 { lanes /= 2 }
    return lanes
  }
}
