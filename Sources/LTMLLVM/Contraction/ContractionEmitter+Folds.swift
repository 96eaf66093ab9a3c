internal import CLLVM
import LTMIR
import LTMKernels

// Reductions of a contraction's result: a register tile is combined in registers, then with what its tile has in the
// workspace, and the tiles at last with each other.

/// A fold within a register tile: one vector for all of it, or one for each vector of columns.
struct RunningFold {
  /// In the layout.
  let number: Int
  /// The column that its vector begins at; `nil` where it takes all.
  let column: Int?
  /// What it begins with, and where the result goes.
  let start: LLVMValueRef
  let address: LLVMValueRef
}

/// The folds at a row of a register tile.
struct FoldRun {
  let row: LLVMValueRef
  let folds: [RunningFold]
  /// Where the register tile's part of each fold of the layout begins.
  let places: [LLVMValueRef]
  var held: [LLVMValueRef]
}

extension ContractionEmitter {
  // MARK: Numbers

  private func type(_ fold: TileFold) -> LLVMTypeRef { fold.dtype == .bool ? ir.i32 : ir.scalar(fold.dtype) }

  private func accumulated(_ value: Lanes, _ fold: TileFold) -> Lanes {
    guard fold.dtype == .bool else { return value }
    return Lanes(LLVMBuildSExt(ir.ref, value.ref, ir.vector(ir.i32, value.count), ""), ir)
  }

  private func identity(_ fold: TileFold, _ lanes: Int) -> Lanes {
    accumulated(Lanes(ir.identity(fold.combiner, fold.dtype, lanes: lanes), ir), fold)
  }

  private func combine(_ fold: TileFold, _ a: Lanes, _ b: Lanes) -> Lanes {
    ir.combine(fold.combiner, a, b, fold.dtype)
  }

  private func load(_ fold: TileFold, _ address: LLVMValueRef, _ lanes: Int) -> Lanes {
    Lanes(ir.load(ir.vector(type(fold), lanes), address, align: fold.elementBytes), ir)
  }

  private func add(_ value: Lanes, _ fold: TileFold, to address: LLVMValueRef) {
    ir.store(combine(fold, load(fold, address, value.count), value).ref, address, align: fold.elementBytes)
  }

  private func parts(_ fold: TileFold) -> LLVMValueRef { ir.address(emitter.workspace, ir.i8, ir.index(fold.offset)) }

  // MARK: Tiles

  /// A tile's part, before any of its elements.
  func begin(_ fold: TileFold, _ task: LLVMValueRef) {
    let part = ir.address(parts(fold), type(fold), ir.multiply(task, fold.stride))
    ir.loop(0..<fold.stride, step: tiles.lanes) { element, _ in
      ir.store(identity(fold, tiles.lanes).ref, ir.address(part, type(fold), element), align: fold.elementBytes)
      return []
    }
  }

  /// Where a register tile's part of each fold begins.
  func foldPlaces(_ rows: Panels, _ i: LLVMValueRef, _ columns: Panels, _ j: LLVMValueRef) -> [LLVMValueRef] {
    if layout.folds.isEmpty { return [] }
    let batch = layout.batch.reduce(ir.index(0)) { linear, axis in
      ir.add(ir.multiply(linear, kernel.extent(axis)), evaluator.index[axis])
    }
    let row = ir.add(ir.multiply(batch, layout.rowTiles), rows.tile)
    let task = ir.add(ir.multiply(row, layout.columnTiles), columns.tile)
    func place(_ part: Panels, _ index: LLVMValueRef) -> LLVMValueRef {
      ir.multiply(ir.subtract(index, part.first), part.side.width)
    }
    return layout.folds.map { fold in
      let within =
        switch fold.kept {
        case .tile: ir.multiply(ir.subtract(j, columns.first), tiles.lanes)
        case .rows: place(rows, i)
        case .columns: place(columns, j)
        }
      return ir.address(parts(fold), type(fold), ir.add(ir.multiply(task, fold.stride), within))
    }
  }

  /// What some vectors of columns combine, row by row.
  func runningFolds(_ places: [LLVMValueRef], _ vectors: [Int], _ lanes: Int) -> [RunningFold] {
    layout.folds.enumerated().flatMap { number, fold -> [RunningFold] in
      let start = identity(fold, lanes).ref
      switch fold.kept {
      case .tile: return [RunningFold(number: number, column: nil, start: start, address: places[number])]
      case .rows: return []
      case .columns:
        return vectors.map { column in
          let address = ir.address(places[number], type(fold), ir.index(column))
          return RunningFold(number: number, column: column, start: start, address: address)
        }
      }
    }
  }

  /// One vector of a row, in its live lanes.
  func fold(_ column: Int, _ vector: VectorAxis, _ run: inout FoldRun) {
    for (number, fold) in layout.folds.enumerated() {
      let value = accumulated(evaluator.value(fold.value, lanes: vector.lanes), fold)
      if fold.kept == .rows {
        let live = Lanes(emitter.keep(value, identity(fold, vector.lanes), vector.live), ir)
        add(
          emitter.across(live) { combine(fold, $0, $1) }, fold, to: ir.address(run.places[number], type(fold), run.row))
      }
      for (place, running) in run.folds.enumerated()
      where running.number == number && (running.column ?? column) == column {
        let held = Lanes(run.held[place], ir)
        run.held[place] = emitter.keep(combine(fold, held, value), held, vector.live)
      }
    }
  }

  /// What the rows of a register tile came to.
  func add(_ value: LLVMValueRef, to running: RunningFold) {
    add(Lanes(value, ir), layout.folds[running.number], to: running.address)
  }

  // MARK: The last phase

  /// Combines the tiles' parts into the fold's result.
  func conclude(_ fold: TileFold) {
    ir.debug?.locate(kernel.kernel.location(of: fold.value))
    switch fold.kept {
    case .tile:
      let panels = tiles.nc / tiles.columns
      let all = sum(fold, finishedLanes(live: tiles.lanes), of: layout.tileTasks * panels) { number in
        ir.add(
          ir.multiply(ir.divide(number, panels), fold.stride), ir.multiply(ir.remainder(number, panels), tiles.lanes))
      }
      store(emitter.across(all) { combine(fold, $0, $1) }, fold)
    case .rows: conclude(fold, layout.rows, size: tiles.mc, tiles: layout.rowTiles, apart: layout.columnTiles, lanes: 1)
    case .columns:
      conclude(fold, layout.columns, size: tiles.nc, tiles: layout.columnTiles, apart: 1, lanes: tiles.lanes)
    }
  }

  /// - Parameters:
  ///   - size: what a tile has along the side, and how many tiles there are along it.
  ///   - apart: how many tiles lie between neighbours along the side.
  private func conclude(_ fold: TileFold, _ side: PackedSide, size: Int, tiles: Int, apart: Int, lanes: Int) {
    let rest = side.extent % lanes
    func finish(_ place: LLVMValueRef, live: Int) {
      let vector = VectorAxis(axis: side.axis, lanes: lanes, live: live)
      evaluator.at(side.axis, place, vector: vector) {
        let first = ir.multiply(ir.divide(place, size), apart)
        let within = ir.remainder(place, size)
        let total = sum(fold, lanes, of: layout.tileTasks / tiles) { other in
          let before = ir.add(ir.multiply(ir.divide(other, apart), apart * tiles), ir.remainder(other, apart))
          return ir.add(ir.multiply(ir.add(before, first), fold.stride), within)
        }
        store(total, fold)
      }
    }
    ir.loop(0..<side.extent - rest, step: lanes) { place, _ in
      finish(place, live: lanes)
      return []
    }
    if rest > 0 { finish(ir.index(side.extent - rest), live: rest) }
  }

  /// Some tiles' parts, at the places given, in order.
  private func sum(_ fold: TileFold, _ lanes: Int, of count: Int, _ place: (LLVMValueRef) -> LLVMValueRef) -> Lanes {
    let merge = ir.merge(fold.combiner, fold.dtype)
    let sums = ir.sums(0..<count, start: [identity(fold, lanes).ref], merge: merge) { number, held in
      let part = load(fold, ir.address(parts(fold), type(fold), place(number)), lanes)
      return [combine(fold, Lanes(held[0], ir), part).ref]
    }
    return Lanes(sums[0], ir)
  }

  private func store(_ value: Lanes, _ fold: TileFold) {
    let isTruth = fold.dtype == .bool
    evaluator.store(isTruth ? value.compareBits(LLVMIntNE, value.bits(0)) : value, to: fold.access)
  }
}
