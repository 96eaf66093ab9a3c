import LTMIR
import LTMKernels

// The numbers of a contraction: what a block of each operand may take of the caches decides the depth and the rows of a
// block; shapes alone decide tasks and whether they share what they pack.
extension Scheduler {
  func tiles() -> Schedule? {
    guard var tiles = tileAxes(), case .contraction(_, let over, let lhs, let rhs) = kernel.kernel.form else {
      return nil
    }
    let (m, n) = (kernel.extent(tiles.rowAxis), kernel.extent(tiles.columnAxis))
    let depth = kernel.points(over.map(\.index))
    let hasLines = chooseLines(over.map(\.index), lhs, rhs, depth: depth, &tiles)
    guard m >= 4 || hasLines, n >= tiles.lanes, depth >= 4, EpilogueReduction.areTileable(kernel, tiles) else {
      return nil
    }
    if hasLines {
      takeWhole(over.map(\.index), &tiles)
    } else {
      chooseRows(lhs, rhs, depth: depth, &tiles)
      cutDepth(over.map(\.index), &tiles)
    }
    let perLine = roundUp(kernel.extent(tiles.rowAxis), tiles.tile.rows)
    let rows = tiles.outerRows.isEmpty ? kernel.extent(tiles.rowAxis) : kernel.points(tiles.outerRows) * perLine
    shareOut(rows, kernel.extent(tiles.columnAxis), depth, &tiles)
    let layout = ContractionLayout(kernel, tiles)
    return Schedule(
      strategy: .contraction(tiles), taskCount: layout.preparations + layout.tileTasks + layout.conclusions,
      preparations: layout.preparations, prepackPhases: layout.prepackPhases, conclusions: layout.conclusions,
      workspaceBytes: layout.workspaceBytes, scratchBytes: layout.scratchBytes)
  }

  /// The axes of rows and columns, where the kernel is one contraction with the stores and epilogue reductions of its result.
  private func tileAxes() -> Schedule.Tiles? {
    guard case .contraction(let local, let over, let lhs, let rhs) = kernel.kernel.form,
      kernel.kernel.body.dropFirst().allSatisfy(\.isEpilogue),
      kernel.kernel.dtype(lhs) == kernel.kernel[local].dtype, kernel.kernel.dtype(rhs) == kernel.kernel[local].dtype
    else { return nil }
    let (left, right) = (kernel.dependencies[lhs.index], kernel.dependencies[rhs.index])
    let own = { (a: Set<Int>, b: Set<Int>) in kernel.domain.last { a.contains($0) && !b.contains($0) } }
    guard let a = own(left, right), let b = own(right, left) else { return nil }
    // The result's columns are the domain's innermost, whichever operand has them.
    let isSwapped = a > b
    let isDouble = kernel.kernel[local].dtype == .f64
    // An axis of one point would be half zeros.
    let isBF16 = [lhs, rhs].allSatisfy(holdsBF16) && over.last.map { kernel.extent($0.index) > 1 } ?? false
    return Schedule.Tiles(
      tile: profile.tile(isBF16: isBF16, isFlat: over.count == 1), lanes: profile.vectorBytes / (isDouble ? 8 : 4),
      rowAxis: isSwapped ? b : a,
      columnAxis: isSwapped ? a : b, isSwapped: isSwapped, isDouble: isDouble)
  }

  /// An operand that is a buffer's elements as they are, neighbours along the depth: from one line along an axis to the
  /// next, and whether its elements must be widened. Pairs of bf16 need not be.
  private func lines(_ operand: ScalarID, _ axis: Int, _ tiles: Schedule.Tiles) -> (stride: Int, areNarrow: Bool)? {
    guard case .contraction(let local, let over, _, _) = kernel.kernel.form, over.count == 1,
      case .load(let buffer, _, _, _) = kernel.kernel[operand], let access = kernel.loads[operand.index],
      access.dynamic.isEmpty, access.guards.isEmpty, access.form.strides[over[0].index] == 1
    else { return nil }
    let isNarrow = tiles.tile.points == 1 && kernel.kernel[buffer].dtype != kernel.kernel[local].dtype
    return (access.form.strides[axis], isNarrow)
  }

  /// Chooses what is not packed. The micro-kernel takes rows one number at a time, so that lines along the depth serve it
  /// as they are. Few rows do not pay for packing such lines as columns: they become the rows then, widened line by line if
  /// they must be, and the result is stored transposed.
  private func chooseRows(_ lhs: ScalarID, _ rhs: ScalarID, depth: Int, _ tiles: inout Schedule.Tiles) {
    // AMX's tiles have lines of bf16 as rows.
    let isAMX = tiles.tile.multiply == .tileBF16
    let (left, right) = tiles.isSwapped ? (rhs, lhs) : (lhs, rhs)
    let (rows, columns) = (kernel.extent(tiles.rowAxis), kernel.extent(tiles.columnAxis))
    let keepsRows = columns <= Self.few && !isAMX && isKept(left, depth, tiles)
    let columnPacking: Schedule.Operands.Packing =
      rows <= Self.few && isKept(right, depth, tiles) ? .prepacked : .byTask
    tiles.operands =
      isAMX
      ? .rowsFirst(lines: .copied, columns: columnPacking)
      : .columnsFirst(rows: .packed(keepsRows ? .prepacked : .byTask), columns: .packed(columnPacking))
    if isAMX || keepsRows || columnPacking == .prepacked { return }
    guard profile.architecture == .x86_64 else { return }
    let height = tiles.tile.rows
    // Lines a power of two apart share a set of the first cache, of which a panel must leave some ways free.
    let bytes = tiles.elementBytes / tiles.tile.points
    func isCrowded(_ stride: Int) -> Bool { height > 6 && stride * bytes % 2048 == 0 }
    // A panel of fewer than four rows takes as long as one of four. The few rows that transposing adds cost less than packing.
    let asRows = rows / height * height + (rows % height == 0 ? 0 : max(4, rows % height))
    if rows <= Self.few, depth >= 128, tiles.tile.points == 1, roundUp(rows, tiles.columns) <= asRows + 3,
      let lines = lines(right, tiles.columnAxis, tiles)
    {
      let isCopied = lines.areNarrow || isCrowded(lines.stride)
      tiles.operands = .rowsFirst(lines: isCopied ? .copied : .unpacked(stride: lines.stride), columns: .byTask)
      (tiles.rowAxis, tiles.columnAxis) = (tiles.columnAxis, tiles.rowAxis)
      tiles.isSwapped.toggle()
    } else if let lines = lines(left, tiles.rowAxis, tiles), !lines.areNarrow {
      // Lines whole pages apart share few sets of the second cache: many of them would not stay there until the next columns.
      let (arePages, all) = (lines.stride * bytes % 4096 == 0, lines.stride * bytes * rows)
      // Many of them are read more slowly than a panel, and need code for their distance: few columns, and much work, make
      // up for it.
      let work = kernel.points(kernel.domain) * depth
      let pays =
        tiles.tile.points == 2
        ? !arePages && work >= Self.muchWork / 4 && pairsPay(rows: rows, columns: columns, depth: depth, tiles)
        : height > 6
          ? !arePages && work >= Self.muchWork && all <= profile.cacheBytes && columns <= Self.fewColumns
          : !arePages || all <= profile.cacheBytes / 2
      if pays { tiles.operands = .columnsFirst(rows: .unpacked(stride: lines.stride), columns: .packed(.byTask)) }
    }
  }

  /// Windows of an image: rows that are lines along the last contracted axis, at the places that the other ones say, and that
  /// follow each other along several axes. They are not packed: the micro-kernel is told where the lines are, or those of a
  /// panel are copied, widened, before it meets all columns.
  private func chooseLines(
    _ over: [Int], _ lhs: ScalarID, _ rhs: ScalarID, depth: Int, _ tiles: inout Schedule.Tiles
  ) -> Bool {
    let (left, right) = tiles.isSwapped ? (rhs, lhs) : (lhs, rhs)
    guard profile.architecture == .x86_64, tiles.tile.multiply != .tileBF16, !tiles.isTransposed, let last = over.last,
      case .contraction(let local, _, _, _) = kernel.kernel.form, case .load(let buffer, _, _, _) = kernel.kernel[left],
      let access = kernel.loads[left.index], access.dynamic.isEmpty, access.guards.isEmpty,
      access.form.strides[last] == 1, kernel.extent(last) >= Self.shortestLine,
      kernel.kernel[buffer].dtype.loaded == kernel.kernel[local].dtype
    else { return false }
    let isNarrow = tiles.tile.points == 1 && kernel.kernel[buffer].dtype != kernel.kernel[local].dtype
    let taps = kernel.points(over.dropLast())
    let outer = kernel.domain.filter {
      $0 < tiles.rowAxis && access.depends(on: $0) && !kernel.dependencies[right.index].contains($0)
    }
    // Rows side by side, as those of a matrix are, are tiled as such.
    guard taps > 1 || !outer.isEmpty && access.form.strides[tiles.rowAxis] > kernel.extent(last), taps <= Self.mostTaps
    else { return false }
    (tiles.outerRows, tiles.taps) = (outer, taps)
    let columns: Schedule.Operands.Packing = isKept(right, depth, tiles) ? .prepacked : .byTask
    tiles.operands =
      isNarrow
      ? .rowsFirst(lines: .copied, columns: columns)
      : .columnsFirst(rows: .unpacked(stride: access.form.strides[tiles.rowAxis]), columns: .packed(columns))
    return true
  }

  /// Shorter lines are better packed.
  private static let shortestLine = 8
  private static let mostTaps = 512

  /// The whole depth in one block.
  private func takeWhole(_ over: [Int], _ tiles: inout Schedule.Tiles) {
    tiles.blockedAxis = 0
    tiles.block = kernel.extent(over[0])
    tiles.steps = tiles.tile.steps(over.map(kernel.extent))
    tiles.isSinglePass = true
  }

  /// Whether pairs of bf16 are better left where they lie: what a tile has of them fits the second cache, and few columns meet
  /// them, or every tile would pack its own.
  private func pairsPay(rows: Int, columns: Int, depth: Int, _ tiles: Schedule.Tiles) -> Bool {
    let isShared = rows * depth * 2 <= Self.sharedBytes
    let near = min(rows, isShared ? 1024 : 240) * min(depth, blockLimit(tiles)) * 2
    return near <= profile.cacheBytes && (columns <= Self.fewColumns || !isShared)
  }

  /// Whether whole panels of columns lie in a buffer as they are multiplied: vectors of neighbours, a line for each point of
  /// the depth.
  private func liesAcross(_ tiles: Schedule.Tiles) -> Bool {
    guard case .contraction(let local, let over, let lhs, let rhs) = kernel.kernel.form, over.count == 1,
      case let columns = tiles.isSwapped ? lhs : rhs, case .load(let buffer, _, _, _) = kernel.kernel[columns],
      let access = kernel.loads[columns.index], access.dynamic.isEmpty, access.guards.isEmpty
    else { return false }
    let fits = tiles.tile.multiply == .dotBF16 ? kernel.kernel[buffer].dtype == .bf16 : tiles.tile.points == 1
    return fits && kernel.extent(tiles.columnAxis) >= tiles.columns
      && access.form.strides[tiles.columnAxis] == 1
      && kernel.kernel[buffer].dtype.loaded == kernel.kernel[local].dtype
  }

  /// So few rows or columns that packing the other operand shows.
  private static let few = 96
  /// So few that packing the rows shows.
  private static let fewColumns = 512
  /// Products that are worth micro-kernels of their own.
  private static let muchWork = 1 << 26

  /// Whether an operand is the same at every launch, and small enough to be there twice.
  private func isKept(_ operand: ScalarID, _ depth: Int, _ tiles: Schedule.Tiles) -> Bool {
    let accesses = kernel.closure(of: [operand]).compactMap { kernel.loads[$0] }
    let elements = depth * kernel.points(kernel.domain.filter(kernel.dependencies[operand.index].contains))
    return profile.keepsPanels && accesses.allSatisfy { kernel.kernel[$0.buffer].access == .constant }
      && elements / tiles.tile.points * tiles.elementBytes <= Self.sharedBytes
  }

  /// Whether every value of an operand is one of bf16.
  private func holdsBF16(_ id: ScalarID) -> Bool {
    switch kernel.kernel[id] {
    case .load(let buffer, _, _, let otherwise): kernel.kernel[buffer].dtype == .bf16 && otherwise == 0
    case .round(_, let dtype): dtype == .bf16
    case .constant, .axis, .local, .scratch, .apply, .convert: false
    }
  }

  /// Blocks so deep that a panel of columns takes an eighth of the second cache, in even shares.
  private func cutDepth(_ over: [Int], _ tiles: inout Schedule.Tiles) {
    let limit = blockLimit(tiles)
    // The outermost axis whose inner neighbours fit a block as a whole.
    tiles.blockedAxis = over.indices.first { kernel.points(over[($0 + 1)...]) <= limit } ?? over.count - 1
    let extent = kernel.extent(over[tiles.blockedAxis])
    let inner = kernel.points(over[(tiles.blockedAxis + 1)...])
    let blocks = (extent + limit / inner - 1) / max(1, limit / inner)
    // Vectors along the innermost axis end where a block does.
    let unit =
      tiles.blockedAxis == over.count - 1 ? max(tiles.lanes, tiles.tile.stepsTogether) * tiles.tile.points : 1
    tiles.block = min(roundUp((extent + blocks - 1) / max(1, blocks), unit), roundUp(extent, unit))
    tiles.steps =
      tiles.blockedAxis == over.count - 1
      ? tiles.block / tiles.tile.points
      : tiles.block * tiles.tile.steps(over[(tiles.blockedAxis + 1)...].map(kernel.extent))
    tiles.isSinglePass = tiles.block >= extent && kernel.points(over[..<tiles.blockedAxis]) == 1
  }

  /// Points of the depth of which a panel of columns takes an eighth of the second cache.
  private func blockLimit(_ tiles: Schedule.Tiles) -> Int {
    max(64, profile.cacheBytes / 8 / (tiles.columns * tiles.elementBytes) * tiles.tile.points)
  }

  /// Tiles that fit the second cache, smaller where there would be too few tasks to share, and who packs.
  private func shareOut(_ m: Int, _ n: Int, _ depth: Int, _ tiles: inout Schedule.Tiles) {
    let (rows, columns) = (tiles.tile.rows, tiles.columns)
    let batches = kernel.points(kernel.domain) / max(1, m * n)
    let (rowsFit, columnsFit) = fit(tiles)
    let isRowsFirst = tiles.operands.isRowsFirst
    let longest = profile.vectorBytes == 64 ? 1024 : 384
    // Rows stream from the third cache while a panel of columns stays near: more rows, fewer visits of the columns.
    var mc = min(m, !rowsFit ? 240 : m <= longest ? m : 342)
    var nc = min(n, rowsFit ? 256 : columnsFit ? 1024 : 512)
    func count(_ extent: Int, _ size: Int) -> Int { (extent + size - 1) / size }
    /// Less work than this is not worth a task of its own.
    let least = rowsFit && columnsFit ? 1_000_000 : 4_000_000
    // Columns that only one tile of rows needs are packed just before they are used, and should stay near until then;
    // halves of such a tile would both pack them.
    if rowsFit, m <= mc, !isRowsFirst {
      let near = profile.cacheBytes / 2 / (tiles.steps * tiles.elementBytes)
      nc = min(nc, max(columns, least / (mc * depth), min(near, roundUp(count(n, 16), columns))))
    }
    while batches * count(m, mc) * count(n, nc) < 16, mc * nc * depth > 2 * least,
      mc > rows || (nc > columns && !isRowsFirst)
    {
      if !isRowsFirst, nc > columns, nc >= mc || mc <= rows {
        nc = max(columns, nc / 2)
      } else {
        mc = max(rows, mc / 2)
      }
    }
    // Even shares: 520 rows are three tiles of 174, not 240, 240 and 40.
    tiles.mc = roundUp(count(m, count(m, mc)), rows)
    tiles.nc = roundUp(count(n, count(n, nc)), columns)
    let last = m % tiles.mc
    let beginsWhole = m >= rows && (last == 0 || last >= rows)
    func packing(_ held: Schedule.Operands.Packing, _ isShared: Bool) -> Schedule.Operands.Packing {
      held == .byTask && isShared ? .once : held
    }
    let columnPacking = packing(tiles.operands.columns ?? .byTask, columnsFit && m > tiles.mc)
    switch tiles.operands {
    case .rowsFirst(let lines, _): tiles.operands = .rowsFirst(lines: lines, columns: columnPacking)
    case .columnsFirst(var rows, _):
      if case .packed(let held) = rows { rows = .packed(packing(held, rowsFit && n > tiles.nc)) }
      let isFused =
        columnPacking == .byTask && beginsWhole && tiles.outerRows.isEmpty && tiles.taps == 1 && liesAcross(tiles)
      tiles.operands = .columnsFirst(rows: rows, columns: isFused ? .packedInFirstPass : .packed(columnPacking))
    }
  }

  /// Whether each operand, packed as a whole, is no more than may be shared.
  private func fit(_ tiles: Schedule.Tiles) -> (rows: Bool, columns: Bool) {
    var all = tiles
    all.operands = .columnsFirst(rows: .packed(.once), columns: .packed(.once))
    let layout = ContractionLayout(kernel, all)
    let areUnpacked: Bool = if case .unpacked? = tiles.operands.lines { true } else { false }
    // Copied lines are as long as those of a panel, and a cache line more.
    let copied = layout.rows.batches * layout.rows.panels * tiles.lineBytes * tiles.tile.rows
    let rows = areUnpacked ? 0 : tiles.operands.lines == .copied ? copied : layout.rows.bytes
    return (rows <= Self.sharedBytes, layout.columns.bytes <= Self.sharedBytes)
  }

  /// What a shared operand may take at most.
  private static let sharedBytes = 32 << 20
}
