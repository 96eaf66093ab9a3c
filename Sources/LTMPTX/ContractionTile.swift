internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

/// A contraction in tiles: a block copies a stretch of both operands into shared memory (whatever they are: halves,
/// transposed views, bodies over several loads; the evaluator computes their vectors) while it multiplies the one before;
/// warps keep sums in registers; each warp then passes its sums through shared memory to the stores that follow.
struct ContractionTile {
  let ir: IRBuilder
  let evaluator: Evaluator
  let kernel: FlatKernel
  let emitter: DeviceEmitter
  let tiles: DeviceTiles
  let local: LocalID
  let depthAxes: [Int]
  let sides: (rows: TileOperand, columns: TileOperand)

  init(_ emitter: DeviceEmitter, _ tiles: DeviceTiles) {
    guard case .contract(let local, let over, let lhs, let rhs)? = emitter.kernel.kernel.body.first else {
      preconditionFailure("emit: \(emitter.kernel.kernel.name) has no contraction to tile")
    }
    (ir, evaluator, kernel) = (emitter.ir, emitter.evaluator, emitter.kernel)
    (self.emitter, self.tiles, self.local) = (emitter, tiles, local)
    depthAxes = over.map(\.index)
    let (left, right) = tiles.isSwapped ? (rhs, lhs) : (lhs, rhs)
    sides = (
      TileOperand(left, axes: tiles.rowAxes, size: tiles.rows, depthAxes: depthAxes, tiles, emitter),
      TileOperand(right, axes: tiles.columnAxes, size: tiles.columns, depthAxes: depthAxes, tiles, emitter)
    )
  }

  private var element: DType { kernel.kernel[local].dtype }

  func emit() {
    let thread = ir.threadNumber
    let place = WarpPlace(ir: ir, tiles: tiles, thread: thread)
    let memory = ir.shared(emitter.symbol + ".tile", bytes: sharedBytes)
    let columnMemory = ir.address(memory, ir.i8, ir.index(sides.rows.bytes))
    let (m, n) = (kernel.points(tiles.rowAxes), kernel.points(tiles.columnAxes))
    let (rowTiles, columnTiles) = ((m + tiles.rows - 1) / tiles.rows, (n + tiles.columns - 1) / tiles.columns)
    let block = ir.blockNumber
    let columnStart = ir.multiply(ir.remainder(block, columnTiles), tiles.columns)
    let rowStart = ir.multiply(ir.remainder(ir.divide(block, columnTiles), rowTiles), tiles.rows)
    evaluator.at(emitter.decompose(ir.divide(block, rowTiles * columnTiles), tiles.batchAxes)) {
      let warp = WarpTile(
        ir: ir, tiles: tiles, place: place, rows: (memory, sides.rows.layout, sides.rows.pitch),
        columns: (columnMemory, sides.columns.layout, sides.columns.pitch))
      let sums = accumulate(warp, thread, rowStart, columnStart, memory, columnMemory)
      epilogue(warp, sums, rowStart, columnStart, n, m, memory)
    }
  }

  private var sharedBytes: Int { max(sides.rows.bytes + sides.columns.bytes, slabBytes * tiles.threads / 32) }
  /// Distance between a slab's rows, in elements.
  private var slabPitch: Int { DeviceTiles.slabColumns + 4 }
  private var slabBytes: Int { DeviceTiles.slabRows * slabPitch * element.byteCount }

  /// The sums of this warp's tile over the whole depth.
  private func accumulate(
    _ warp: WarpTile, _ thread: LLVMValueRef, _ rowStart: LLVMValueRef, _ columnStart: LLVMValueRef,
    _ rowMemory: LLVMValueRef, _ columnMemory: LLVMValueRef
  ) -> [LLVMValueRef] {
    let depth = kernel.points(depthAxes)
    func fetch(_ start: LLVMValueRef) -> [LLVMValueRef] {
      sides.rows.fetch(thread, rowStart, depth: start) + sides.columns.fetch(thread, columnStart, depth: start)
    }
    let zeros = warp.zeros
    let rowCount = sides.rows.fetchCount
    let result = ir.loop(
      from: ir.index(0), to: ir.index(depth), step: tiles.depth, carrying: zeros + fetch(ir.index(0))
    ) { start, carried in
      let (sums, fetched) = (Array(carried.prefix(zeros.count)), Array(carried.dropFirst(zeros.count)))
      sides.rows.put(Array(fetched.prefix(rowCount)), thread, into: rowMemory)
      sides.columns.put(Array(fetched.dropFirst(rowCount)), thread, into: columnMemory)
      ir.barrier()
      // The next stretch is on its way while this one is multiplied.
      let next = fetch(ir.add(start, ir.index(tiles.depth)))
      let more = warp.multiply(sums)
      ir.barrier()
      return more + next
    }
    return Array(result.prefix(zeros.count))
  }

  /// Finishes a warp's tile in slabs of 16 rows: its sums become the contraction's local, vector by vector along the
  /// columns, and the stores that follow it run.
  private func epilogue(
    _ warp: WarpTile, _ sums: [LLVMValueRef], _ rowStart: LLVMValueRef, _ columnStart: LLVMValueRef, _ n: Int, _ m: Int,
    _ memory: LLVMValueRef
  ) {
    let slab = ir.address(memory, ir.i8, ir.multiply(warp.place.warp, slabBytes))
    let firstRow = ir.add(rowStart, ir.multiply(warp.place.row, tiles.rowsPerWarp))
    let firstColumn = ir.add(columnStart, ir.multiply(warp.place.column, DeviceTiles.slabColumns))
    let lanes = epilogueLanes
    let perRow = DeviceTiles.slabColumns / lanes
    for number in 0..<tiles.rowsPerWarp / DeviceTiles.slabRows {
      warp.spill(sums, slab: number, into: slab, pitch: slabPitch)
      ir.warpBarrier()
      ir.loop(from: warp.place.lane, to: ir.index(DeviceTiles.slabRows * perRow), step: 32) { unit, _ in
        let (row, column) = (ir.divide(unit, perRow), ir.multiply(ir.remainder(unit, perRow), lanes))
        let source = ir.address(slab, ir.scalar(element), ir.add(ir.multiply(row, slabPitch), column))
        let value = ir.load(ir.vector(ir.scalar(element), lanes), source, align: min(16, lanes * element.byteCount))
        let (i, j) = (
          ir.add(ir.add(firstRow, ir.index(number * DeviceTiles.slabRows)), row), ir.add(firstColumn, column)
        )
        ir.when(ir.both(ir.less(i, ir.index(m)), ir.less(j, ir.index(n)))) { finish(i, j, value, lanes) }
        return []
      }
      ir.warpBarrier()
    }
  }

  private func finish(_ i: LLVMValueRef, _ j: LLVMValueRef, _ sums: LLVMValueRef, _ lanes: Int) {
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    evaluator.at(emitter.decompose(i, tiles.rowAxes)) {
      emitter.at(ir.divide(j, lanes), tiles.columnAxes, lanes: lanes) {
        evaluator.bind(local, Lanes(sums, ir))
        evaluator.store(stores, accesses)
      }
    }
  }

  private var epilogueLanes: Int {
    guard let last = tiles.columnAxes.last else { return 1 }
    return kernel.vectorLanes(last, Array(kernel.kernel.body.indices.dropFirst()))
  }
}

/// Where a thread's warp stands in the block.
struct WarpPlace {
  let lane: LLVMValueRef
  let warp: LLVMValueRef
  /// In the rectangle of warps.
  let row: LLVMValueRef
  let column: LLVMValueRef

  init(ir: IRBuilder, tiles: DeviceTiles, thread: LLVMValueRef) {
    lane = ir.remainder(thread, 32)
    warp = ir.divide(thread, 32)
    row = ir.divide(warp, tiles.warpColumns)
    column = ir.remainder(warp, tiles.warpColumns)
  }
}
