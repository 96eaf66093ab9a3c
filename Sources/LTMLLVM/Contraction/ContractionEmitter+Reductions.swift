internal import CLLVM
import LTMIR
import LTMKernels

// Reductions of a contraction's result: a register tile is combined in registers, then with what its tile has in the
// workspace, and the tiles at last with each other.

/// An epilogue reduction within a register tile: one vector for all of it, or one for each vector of columns.
struct RunningReduction {
  /// In the layout.
  let number: Int
  /// The column that its vector begins at; `nil` where it takes all.
  let column: Int?
  /// What it begins with, and where the result goes.
  let start: LLVMValueRef
  let address: LLVMValueRef
}

/// The epilogue reductions at a row of a register tile.
struct ReductionRun {
  let row: LLVMValueRef
  let epilogueReductions: [RunningReduction]
  /// Where the register tile's part of each epilogue reduction of the layout begins.
  let places: [LLVMValueRef]
  var held: [LLVMValueRef]
}

extension ContractionEmitter {
  // MARK: Numbers

  private func type(_ reduction: EpilogueReduction) -> LLVMTypeRef {
    reduction.dtype == .bool ? ir.i32 : ir.scalar(reduction.dtype)
  }

  private func accumulated(_ value: Lanes, _ reduction: EpilogueReduction) -> Lanes {
    guard reduction.dtype == .bool else { return value }
    return Lanes(LLVMBuildSExt(ir.ref, value.ref, ir.vector(ir.i32, value.count), ""), ir)
  }

  private func identity(_ reduction: EpilogueReduction, _ lanes: Int) -> Lanes {
    accumulated(Lanes(ir.identity(reduction.combiner, reduction.dtype, lanes: lanes), ir), reduction)
  }

  private func combine(_ reduction: EpilogueReduction, _ a: Lanes, _ b: Lanes) -> Lanes {
    ir.combine(reduction.combiner, a, b, reduction.dtype)
  }

  private func load(_ reduction: EpilogueReduction, _ address: LLVMValueRef, _ lanes: Int) -> Lanes {
    Lanes(ir.load(ir.vector(type(reduction), lanes), address, align: reduction.elementBytes), ir)
  }

  private func add(_ value: Lanes, _ reduction: EpilogueReduction, to address: LLVMValueRef) {
    ir.store(
      combine(reduction, load(reduction, address, value.count), value).ref, address, align: reduction.elementBytes)
  }

  private func parts(_ reduction: EpilogueReduction) -> LLVMValueRef {
    ir.address(emitter.workspace, ir.i8, ir.index(reduction.offset))
  }

  // MARK: Tiles

  /// A tile's part, before any of its elements.
  func begin(_ reduction: EpilogueReduction, _ task: LLVMValueRef) {
    let part = ir.address(parts(reduction), type(reduction), ir.multiply(task, reduction.stride))
    ir.loop(0..<reduction.stride, step: tiles.lanes) { element, _ in
      ir.store(
        identity(reduction, tiles.lanes).ref, ir.address(part, type(reduction), element), align: reduction.elementBytes)
      return []
    }
  }

  /// Where a register tile's part of each epilogue reduction begins.
  func reductionPlaces(_ rows: Panels, _ i: LLVMValueRef, _ columns: Panels, _ j: LLVMValueRef) -> [LLVMValueRef] {
    if layout.epilogueReductions.isEmpty { return [] }
    let batch = layout.batch.reduce(ir.index(0)) { linear, axis in
      ir.add(ir.multiply(linear, kernel.extent(axis)), evaluator.index[axis])
    }
    let row = ir.add(ir.multiply(batch, layout.rowTiles), rows.tile)
    let task = ir.add(ir.multiply(row, layout.columnTiles), columns.tile)
    func place(_ part: Panels, _ index: LLVMValueRef) -> LLVMValueRef {
      ir.multiply(ir.subtract(index, part.first), part.side.width)
    }
    return layout.epilogueReductions.map { reduction in
      let within =
        switch reduction.kept {
        case .tile: ir.multiply(ir.subtract(j, columns.first), tiles.lanes)
        case .rows: place(rows, i)
        case .columns: place(columns, j)
        }
      return ir.address(parts(reduction), type(reduction), ir.add(ir.multiply(task, reduction.stride), within))
    }
  }

  /// What some vectors of columns combine, row by row.
  func runningReductions(_ places: [LLVMValueRef], _ vectors: [Int], _ lanes: Int) -> [RunningReduction] {
    layout.epilogueReductions.enumerated().flatMap { number, reduction -> [RunningReduction] in
      let start = identity(reduction, lanes).ref
      switch reduction.kept {
      case .tile: return [RunningReduction(number: number, column: nil, start: start, address: places[number])]
      case .rows: return []
      case .columns:
        return vectors.map { column in
          let address = ir.address(places[number], type(reduction), ir.index(column))
          return RunningReduction(number: number, column: column, start: start, address: address)
        }
      }
    }
  }

  /// One vector of a row, in its live lanes.
  func reduce(_ column: Int, _ vector: VectorAxis, _ run: inout ReductionRun) {
    for (number, reduction) in layout.epilogueReductions.enumerated() {
      let value = accumulated(evaluator.value(reduction.value, lanes: vector.lanes), reduction)
      if reduction.kept == .rows {
        let live = Lanes(emitter.keep(value, identity(reduction, vector.lanes), vector.live), ir)
        add(
          emitter.across(live) { combine(reduction, $0, $1) }, reduction,
          to: ir.address(run.places[number], type(reduction), run.row))
      }
      for (place, running) in run.epilogueReductions.enumerated()
      where running.number == number && (running.column ?? column) == column {
        let held = Lanes(run.held[place], ir)
        run.held[place] = emitter.keep(combine(reduction, held, value), held, vector.live)
      }
    }
  }

  /// What the rows of a register tile came to.
  func add(_ value: LLVMValueRef, to running: RunningReduction) {
    add(Lanes(value, ir), layout.epilogueReductions[running.number], to: running.address)
  }

  // MARK: The last phase

  /// Combines the tiles' parts into the epilogue reduction's result.
  func conclude(_ reduction: EpilogueReduction) {
    ir.debug?.locate(kernel.kernel.location(of: reduction.value))
    switch reduction.kept {
    case .tile:
      let panels = tiles.nc / tiles.columns
      let all = sum(reduction, finishedLanes(live: tiles.lanes), of: layout.tileTasks * panels) { number in
        ir.add(
          ir.multiply(ir.divide(number, panels), reduction.stride),
          ir.multiply(ir.remainder(number, panels), tiles.lanes))
      }
      store(emitter.across(all) { combine(reduction, $0, $1) }, reduction)
    case .rows:
      conclude(reduction, layout.rows, size: tiles.mc, tiles: layout.rowTiles, apart: layout.columnTiles, lanes: 1)
    case .columns:
      conclude(reduction, layout.columns, size: tiles.nc, tiles: layout.columnTiles, apart: 1, lanes: tiles.lanes)
    }
  }

  /// - Parameters:
  ///   - size: what a tile has along the side, and how many tiles there are along it.
  ///   - apart: how many tiles lie between neighbours along the side.
  private func conclude(
    _ reduction: EpilogueReduction, _ side: PackedSide, size: Int, tiles: Int, apart: Int, lanes: Int
  ) {
    let rest = side.extent % lanes
    func finish(_ place: LLVMValueRef, live: Int) {
      let vector = VectorAxis(axis: side.axis, lanes: lanes, live: live)
      evaluator.at(side.axis, place, vector: vector) {
        let first = ir.multiply(ir.divide(place, size), apart)
        let within = ir.remainder(place, size)
        let total = sum(reduction, lanes, of: layout.tileTasks / tiles) { other in
          let before = ir.add(ir.multiply(ir.divide(other, apart), apart * tiles), ir.remainder(other, apart))
          return ir.add(ir.multiply(ir.add(before, first), reduction.stride), within)
        }
        store(total, reduction)
      }
    }
    ir.loop(0..<side.extent - rest, step: lanes) { place, _ in
      finish(place, live: lanes)
      return []
    }
    if rest > 0 { finish(ir.index(side.extent - rest), live: rest) }
  }

  /// Some tiles' parts, at the places given, in order.
  private func sum(_ reduction: EpilogueReduction, _ lanes: Int, of count: Int, _ place: (LLVMValueRef) -> LLVMValueRef)
    -> Lanes
  {
    let merge = ir.merge(reduction.combiner, reduction.dtype)
    let sums = ir.sums(0..<count, start: [identity(reduction, lanes).ref], merge: merge) { number, held in
      let part = load(reduction, ir.address(parts(reduction), type(reduction), place(number)), lanes)
      return [combine(reduction, Lanes(held[0], ir), part).ref]
    }
    return Lanes(sums[0], ir)
  }

  private func store(_ value: Lanes, _ reduction: EpilogueReduction) {
    let isTruth = reduction.dtype == .bool
    evaluator.store(isTruth ? value.compareBits(LLVMIntNE, value.bits(0)) : value, to: reduction.access)
  }
}
