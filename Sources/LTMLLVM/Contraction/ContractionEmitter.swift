internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// A contraction after BLIS: operands are packed into panels, widening and transposing on the way; a micro-kernel keeps a
// register tile of sums; a finished tile passes at once through the epilogue into narrow storage. What several tasks need
// is packed once, by tasks of its own that come first; the rest each task packs for itself.
extension KernelEmitter {
  func contraction(_ tiles: Schedule.Tiles, symbol: String) {
    let layout = ContractionLayout(kernel, tiles)
    let (function, resume) = (ir.function, ir.currentBlock)
    let microKernels = MicroKernels(ir: ir, layout: layout, kernel: kernel, symbol: symbol)
    ir.resume(function, at: resume)
    let element = tiles.isDouble ? ir.double : ir.float
    ContractionEmitter(
      emitter: self, layout: layout, microKernels: microKernels, taps: tapOffsets(layout),
      packing: Packing(
        ir: ir, evaluator: evaluator, lanes: tiles.lanes, points: tiles.tile.points,
        stepsTogether: tiles.tile.stepsTogether, element: element),
      memory: PackedMemory(layout, self), element: element
    ).emit()
  }
}

struct ContractionEmitter {
  let emitter: KernelEmitter
  let layout: ContractionLayout
  let microKernels: MicroKernels
  /// Where the lines of each tap begin, in bytes from those of the first; `nil` where there is one.
  let taps: LLVMValueRef?
  let packing: Packing
  let memory: PackedMemory
  let element: LLVMTypeRef

  var ir: IRBuilder { emitter.ir }
  var evaluator: Evaluator { emitter.evaluator }
  var kernel: FlatKernel { emitter.kernel }
  var tiles: Schedule.Tiles { layout.tiles }

  func emit() {
    packShared(layout.rows, memory.rows, tasks: 0..<layout.rows.tasks)
    packShared(layout.columns, memory.columns, tasks: layout.rows.tasks..<layout.preparations)
    let tileEnd = layout.preparations + layout.tileTasks
    emitter.eachTask(layout.preparations..<tileEnd, tile)
    emitter.eachTask(tileEnd..<tileEnd + layout.conclusions) { _ in layout.epilogueReductions.forEach(conclude) }
  }

  // MARK: Packing

  private func packShared(_ side: PackedSide, _ base: LLVMValueRef, tasks: Range<Int>) {
    emitter.eachTask(tasks) { task in
      let batch = ir.divide(task, side.tasksPerBatch)
      let first = ir.multiply(ir.remainder(task, side.tasksPerBatch), side.panelsTogether)
      let end = ir.minimum(ir.add(first, ir.index(side.panelsTogether)), ir.index(side.panels))
      evaluator.at(emitter.decompose(batch, side.batch)) {
        let run = Packing.Run(
          axes: layout.over[...], start: ir.index(0), count: ir.index(kernel.extent(layout.over[0])))
        packing.pack(side, from: first, to: end, run, into: panel(side, base, first, nil))
      }
    }
  }

  /// Where a panel begins, at the depth of a block when panels are as deep as the contraction.
  private func panel(_ side: PackedSide, _ base: LLVMValueRef, _ index: LLVMValueRef, _ block: DepthBlock?)
    -> LLVMValueRef
  {
    guard side.isShared else { return ir.address(base, element, ir.multiply(index, side.stride)) }
    let batch = side.batch.reduce(ir.index(0)) { linear, axis in
      ir.add(ir.multiply(linear, kernel.extent(axis)), evaluator.index[axis])
    }
    let place = ir.multiply(ir.add(ir.multiply(batch, side.panels), index), side.stride)
    guard let block else { return ir.address(base, element, place) }
    return ir.address(base, element, ir.add(place, ir.multiply(block.offset, side.width)))
  }

  // MARK: Tiles

  /// The panels of one side of a tile.
  struct Panels {
    let side: PackedSide
    let base: LLVMValueRef
    /// The tile's number along the side, and its panels.
    let tile: LLVMValueRef
    let first: LLVMValueRef
    let end: LLVMValueRef
  }

  private func panels(_ side: PackedSide, _ base: LLVMValueRef, tile: LLVMValueRef, size: Int) -> Panels {
    let first = ir.multiply(tile, size / side.width)
    let end = ir.minimum(ir.add(first, ir.index(size / side.width)), ir.index(side.panels))
    return Panels(side: side, base: base, tile: tile, first: first, end: end)
  }

  /// A panel of rows: its number among all, and in its line.
  struct RowPanel {
    let number: LLVMValueRef
    let inLine: LLVMValueRef
  }

  /// Runs `body` with the axes of a panel's line at their values.
  private func at(_ number: LLVMValueRef, _ side: PackedSide, _ body: (RowPanel) -> Void) {
    if side.outer.isEmpty { return body(RowPanel(number: number, inLine: number)) }
    let inLine = ir.remainder(number, side.panelsPerLine)
    evaluator.at(emitter.decompose(ir.divide(number, side.panelsPerLine), side.outer)) {
      body(RowPanel(number: number, inLine: inLine))
    }
  }

  private func tile(_ task: LLVMValueRef) {
    let (rowTiles, columnTiles) = (layout.rowTiles, layout.columnTiles)
    let columns = panels(layout.columns, memory.columns, tile: ir.remainder(task, columnTiles), size: tiles.nc)
    let rowTile = ir.remainder(ir.divide(task, columnTiles), rowTiles)
    let rows = panels(layout.rows, memory.rows, tile: rowTile, size: tiles.mc)
    evaluator.at(emitter.decompose(ir.divide(task, rowTiles * columnTiles), layout.batch)) {
      for reduction in layout.epilogueReductions { begin(reduction, task) }
      eachDepthBlock { block in
        let run = depthRun(block)
        if tiles.operands.columns == .byTask {
          packing.pack(columns.side, from: columns.first, to: columns.end, run, into: columns.base)
        }
        if tiles.operands.rows == .byTask {
          packing.pack(rows.side, from: rows.first, to: rows.end, run, into: rows.base)
        }
        multiply(rows, columns, block)
      }
    }
  }

  private func depthRun(_ block: DepthBlock) -> Packing.Run {
    Packing.Run(axes: layout.over[tiles.blockedAxis...], start: block.start, count: block.count)
  }

  /// Points of the contracted axes that are packed and multiplied together.
  struct DepthBlock {
    /// Along the blocked axis.
    let start: LLVMValueRef
    let count: LLVMValueRef
    /// Steps of the micro-kernel in it, and before it.
    let depth: LLVMValueRef
    let offset: LLVMValueRef
    /// `nil`: always.
    let isFirst: LLVMValueRef?
    let isLast: LLVMValueRef?
  }

  /// Steps of the micro-kernel for so many points of the blocked axis.
  private func steps(_ points: LLVMValueRef) -> LLVMValueRef {
    tiles.blockedAxis == layout.over.count - 1
      ? ir.divideUp(points, tiles.tile.points) : ir.multiply(points, layout.steps(from: tiles.blockedAxis + 1))
  }

  private func eachDepthBlock(_ body: (DepthBlock) -> Void) {
    let outer = layout.over[..<tiles.blockedAxis]
    let axis = layout.over[tiles.blockedAxis]
    let (extent, all) = (kernel.extent(axis), layout.steps(from: tiles.blockedAxis))
    if tiles.isSinglePass {
      return body(
        DepthBlock(
          start: ir.index(0), count: ir.index(extent), depth: ir.index(all), offset: ir.index(0), isFirst: nil,
          isLast: nil))
    }
    _ = emitter.nest(outer, hoisting: []) { _ in
      ir.loop(0..<extent, step: tiles.block) { start, _ in
        let count = ir.minimum(ir.index(tiles.block), ir.subtract(ir.index(extent), start))
        let before = outer.reduce(ir.index(0)) { linear, axis in
          ir.add(ir.multiply(linear, kernel.extent(axis)), evaluator.index[axis])
        }
        let offset = ir.add(ir.multiply(before, all), steps(start))
        let depth = steps(count)
        evaluator.scope {
          body(
            DepthBlock(
              start: start, count: count, depth: depth, offset: offset, isFirst: ir.equal(offset, ir.index(0)),
              isLast: ir.equal(ir.add(offset, depth), ir.index(layout.steps(from: 0)))))
        }
        return []
      }
      return []
    }
  }

  /// Runs the micro-kernel over the panels of a tile, and the epilogue over what is finished.
  private func multiply(_ rows: Panels, _ columns: Panels, _ block: DepthBlock) {
    /// A panel that tasks pack for themselves is counted from the tile's first.
    func place(_ part: Panels, _ index: LLVMValueRef) -> LLVMValueRef {
      if tiles.operands.packsInFirstPass, part.side.axis == columns.side.axis { return part.base }
      return panel(part.side, part.base, part.side.isShared ? index : ir.subtract(index, part.first), block)
    }
    func each(_ part: Panels, _ body: (LLVMValueRef) -> Void) {
      ir.loop(from: part.first, to: part.end) { index, _ in
        body(index)
        return []
      }
    }
    func left(_ i: RowPanel) -> LLVMValueRef {
      tiles.operands.lines.map { lines($0, rows, i.inLine, block) } ?? place(rows, i.number)
    }
    if tiles.operands.isRowsFirst {
      // Lines stay in the first cache while all columns pass.
      return each(rows) { i in
        at(i, rows.side) { i in
          let lines = left(i)
          each(columns) { j in multiply(rows, i, lines, columns, j, place(columns, j), block) }
        }
      }
    }
    each(columns) { j in
      let right = place(columns, j)
      let whole = columns.side.extent / columns.side.width
      if tiles.operands.packsInFirstPass, whole < columns.side.panels {
        ir.when(ir.equal(j, ir.index(whole))) {
          packing.pack(columns.side, from: j, to: ir.add(j, ir.index(1)), depthRun(block), into: right)
        }
      }
      each(rows) { i in at(i, rows.side) { i in multiply(rows, i, left(i), columns, j, right, block) } }
    }
  }

  /// The lines of a panel of rows: where they are, or copies.
  private func lines(
    _ lines: Schedule.Operands.Lines, _ rows: Panels, _ index: LLVMValueRef, _ block: DepthBlock
  ) -> LLVMValueRef {
    if lines == .copied {
      packing.copyLines(
        rows.side, index, depthRun(block), lineStride: tiles.lineBytes / tiles.elementBytes, into: rows.base)
      return rows.base
    }
    let side = rows.side
    guard let access = kernel.loads[side.operand.index] else { internalFailure("emission", "rows that are no load") }
    let depth = !tiles.visitsTaps ? [(layout.over[tiles.blockedAxis], block.start)] : []
    return evaluator.at([(side.axis, ir.multiply(index, side.width))] + depth) {
      evaluator.address(access, mayLieOutside: false)
    }
  }

  /// One panel of each.
  private func multiply(
    _ rows: Panels, _ i: RowPanel, _ left: LLVMValueRef, _ columns: Panels, _ j: LLVMValueRef,
    _ right: LLVMValueRef, _ block: DepthBlock
  ) {
    let first: LLVMValueRef = block.isFirst.map { LLVMBuildZExt(ir.ref, $0, ir.i64, "") } ?? ir.index(1)
    var sums = memory.sums
    if !tiles.isSinglePass {
      let row = ir.multiply(ir.subtract(i.number, rows.first), rows.side.width * tiles.rowStride)
      sums = ir.address(sums, element, ir.add(row, ir.multiply(ir.subtract(j, columns.first), tiles.columns)))
    }
    prefetchResults(rows, i, columns, j)
    let next = next(ir.subtract(rows.end, ir.add(i.number, ir.index(1))), columns, j, right, block, otherwise: left)
    let arguments: [LLVMValueRef]
    if let taps {
      let points = kernel.extent(layout.over[layout.over.count - 1])
      let steps = layout.steps(from: layout.over.count - 1)
      arguments = [
        ir.index(steps), left, right, sums, first, ir.index(tiles.lineBytes), next, ir.index(points), taps,
        ir.index(tiles.taps),
      ]
    } else {
      arguments = [block.depth, left, right, sums, first, ir.index(tiles.lineBytes), next, block.count]
    }
    func run() {
      either(j, columns.side, microKernels.whole, microKernels.narrow) { kernels in
        either(i.inLine, rows.side, kernels.whole, kernels.rest) { _ = ir.call($0, arguments) }
      }
    }
    if let packs = microKernels.first, let source = kernel.columnSource(tiles)?.access {
      let isWhole = ir.less(j, ir.index(columns.side.extent / columns.side.width))
      let isFirst = ir.select(isWhole, ir.equal(i.number, rows.first), ir.constant(bits: 0, ir.i1))
      ir.when(isFirst) {
        let place = address(source, columns, j, block)
        _ = ir.call(packs, arguments + [place, ir.index(source.form.strides[layout.over[0]])])
      }
      ir.when(LLVMBuildNot(ir.ref, isFirst, ""), run)
    } else {
      run()
    }
    if let isLast = block.isLast {
      ir.when(isLast) { finish(rows, i, columns, j, sums) }
    } else {
      finish(rows, i, columns, j, sums)
    }
  }

  /// Where a panel of columns lies before it is packed. It may lie outside.
  func address(_ source: FlatAccess, _ columns: Panels, _ j: LLVMValueRef, _ block: DepthBlock) -> LLVMValueRef {
    let place = [(columns.side.axis, ir.multiply(j, columns.side.width)), (layout.over[0], block.start)]
    return evaluator.at(place) { evaluator.address(source, mayLieOutside: true) }
  }

  /// Runs `body` with what serves a whole panel or the last, shorter one; `nil` where there is none of the kind.
  func either<T>(_ panel: LLVMValueRef, _ side: PackedSide, _ whole: T?, _ rest: T?, _ body: (T) -> Void) {
    guard let whole, let rest else {
      if let only = whole ?? rest { body(only) }
      return
    }
    let isWhole = ir.less(panel, ir.index(side.extent / side.width))
    ir.when(isWhole) { body(whole) }
    ir.when(LLVMBuildNot(ir.ref, isWhole, "")) { body(rest) }
  }
}
