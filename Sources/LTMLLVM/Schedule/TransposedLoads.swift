import LTMIR
import LTMKernels

/// The loads of a kernel whose neighbours in memory lie along a domain axis, the rows, where its vectors lie along another one.
struct TransposedLoads {
  /// A load, and the axis of its vectors.
  struct Entry: Hashable {
    let access: FlatAccess
    let columnAxis: Int
    let dtype: DType
  }
  let rowAxis: Int
  let entries: [Entry]

  /// Loads of some statements, with the axis along which each of these has its vectors, and those that it runs over around
  /// them: what moves along one of these would have to be transposed anew at each of its places.
  private init?(
    _ kernel: FlatKernel, _ statements: [(roots: [ScalarID], columnAxis: Int, around: [Int])], rows: [Int]
  ) {
    var found: [Int: [Entry]] = [:]
    for (roots, columnAxis, around) in statements {
      for access in kernel.closure(of: roots).compactMap({ kernel.loads[$0] }) {
        guard !(0...1 ~= access.form.strides[columnAxis]), access.dynamic.isEmpty, access.guards.isEmpty,
          around.allSatisfy({ access.form.strides[$0] == 0 }),
          let row = rows.first(where: { access.form.strides[$0] == 1 && $0 != columnAxis })
        else { continue }
        let entry = Entry(access: access, columnAxis: columnAxis, dtype: kernel.kernel[access.buffer].dtype)
        let isWorthwhile = [row, columnAxis].allSatisfy { kernel.extent($0) >= Self.smallestSquare }
        if isWorthwhile, !found[row, default: []].contains(entry) { found[row, default: []].append(entry) }
      }
    }
    guard let most = found.max(by: { ($0.value.count, $0.key) < ($1.value.count, $1.key) }) else { return nil }
    (rowAxis, entries) = (most.key, most.value)
  }

  /// Smaller ones are read element by element.
  private static let smallestSquare = 4

  /// Of a kernel of stores alone.
  static func pointwise(_ kernel: FlatKernel) -> TransposedLoads? {
    guard let column = kernel.domain.last else { return nil }
    let roots = kernel.kernel.body.flatMap(\.roots)
    return TransposedLoads(kernel, [(roots, column, [])], rows: kernel.domain.dropLast())
  }

  /// Of a kernel that has its vectors along inner axes.
  static func rows(_ kernel: FlatKernel) -> TransposedLoads? {
    let statements = kernel.kernel.body.compactMap { statement in
      statement.innerAxes.last.map { (statement.roots, $0.index, statement.innerAxes.dropLast().map(\.index)) }
    }
    return TransposedLoads(kernel, statements, rows: kernel.domain.suffix(1))
  }

  /// The lanes and rows of the squares that a load is transposed in.
  static func side(_ entry: Entry, _ rowAxis: Int, _ kernel: FlatKernel, _ profile: TargetProfile) -> Int {
    let limit = min(
      16, profile.vectorBytes / entry.dtype.byteCount, kernel.extent(rowAxis), kernel.extent(entry.columnAxis))
    return 1 << (Int.bitWidth - 1 - limit.leadingZeroBitCount)
  }
}

/// Where the blocks of transposed loads lie in scratch memory: rows of the columns at hand, and space before both for
/// squares that begin before the block.
struct TransposedLayout {
  struct Place {
    let entry: TransposedLoads.Entry
    let side: Int
    let rowStride: Int
    /// Bytes from the beginning of the scratch memory.
    let offset: Int
  }
  let rowAxis: Int
  private(set) var places: [Place] = []
  private(set) var bytes: Int

  init(
    _ loads: TransposedLoads, _ kernel: FlatKernel, _ profile: TargetProfile, rows: Int, columns: (Int) -> Int,
    after start: Int = 0
  ) {
    rowAxis = loads.rowAxis
    bytes = start
    for entry in loads.entries {
      let side = TransposedLoads.side(entry, loads.rowAxis, kernel, profile)
      let size = entry.dtype.byteCount
      let rowStride = roundUp((columns(entry.columnAxis) + side) * size, 64) / size + 64 / size
      let margin = side * (rowStride + 1)
      places.append(Place(entry: entry, side: side, rowStride: rowStride, offset: bytes + margin * size))
      bytes += roundUp((margin + rows * rowStride) * size, 64)
    }
  }
}

extension Scheduler {
  /// Elementwise work on operands that lie across its vectors.
  func blocks() -> Schedule? {
    guard let loads = TransposedLoads.pointwise(kernel), let column = kernel.domain.last else { return nil }
    let widest = loads.entries.map(\.dtype.byteCount).max() ?? 4
    let register = registerLanes
    let lanes = Self.lanes(kernel.extent(column), register: register, limit: min(register * Self.rowUnroll, 64))
    let columns = min(kernel.extent(column), 64)
    let rows = min(kernel.extent(loads.rowAxis), max(16, 256 / widest / loads.entries.count / 16 * 16))
    let outer = kernel.domain.filter { $0 != column && $0 != loads.rowAxis }
    let count = { (axis: Int, size: Int) in (kernel.extent(axis) + size - 1) / size }
    let blocks = kernel.points(outer) * count(column, columns) * count(loads.rowAxis, rows)
    let perTask = max(1, taskWork / (rows * columns))
    let layout = TransposedLayout(loads, kernel, profile, rows: rows, columns: { _ in columns })
    return Schedule(
      strategy: .blocks(
        .init(lanes: lanes, rowAxis: loads.rowAxis, rows: rows, columns: columns, blocksPerTask: perTask)),
      taskCount: (blocks + perTask - 1) / perTask, scratchBytes: layout.bytes)
  }

  /// How many rows have what lies across them transposed together, lines of the cache as a whole, and where to; `nil` where
  /// nothing does, or too much.
  func transposedRows(after start: Int) -> (rows: Int, layout: TransposedLayout)? {
    guard !kernel.kernel.epilogueReductions, let loads = TransposedLoads.rows(kernel),
      let narrowest = loads.entries.map(\.dtype.byteCount).min()
    else { return nil }
    let rows = min(64 / narrowest, kernel.extent(loads.rowAxis))
    let layout = TransposedLayout(loads, kernel, profile, rows: rows, columns: kernel.extent, after: start)
    return layout.bytes - start <= profile.cacheBytes ? (rows, layout) : nil
  }
}
