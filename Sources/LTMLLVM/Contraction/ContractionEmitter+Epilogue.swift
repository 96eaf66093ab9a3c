internal import CLLVM
import LTMKernels

// What happens to a finished register tile: its sums become the contraction's local, and the stores that follow it run.
extension ContractionEmitter {
  /// Prefetches the result's lines of a register tile while the micro-kernel computes it.
  func prefetchResults(_ rows: Panels, _ i: RowPanel, _ columns: Panels, _ j: LLVMValueRef) {
    guard ir.profile.architecture == .x86_64, tiles.isSinglePass, !tiles.operands.isRowsFirst else { return }
    let row = ir.multiply(i.inLine, rows.side.width)
    ir.loop(0..<rows.side.width) { r, _ in
      evaluator.at([(rows.side.axis, ir.add(row, r)), (columns.side.axis, ir.multiply(j, columns.side.width))]) {
        for access in kernel.stores.joined() {
          evaluator.prefetchResult(access, columns.side.width, along: columns.side.axis)
        }
      }
      return []
    }
    prefetchColumns(rows, i.number, columns, j)
  }

  /// What is prefetched into the second cache while a panel of rows is multiplied that so many others follow: a part of the next panel of
  /// columns where those follow each other in memory, prepacked or in lines along the depth. Prefetched by the last rows only, it
  /// is still there afterwards.
  func next(
    _ others: LLVMValueRef, _ columns: Panels, _ j: LLVMValueRef, _ right: LLVMValueRef, _ block: DepthBlock,
    otherwise: LLVMValueRef
  ) -> LLVMValueRef {
    let side = columns.side
    guard tiles.isSinglePass, !tiles.operands.isRowsFirst, ir.profile.vectorBytes == 64 else { return otherwise }
    let (base, bytes): (LLVMValueRef, Int)
    if tiles.operands.columns == .prepacked {
      base = ir.address(right, element, ir.index(side.stride), mayLieOutside: true)
      bytes = side.stride * side.elementBytes
    } else if let access = kernel.loads[side.operand.index], layout.over.count == 1, access.dynamic.isEmpty,
      access.form.strides[layout.over[0]] == 1, access.form.strides[side.axis] == kernel.extent(layout.over[0])
    {
      base = address(access, columns, ir.add(j, ir.index(1)), block)
      bytes = side.width * access.form.strides[side.axis] * kernel.kernel[access.buffer].dtype.byteCount
    } else {
      return otherwise
    }
    // A line for each step of the micro-kernel.
    let offset = ir.multiply(others, tiles.steps * 64)
    return ir.select(ir.less(offset, ir.index(bytes)), ir.address(base, ir.i8, offset, mayLieOutside: true), otherwise)
  }

  /// Prefetches into the second cache a share of the columns that are packed next, each panel of rows for its own.
  private func prefetchColumns(_ rows: Panels, _ i: LLVMValueRef, _ columns: Panels, _ j: LLVMValueRef) {
    let axis = layout.over[0]
    guard layout.over.count == 1, tiles.operands.columns == .byTask,
      !packing.runsAlongDepth(columns.side, axis)
    else { return }
    let panels = (tiles.mc + rows.side.width - 1) / rows.side.width
    let share = (kernel.extent(axis) + panels - 1) / panels
    let start = ir.multiply(ir.subtract(i, rows.first), share)
    let next = ir.multiply(ir.add(j, ir.index(1)), columns.side.width)
    ir.loop(0..<share) { k, _ in
      evaluator.at([(axis, ir.add(start, k)), (columns.side.axis, next)]) {
        evaluator.prefetch(columns.side.operand, elements: columns.side.width)
      }
      return []
    }
  }

  /// Finishes a register tile: each row's sums become the contraction's local, and the stores that follow it run.
  func finish(_ rowPanels: Panels, _ i: RowPanel, _ columnPanels: Panels, _ j: LLVMValueRef, _ sums: LLVMValueRef) {
    let (rows, columns) = (layout.rows, layout.columns)
    let (row, column) = (ir.multiply(i.inLine, rows.width), ir.multiply(j, columns.width))
    let count = ir.minimum(ir.index(rows.width), ir.subtract(ir.index(rows.extent), row))
    let rest = columns.extent % columns.width
    let places = reductionPlaces(rowPanels, i.number, columnPanels, j)
    either(j, columns, columns.extent >= columns.width ? columns.width : nil, rest == 0 ? nil : rest) { live in
      let lanes = finishedLanes(live: live)
      let starts = Array(stride(from: 0, to: live, by: lanes))
      for vectors in tiles.isTransposed ? starts.map({ [$0] }) : [starts] {
        let epilogueReductions = runningReductions(places, vectors, lanes)
        let combined = ir.loop(from: ir.index(0), to: count, carrying: epilogueReductions.map(\.start)) { r, held in
          evaluator.at(rows.axis, ir.add(row, r)) {
            let line = ir.address(sums, element, ir.multiply(r, tiles.rowStride))
            var run = ReductionRun(row: r, epilogueReductions: epilogueReductions, places: places, held: held)
            finishRow(line, column, vectors, lanes, live: live, &run)
            return run.held
          }
        }
        for (reduction, value) in zip(epilogueReductions, combined) { add(value, to: reduction) }
      }
    }
  }

  /// The lanes of a transposed result go to as many lines. Those whole or half pages apart share one or two sets of the first
  /// cache, of eight lines each: so few at a time that the rows fill them before the next ones push them out.
  func finishedLanes(live: Int) -> Int {
    guard tiles.isTransposed else {
      // Vectors that are narrowed together share the test for subnormal numbers.
      let isTested =
        ir.profile.convertsBF16 && ir.profile.architecture == .x86_64
        && kernel.stores.joined().contains { kernel.kernel[$0.buffer].dtype == .bf16 }
      return isTested && layout.epilogueReductions.isEmpty && live > tiles.lanes ? tiles.columns : tiles.lanes
    }
    let distances = kernel.stores.joined().map {
      $0.form.strides[tiles.columnAxis] * kernel.kernel[$0.buffer].dtype.byteCount
    }
    let most = distances.contains { $0 % 4096 == 0 } ? 4 : distances.contains { $0 % 2048 == 0 } ? 8 : 16
    return min(tiles.lanes, most)
  }

  private func finishRow(
    _ sums: LLVMValueRef, _ column: LLVMValueRef, _ vectors: [Int], _ lanes: Int, live: Int, _ run: inout ReductionRun
  ) {
    guard case .contraction(let local, _, _, _) = kernel.kernel.form else { return }
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    evaluator.hoist(stores.map(\.value) + layout.epilogueReductions.map(\.value), outOf: [tiles.columnAxis])
    for start in vectors {
      var vector = VectorAxis(axis: tiles.columnAxis, lanes: lanes, live: min(lanes, live - start))
      vector.isAligned = true
      evaluator.at(tiles.columnAxis, ir.add(column, ir.index(start)), vector: vector) {
        let place = ir.address(sums, element, ir.index(start))
        evaluator.bind(local, Lanes(ir.load(ir.vector(element, lanes), place, align: tiles.elementBytes), ir))
        // Before the stores: these may replace what an epilogue reduction reads.
        reduce(start, vector, &run)
        evaluator.store(stores, accesses)
      }
    }
  }
}
