import LTMIR
import LTMKernels
import LTMLLVM

/// How an operand's K-stage lies in shared memory.
enum TileLayout: Hashable, Sendable {
  /// `[row][depth]`, lines padded so that neighbours fall on other banks.
  case rowMajor
  /// `[depth][row]`, padded.
  case depthMajor
  /// `[row][64 deep]` for `wgmma`: lines of 128 bytes, whose 16-byte pieces change places from line to line.
  case rowMajorSwizzled
  /// `[64 rows][depth][64 rows]` for `wgmma`: the same with lines along the rows.
  case depthMajorSwizzled

  /// Whether neighbours along the depth are neighbours in memory.
  var runsAlongDepth: Bool {
    switch self {
    case .rowMajor, .rowMajorSwizzled: true
    case .depthMajor, .depthMajorSwizzled: false
    }
  }
}

/// How one operand's K-stage of `size` rows (or columns) by `depth` comes to shared memory, and lies there.
struct TileSide: Hashable, Sendable {
  var size: Int
  var depth: Int
  var element: DType
  var layout: TileLayout
  /// Whether a thread's vectors run along the contracted axes.
  var runsAlongDepth: Bool
  /// Elements of a vector.
  var lanes: Int
  /// From global memory by `cp.async`, past the registers: vectors of 16 bytes of what is loaded as it is.
  var isCopied: Bool

  /// Distance in elements between lines in shared memory.
  var pitch: Int {
    switch layout {
    case .rowMajor: depth + 16 / element.byteCount
    case .depthMajor: size + 16 / element.byteCount
    case .rowMajorSwizzled, .depthMajorSwizzled: 64
    }
  }

  /// Bytes of a K-stage.
  var bytes: Int {
    switch layout {
    case .rowMajor: size * pitch * element.byteCount
    case .depthMajor: depth * pitch * element.byteCount
    case .rowMajorSwizzled, .depthMajorSwizzled: size * depth * element.byteCount
    }
  }
}

/// A block's tile of a contraction: `rows` by `columns`, `depth` at a time, shared by warps in a rectangle.
struct DeviceTiles: Hashable, Sendable {
  var multiply: Multiply
  var rows: Int
  var columns: Int
  var depth: Int
  var warpRows: Int
  var warpColumns: Int
  /// K-stages in shared memory at a time.
  var stages: Int
  var rowAxes: [Int] = []
  var columnAxes: [Int] = []
  var batchAxes: [Int] = []
  /// The operands stand as `rhs`, `lhs`.
  var isSwapped = false
  /// How the rows' and the columns' operand come to shared memory.
  var sides: [TileSide] = []

  init(_ multiply: Multiply, _ rows: Int, _ columns: Int, _ depth: Int, warps: (Int, Int), stages: Int) {
    (self.multiply, self.rows, self.columns, self.depth, self.stages) = (multiply, rows, columns, depth, stages)
    (warpRows, warpColumns) = warps
  }

  var threads: Int { warpRows * warpColumns * 32 }
  /// Rows of the tile that a warp makes: a multiple of 16.
  var rowsPerWarp: Int { rows / warpRows }
  /// Columns that a warp makes: a multiple of ``slabColumns``.
  var columnsPerWarp: Int { columns / warpColumns }
  /// Bytes of one K-stage of both operands.
  var stageBytes: Int { sides.reduce(0) { $0 + $1.bytes } }
  /// Bytes of a warp's part of the result on its way to the stores.
  var slabBytes: Int { Self.slabRows * Self.slabPitch * max(4, multiply.element.byteCount) }
  var sharedBytes: Int { max(stages * stageBytes, warpRows * warpColumns * slabBytes) }
  /// Registers of a thread that hold vectors on their way to shared memory.
  var carriedWords: Int {
    sides.filter { !$0.isCopied }.reduce(0) { words, side in
      let vectors = side.size * side.depth / side.lanes / threads
      return words + vectors * max(1, side.lanes * side.element.byteCount / 4)
    }
  }
  /// Whether any operand comes by `cp.async`.
  var copies: Bool { sides.contains { $0.isCopied } }

  var summary: String {
    let pipeline = "stages=\(stages)" + (copies ? " cp.async=\(sides.count { $0.isCopied })" : "")
    return "contraction \(multiply.name) tile=\(rows)x\(columns)x\(depth) warps=\(warpRows)x\(warpColumns) \(pipeline)"
  }

  static let slabRows = 16
  static let slabColumns = 32
  /// Distance between a slab's rows, in elements.
  static let slabPitch = slabColumns + 4

  /// The tiles to choose from, the largest first, each with the fewest tiles of work that make it worth while.
  static func table(_ multiply: Multiply) -> [(tiles: DeviceTiles, worth: Int)] {
    switch multiply {
    case .wgmma:
      [
        (DeviceTiles(multiply, 128, 256, 64, warps: (8, 1), stages: 4), 96),
        (DeviceTiles(multiply, 128, 128, 64, warps: (8, 1), stages: 4), 64),
        (DeviceTiles(multiply, 64, 64, 64, warps: (4, 1), stages: 4), 0),
      ]
    case .mma16816:
      [
        (DeviceTiles(multiply, 128, 128, 32, warps: (2, 4), stages: 4), 64),
        (DeviceTiles(multiply, 64, 64, 32, warps: (2, 2), stages: 4), 0),
      ]
    case .mma884:
      [
        (DeviceTiles(multiply, 128, 64, 32, warps: (8, 2), stages: 2), 64),
        (DeviceTiles(multiply, 64, 64, 32, warps: (4, 2), stages: 2), 0),
      ]
    case .scalar(.f64): [(DeviceTiles(multiply, 64, 64, 16, warps: (4, 2), stages: 2), 0)]
    case .scalar:
      [
        (DeviceTiles(multiply, 128, 128, 16, warps: (2, 4), stages: 2), 64),
        (DeviceTiles(multiply, 64, 64, 16, warps: (4, 2), stages: 2), 0),
      ]
    }
  }

  /// The side of one operand: vectors along the axis that more of its loads walk contiguously.
  func side(_ operand: ScalarID, axes: [Int], size: Int, depthAxes: [Int], _ kernel: FlatKernel, copies: Bool)
    -> TileSide
  {
    let (row, inner) = (axes[axes.count - 1], depthAxes[depthAxes.count - 1])
    let accesses = kernel.closure(of: [operand]).compactMap { kernel.loads[$0] }
    let stray = { (axis: Int) in accesses.filter { !(0...1 ~= $0.form.strides[axis]) }.count }
    let runsAlongDepth = stray(inner) <= stray(row)
    var lanes = kernel.vectorLanes(runsAlongDepth ? inner : row, [operand])
    // Every thread has the same number of vectors.
    while size * depth / lanes % threads != 0 { lanes /= 2 }
    let layout: TileLayout =
      switch multiply {
      case .wgmma: runsAlongDepth ? .rowMajorSwizzled : .depthMajorSwizzled
      case .mma16816: runsAlongDepth ? .rowMajor : .depthMajor
      case .mma884: .rowMajor
      case .scalar: .depthMajor
      }
    var side = TileSide(
      size: size, depth: depth, element: multiply.element, layout: layout, runsAlongDepth: runsAlongDepth, lanes: lanes,
      isCopied: false)
    side.isCopied =
      copies && runsAlongDepth == layout.runsAlongDepth
      && kernel.isCopyable(operand, as: side, along: runsAlongDepth ? inner : row)
    return side
  }
}

extension FlatKernel {
  /// Whether an operand is a load whose vectors are 16 bytes at multiples of 16.
  fileprivate func isCopyable(_ operand: ScalarID, as side: TileSide, along axis: Int) -> Bool {
    guard let access = loads[operand.index], kernel[access.buffer].dtype == side.element,
      kernel[access.buffer].isAligned,
      side.lanes * side.element.byteCount == 16, access.guards.isEmpty, access.dynamic.isEmpty,
      access.form.strides[axis] == 1, access.form.offset % side.lanes == 0
    else { return false }
    return access.form.strides.enumerated().allSatisfy { $0.offset == axis || $0.element % side.lanes == 0 }
  }
}
