internal import CLLVM
import LTMIR
import LTMKernels

// A contraction after BLIS: a task is a tile of the result; its operands are packed into panels, widening and transposing on
// the way; a micro-kernel keeps a register tile; the tile of sums then passes through the epilogue into narrow storage.
extension KernelEmitter {
  func contraction(_ tiles: Schedule.Tiles, symbol: String) {
    guard case .contract(let local, let over, let lhs, let rhs)? = kernel.kernel.body.first else {
      preconditionFailure("emit: \(kernel.kernel.name) has no contraction to tile")
    }
    let function = ir.function
    let resume = ir.currentBlock
    let kernels = MicroKernel(ir: ir, tiles: tiles).emit(named: symbol + ".tile")
    ir.resume(function, at: resume)
    let packing = Packing(
      ir: ir, evaluator: evaluator, tiles: tiles, depthAxis: over.last?.index ?? 0,
      element: tiles.isDouble ? ir.double : ir.float)
    let panels = TileMemory(tiles, base: scratch, ir)
    let (m, n) = (kernel.extent(tiles.rowAxis), kernel.extent(tiles.columnAxis))
    let (rowTiles, columnTiles) = ((m + tiles.mc - 1) / tiles.mc, (n + tiles.nc - 1) / tiles.nc)
    let batch = kernel.domain.filter { $0 != tiles.rowAxis && $0 != tiles.columnAxis }
    ir.loop(from: firstTask, to: endTask) { task, _ in
      let columnStart = ir.multiply(ir.remainder(task, columnTiles), tiles.nc)
      let rowStart = ir.multiply(ir.remainder(ir.divide(task, columnTiles), rowTiles), tiles.mc)
      let rows = Packing.Side(
        axis: tiles.rowAxis, extent: m, start: rowStart,
        count: ir.minimum(ir.index(tiles.mc), ir.subtract(ir.index(m), rowStart)), panel: tiles.tile.rows)
      let columns = Packing.Side(
        axis: tiles.columnAxis, extent: n, start: columnStart,
        count: ir.minimum(ir.index(tiles.nc), ir.subtract(ir.index(n), columnStart)), panel: tiles.columns)
      evaluator.at(decompose(ir.divide(task, rowTiles * columnTiles), batch)) {
        let (left, right) = tiles.isSwapped ? (rhs, lhs) : (lhs, rhs)
        eachDepthBlock(over.map(\.index), tiles) { depth, count, isFirst in
          packing.pack(right, columns, depth: depth, count: count, into: panels.columns)
          packing.pack(left, rows, depth: depth, count: count, into: panels.rows)
          multiply(kernels, rows, columns, panels, count, isFirst, tiles)
        }
        epilogue(local, rows, columns, panels, tiles)
      }
      return []
    }
  }

  /// Visits the contracted points in blocks of `kc` along the innermost contracted axis.
  private func eachDepthBlock(
    _ over: [Int], _ tiles: Schedule.Tiles,
    _ body: (_ depth: LLVMValueRef, _ count: LLVMValueRef, _ isFirst: LLVMValueRef) -> Void
  ) {
    guard let inner = over.last else { preconditionFailure("emit: contraction over nothing") }
    let extent = kernel.extent(inner)
    _ = nest(over.dropLast()[...], hoisting: []) { _ in
      let isOrigin = over.dropLast().reduce(ir.constant(bits: 1, ir.i1)) { all, axis in
        ir.select(ir.equal(evaluator.index[axis], ir.index(0)), all, ir.constant(bits: 0, ir.i1))
      }
      ir.loop(0..<extent, step: tiles.kc) { depth, _ in
        let count = ir.minimum(ir.index(tiles.kc), ir.subtract(ir.index(extent), depth))
        let isFirst = ir.select(ir.equal(depth, ir.index(0)), isOrigin, ir.constant(bits: 0, ir.i1))
        body(depth, count, isFirst)
        return []
      }
      return []
    }
  }

  /// Runs the micro-kernel over the panels of a tile.
  private func multiply(
    _ kernel: LLVMValueRef, _ rows: Packing.Side, _ columns: Packing.Side, _ memory: TileMemory, _ depth: LLVMValueRef,
    _ isFirst: LLVMValueRef, _ tiles: Schedule.Tiles
  ) {
    let element = tiles.isDouble ? ir.double : ir.float
    let first: LLVMValueRef = LLVMBuildZExt(ir.ref, isFirst, ir.i64, "")
    ir.loop(from: ir.index(0), to: columns.count, step: columns.panel) { j, _ in
      let right = ir.address(memory.columns, element, ir.multiply(j, tiles.kc))
      ir.loop(from: ir.index(0), to: rows.count, step: rows.panel) { i, _ in
        let left = ir.address(memory.rows, element, ir.multiply(i, tiles.kc))
        let result = ir.address(memory.sums, element, ir.add(ir.multiply(i, tiles.rowStride), j))
        _ = ir.call(kernel, [depth, left, right, result, first])
        return []
      }
      return []
    }
  }

  /// Finishes a tile: each row's sums become the contraction's local, and the stores that follow it run.
  private func epilogue(
    _ local: LocalID, _ rows: Packing.Side, _ columns: Packing.Side, _ memory: TileMemory, _ tiles: Schedule.Tiles
  ) {
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    let element = tiles.isDouble ? ir.double : ir.float
    let lanes = tiles.lanes
    let rest = columns.extent % lanes
    let whole = ir.subtract(columns.count, ir.remainder(columns.count, lanes))
    func finish(_ i: LLVMValueRef, _ j: LLVMValueRef, live: Int) {
      let vector = VectorAxis(axis: columns.axis, lanes: lanes, live: live)
      evaluator.at(columns.axis, ir.add(columns.start, j), vector: vector) {
        let place = ir.address(memory.sums, element, ir.add(ir.multiply(i, tiles.rowStride), j))
        let sums = ir.load(ir.vector(element, lanes), place, align: tiles.elementBytes)
        evaluator.bind(local, Lanes(sums, ir))
        evaluator.store(stores, accesses)
      }
    }
    ir.loop(from: ir.index(0), to: rows.count) { i, _ in
      evaluator.at(rows.axis, ir.add(rows.start, i)) {
        evaluator.hoist(stores.map(\.value), outOf: [columns.axis])
        ir.loop(from: ir.index(0), to: whole, step: lanes) { j, _ in
          finish(i, j, live: lanes)
          return []
        }
        if rest != 0 { ir.when(ir.less(whole, columns.count)) { finish(i, whole, live: rest) } }
      }
      return []
    }
  }
}

/// Where a tile's panels and sums lie in a thread's scratch memory.
struct TileMemory {
  let rows: LLVMValueRef
  let columns: LLVMValueRef
  let sums: LLVMValueRef

  init(_ tiles: Schedule.Tiles, base: LLVMValueRef, _ ir: IRBuilder) {
    let columnBytes = roundUp(tiles.nc * tiles.kc * tiles.elementBytes, 64)
    let sumBytes = roundUp(tiles.mc * tiles.rowStride * tiles.elementBytes, 64)
    columns = base
    sums = ir.address(base, ir.i8, ir.index(columnBytes))
    // Last, since packing may write a few elements beyond a panel.
    rows = ir.address(base, ir.i8, ir.index(columnBytes + sumBytes))
  }
}
