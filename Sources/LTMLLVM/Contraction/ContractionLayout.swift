internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// An operand of a contraction as it is packed: `[batch][panel][depth][width]`, the last panel filled up with zeros. An
/// element is one contracted point's, or two of bf16.
struct PackedSide {
  let operand: ScalarID
  let axis: Int
  let extent: Int
  /// Axes before that one which the side has too, and their points: lines of `extent` elements, each of panels of its own.
  let outer: [Int]
  let lines: Int
  /// The width of a panel.
  let width: Int
  /// Packed once, as a whole, or block by block by each task.
  let isShared: Bool
  /// The other axes of the domain that the operand depends on.
  let batch: [Int]
  let batches: Int
  /// Panels in a packing task when shared, in a tile otherwise.
  let panelsTogether: Int
  /// Elements from one panel to the next: what the last vector writes beyond it included, and no power of two. 0 where
  /// nothing is packed.
  let stride: Int
  /// Panels whose vectors can be read whole.
  let roomyPanels: Int
  let elementBytes: Int

  var panelsPerLine: Int { (extent + width - 1) / width }
  var panels: Int { lines * panelsPerLine }
  /// Its elements, those that fill up the panels of several lines included.
  var whole: Int { outer.isEmpty ? extent : panels * width }
  var tasksPerBatch: Int { (panels + panelsTogether - 1) / panelsTogether }
  var tasks: Int { isShared ? batches * tasksPerBatch : 0 }
  var bytes: Int { roundUp((isShared ? batches * panels : panelsTogether) * stride * elementBytes, 64) }
}

/// Where a contraction's packed operands and sums lie, and how its tasks are numbered: those that pack rows, those that
/// pack columns, the tiles.
struct ContractionLayout {
  let tiles: Schedule.Tiles
  /// The contracted axes, and their extents.
  let over: [Int]
  private let extents: [Int]
  /// The domain's axes apart from rows and columns.
  let batch: [Int]
  let rows: PackedSide
  let columns: PackedSide
  let tileTasks: Int
  private(set) var epilogueReductions: [EpilogueReduction] = []

  init(_ kernel: FlatKernel, _ tiles: Schedule.Tiles) {
    guard case .contraction(_, let over, let lhs, let rhs) = kernel.kernel.form else {
      internalFailure("emission", "\(kernel.kernel.name) has no contraction to tile")
    }
    self.tiles = tiles
    self.over = over.map(\.index)
    extents = over.map { kernel.extent($0.index) }
    let depth = roundUp(tiles.tile.steps(extents), tiles.tile.stepsTogether)
    let batch = kernel.domain.filter {
      $0 != tiles.rowAxis && $0 != tiles.columnAxis && !tiles.outerRows.contains($0)
    }
    self.batch = batch
    func side(
      _ operand: ScalarID, _ axis: Int, width: Int, _ packing: Schedule.Operands.Packing?, tile: Int,
      stride: Int? = nil
    ) -> PackedSide {
      let isShared = packing == .once || packing == .prepacked
      let extent = kernel.extent(axis)
      let outer = axis == tiles.rowAxis ? tiles.outerRows : []
      let own = batch.filter(kernel.dependencies[operand.index].contains)
      let padded = roundUp(width, tiles.lanes)
      return PackedSide(
        operand: operand, axis: axis, extent: extent, outer: outer, lines: kernel.points(outer), width: width,
        isShared: isShared, batch: own,
        batches: kernel.points(own), panelsTogether: isShared ? max(4, 32_768 / (depth * width)) : tile / width,
        stride: stride ?? roundUp((isShared ? depth : tiles.steps) * width + padded - width, 16) + 16,
        roomyPanels: extent < padded ? 0 : (extent - padded) / width + 1, elementBytes: tiles.elementBytes)
    }
    let lines: Int? =
      switch tiles.operands.lines {
      case nil: nil
      case .copied: tiles.lineBytes / tiles.elementBytes * tiles.tile.rows
      case .unpacked: 0
      }
    rows = side(
      tiles.isSwapped ? rhs : lhs, tiles.rowAxis, width: tiles.tile.rows, tiles.operands.rows,
      tile: lines == nil ? tiles.mc : tiles.tile.rows, stride: lines)
    columns = side(
      tiles.isSwapped ? lhs : rhs, tiles.columnAxis, width: tiles.columns, tiles.operands.columns,
      tile: tiles.operands.packsInFirstPass ? tiles.columns : tiles.nc)
    tileTasks = kernel.points(batch) * Self.count(rows.whole, tiles.mc) * Self.count(columns.whole, tiles.nc)
    epilogueReductions = EpilogueReduction.all(kernel, self)
  }

  /// Steps of the micro-kernel for the contracted axes from one of them on.
  func steps(from axis: Int) -> Int { tiles.tile.steps(Array(extents[axis...])) }

  private static func count(_ extent: Int, _ size: Int) -> Int { size == 0 ? 0 : (extent + size - 1) / size }
  var rowTiles: Int { Self.count(rows.whole, tiles.mc) }
  var columnTiles: Int { Self.count(columns.whole, tiles.nc) }

  var preparations: Int { rows.tasks + columns.tasks }
  var prepackPhases: Range<Int> {
    let (keepsRows, keepsColumns) = (tiles.operands.rows == .prepacked, tiles.operands.columns == .prepacked)
    if !keepsRows && !keepsColumns { return 0..<0 }
    return (keepsRows ? 0 : rows.tasks)..<(keepsColumns ? preparations : rows.tasks)
  }
  /// One task combines what tiles have of the epilogue reductions: so little that others need not be woken for it.
  var conclusions: Int { epilogueReductions.isEmpty ? 0 : 1 }
  /// The workspace: what is packed for all tasks, then what each tile has of the epilogue reductions.
  var packedBytes: Int { (rows.isShared ? rows.bytes : 0) + (columns.isShared ? columns.bytes : 0) }
  var workspaceBytes: Int { packedBytes + epilogueReductions.reduce(0) { $0 + $1.bytes } }

  /// The scratch memory of a thread: sums, then the panels that tasks pack for themselves.
  var sumBytes: Int {
    roundUp((tiles.isSinglePass ? tiles.tile.rows : tiles.mc) * tiles.rowStride * tiles.elementBytes, 64)
  }
  var scratchBytes: Int { sumBytes + (rows.isShared ? 0 : rows.bytes) + (columns.isShared ? 0 : columns.bytes) }
}

/// Where the packed operands and the sums of the task at hand lie.
struct PackedMemory {
  let rows: LLVMValueRef
  let columns: LLVMValueRef
  let sums: LLVMValueRef

  init(_ layout: ContractionLayout, _ emitter: KernelEmitter) {
    let ir = emitter.ir
    var own = layout.sumBytes
    var shared = 0
    func place(_ side: PackedSide) -> LLVMValueRef {
      let offset = side.isShared ? shared : own
      if side.isShared { shared += side.bytes } else { own += side.bytes }
      return ir.address(side.isShared ? emitter.workspace : emitter.scratch, ir.i8, ir.index(offset))
    }
    sums = emitter.scratch
    columns = place(layout.columns)
    rows = place(layout.rows)
  }
}
