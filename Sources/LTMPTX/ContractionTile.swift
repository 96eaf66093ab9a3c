internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport

/// A contraction in tiles: a block keeps a few K-stages of both operands in shared memory (whatever they are: halves,
/// transposed views, bodies over several loads), the next ones on their way while it multiplies one; warps keep sums in
/// registers; each warp then passes its sums through shared memory to the stores that follow.
struct ContractionTile {
  let ir: IRBuilder
  let evaluator: Evaluator
  let kernel: FlatKernel
  let emitter: DeviceEmitter
  let tiles: DeviceTiles
  let local: LocalID
  let depthAxes: [Int]
  let sides: [TileOperand]

  init(_ emitter: DeviceEmitter, _ tiles: DeviceTiles) {
    guard case .contraction(let local, let over, let lhs, let rhs) = emitter.kernel.kernel.form else {
      internalFailure("emission", "\(emitter.kernel.kernel.name) has no contraction to tile")
    }
    (ir, evaluator, kernel) = (emitter.ir, emitter.evaluator, emitter.kernel)
    (self.emitter, self.tiles, self.local) = (emitter, tiles, local)
    let depthAxes = over.map(\.index)
    self.depthAxes = depthAxes
    let operands = tiles.isSwapped ? [rhs, lhs] : [lhs, rhs]
    sides = zip(zip(operands, [tiles.rowAxes, tiles.columnAxes]), tiles.sides).map { operand, side in
      TileOperand(
        ir: emitter.ir, emitter: emitter, operand: operand.0, axes: operand.1, depthAxes: depthAxes, side: side,
        threads: tiles.threads)
    }
  }

  private var element: DType { kernel.kernel[local].dtype }

  func emit() {
    let thread = ir.threadNumber
    let memory = ir.dynamicMemory
    let (m, n) = (kernel.points(tiles.rowAxes), kernel.points(tiles.columnAxes))
    let (rowTiles, columnTiles) = ((m + tiles.rows - 1) / tiles.rows, (n + tiles.columns - 1) / tiles.columns)
    let block = ir.blockNumber
    let (rowTile, columnTile) = place(ir.remainder(block, rowTiles * columnTiles), rowTiles, columnTiles)
    let (rowStart, columnStart) = (ir.multiply(rowTile, tiles.rows), ir.multiply(columnTile, tiles.columns))
    evaluator.at(emitter.decompose(ir.divide(block, rowTiles * columnTiles), tiles.batchAxes)) {
      let warp = WarpTile(ir: ir, tiles: tiles, place: WarpPlace(ir: ir, tiles: tiles, thread: thread))
      let sums = accumulate(warp, thread, [rowStart, columnStart], memory)
      ir.barrier()
      epilogue(warp, sums, rowStart, columnStart, n, m, memory)
    }
  }

  /// The tile that a block makes: blocks that run at the same time share a few rows and columns of tiles, which then stay
  /// in the cache of all.
  private func place(_ block: LLVMValueRef, _ rowTiles: Int, _ columnTiles: Int) -> (LLVMValueRef, LLVMValueRef) {
    let group = [8, 4, 2].first { rowTiles % $0 == 0 } ?? 1
    let (number, within) = (ir.divide(block, group * columnTiles), ir.remainder(block, group * columnTiles))
    return (ir.add(ir.multiply(number, group), ir.remainder(within, group)), ir.divide(within, group))
  }

  // MARK: The pipeline

  /// K-stages on their way while one is multiplied. Where products are asynchronous, those of the K-stage before may
  /// still be read.
  private var ahead: Int { tiles.multiply.isAsynchronous ? tiles.stages - 2 : tiles.stages - 1 }

  /// The sums of this warp's tile over the whole depth.
  private func accumulate(
    _ warp: WarpTile, _ thread: LLVMValueRef, _ starts: [LLVMValueRef], _ memory: LLVMValueRef
  ) -> [LLVMValueRef] {
    let count = (kernel.points(depthAxes) + tiles.depth - 1) / tiles.depth
    for kStage in 0..<ahead {
      if kStage < count {
        let (stage, start) = (self.stage(ir.index(kStage), memory), ir.index(kStage * tiles.depth))
        copy(thread, starts, start, into: stage)
        put(fetch(thread, starts, start), thread, into: stage)
      }
      if tiles.copies { ir.commitCopies() }
    }
    let result = ir.loop(0..<count, carrying: [ir.index(0)] + warp.zeros) { number, carried in
      if tiles.copies { ir.waitForCopies(left: ahead - 1) }
      if tiles.multiply.isAsynchronous { ir.fenceAsynchronousReads() }
      ir.barrier()
      let next = ir.add(number, ir.index(ahead))
      let (isWanted, start) = (ir.less(next, ir.index(count)), ir.multiply(next, tiles.depth))
      let target = stage(wrapped(ir.add(carried[0], ir.index(ahead))), memory)
      if tiles.copies {
        ir.when(isWanted) { copy(thread, starts, start, into: target) }
        ir.commitCopies()
      }
      // What goes through registers is on its way while this K-stage is multiplied.
      let fetched = fetch(thread, starts, start, where: isWanted)
      let sums = warp.multiply(Array(carried.dropFirst()), in: stage(carried[0], memory))
      put(fetched, thread, into: target)
      return [wrapped(ir.add(carried[0], ir.index(1)))] + sums
    }
    if tiles.multiply.isAsynchronous { ir.waitForProducts(left: 0) }
    return Array(result.dropFirst())
  }

  private func wrapped(_ stage: LLVMValueRef) -> LLVMValueRef {
    let count = ir.index(tiles.stages)
    return ir.select(ir.less(stage, count), stage, ir.subtract(stage, count))
  }

  private func stage(_ number: LLVMValueRef, _ memory: LLVMValueRef) -> LLVMValueRef {
    ir.address(memory, ir.i8, ir.multiply(number, tiles.stageBytes))
  }

  private func columnMemory(_ stage: LLVMValueRef) -> LLVMValueRef {
    ir.address(stage, ir.i8, ir.index(tiles.sides[0].bytes))
  }

  private func copy(
    _ thread: LLVMValueRef, _ starts: [LLVMValueRef], _ depth: LLVMValueRef, into stage: LLVMValueRef
  ) {
    for (side, (start, memory)) in zip(sides, zip(starts, [stage, columnMemory(stage)])) {
      side.copy(thread, start, depth: depth, into: memory)
    }
  }

  private func fetch(
    _ thread: LLVMValueRef, _ starts: [LLVMValueRef], _ depth: LLVMValueRef, where isWanted: LLVMValueRef? = nil
  ) -> [[LLVMValueRef]] {
    zip(sides, starts).map { side, start in side.fetch(thread, start, depth: depth, where: isWanted) }
  }

  private func put(_ fetched: [[LLVMValueRef]], _ thread: LLVMValueRef, into stage: LLVMValueRef) {
    for (side, (vectors, memory)) in zip(sides, zip(fetched, [stage, columnMemory(stage)])) {
      side.put(vectors, thread, into: memory)
    }
  }

  // MARK: The epilogue

  /// Finishes a warp's tile in slabs of 16 rows by 32 columns: its sums become the contraction's local, vector by vector
  /// along the columns, and the stores that follow it run.
  private func epilogue(
    _ warp: WarpTile, _ sums: [LLVMValueRef], _ rowStart: LLVMValueRef, _ columnStart: LLVMValueRef, _ n: Int, _ m: Int,
    _ memory: LLVMValueRef
  ) {
    let slab = ir.address(memory, ir.i8, ir.multiply(warp.place.warp, tiles.slabBytes))
    let firstRow = ir.add(rowStart, ir.multiply(warp.place.row, tiles.rowsPerWarp))
    let firstColumn = ir.add(columnStart, ir.multiply(warp.place.column, tiles.columnsPerWarp))
    let lanes = epilogueLanes
    let perRow = DeviceTiles.slabColumns / lanes
    for (number, place) in warp.slabs.enumerated() {
      warp.spill(sums, slab: number, into: slab)
      ir.warpBarrier()
      ir.loop(from: warp.place.lane, to: ir.index(DeviceTiles.slabRows * perRow), step: 32) { unit, _ in
        let (row, column) = (ir.divide(unit, perRow), ir.multiply(ir.remainder(unit, perRow), lanes))
        let offset = ir.add(ir.multiply(row, DeviceTiles.slabPitch), column)
        let source = ir.address(slab, ir.scalar(element), offset)
        let value = ir.load(ir.vector(ir.scalar(element), lanes), source, align: min(16, lanes * element.byteCount))
        let i = ir.add(ir.add(firstRow, ir.index(place.row)), row)
        let j = ir.add(ir.add(firstColumn, ir.index(place.column)), column)
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
