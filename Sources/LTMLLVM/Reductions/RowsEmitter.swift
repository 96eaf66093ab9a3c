internal import CLLVM
import LTMIR
import LTMKernels

// Reductions over contiguous axes: points of the domain one by one, vectors along the inner axes.
extension KernelEmitter {
  func rows(_ numbers: Schedule.Rows) {
    let layout = RowLayout(kernel, rowLanes: numbers.lanes)
    for (local, offset) in layout.offsets {
      evaluator.rows[local] = (ir.address(scratch, ir.i8, ir.index(offset)), 1)
    }
    let cache = RowCache(kernel, lanes: numbers.lanes)
    let place = { (offset: Int) in ir.address(scratch, ir.i8, ir.index(layout.bytes + offset)) }
    reduceRows(numbers.lanes)
    eachRow(numbers, after: layout.bytes + cache.bytes) {
      for (index, statement) in kernel.kernel.body.enumerated() where !isTaken(index) {
        evaluator.keeping = (cache.kept[index] ?? []).map { ($0.id, place($0.offset)) }
        evaluator.kept = [:]
        for (id, offset) in cache.found[index] ?? [] { evaluator.kept[id] = place(offset) }
        row(statement, kernel.stores[index], numbers.lanes, sum: isTaken(index + 1) ? index + 1 : nil)
      }
    }
  }

  /// Visits the points of the domain, several of them together where something lies across their rows.
  private func eachRow(_ numbers: Schedule.Rows, after bytes: Int, _ body: () -> Void) {
    let scheduler = Scheduler(kernel: kernel, profile: ir.profile)
    guard numbers.rowsTogether > 1, let (rows, layout) = scheduler.transposedRows(after: bytes) else {
      return eachUnit(kernel.points(kernel.domain), perTask: numbers.pointsPerTask, after: epilogueReductionCount) {
        point in
        evaluator.at(decompose(point, kernel.domain), body)
      }
    }
    let (axis, extent) = (layout.rowAxis, kernel.extent(layout.rowAxis))
    let (outer, blocks) = (kernel.domain.dropLast(), (extent + rows - 1) / rows)
    eachUnit(kernel.points(outer) * blocks, perTask: numbers.pointsPerTask / rows) { unit in
      evaluator.at(decompose(ir.divide(unit, blocks), Array(outer))) {
        let first = ir.multiply(ir.remainder(unit, blocks), rows)
        let end = ir.minimum(ir.add(first, ir.index(rows)), ir.index(extent))
        transpose(layout, rows: (first, end)) { (ir.index(0), ir.index(kernel.extent($0))) }
        ir.loop(from: first, to: end) { place, _ in
          evaluator.at(axis, place, body)
          return []
        }
      }
    }
  }

  /// Whether a statement is a sum of the row scratch before it, and made in the same pass.
  private func isTaken(_ place: Int) -> Bool {
    guard place > 0, place < kernel.kernel.body.count,
      case .reduce(_, _, let over, let value) = kernel.kernel.body[place],
      case .scratch(let row, let axis, _) = kernel.kernel.body[place - 1]
    else { return false }
    return over == [axis] && kernel.kernel[value] == .scratch(row)
  }

  func row(_ statement: KernelStatement, _ accesses: [FlatAccess], _ limit: Int, sum: Int?) {
    evaluator.begin(statement)
    let axes = statement.innerAxes.map(\.index)
    let lanes = rowLanes(axes.last, limit)
    switch statement {
    case .store(let store): evaluator.store([store], accesses)
    case .loop(_, let stores):
      reduceRow(axes, statement.roots, lanes, []) { _, _ in
        evaluator.store(stores, accesses)
        return []
      }
    case .scratch(let local, let axis, let value):
      guard let sum, case .reduce(let total, let combiner, _, _) = kernel.kernel.body[sum] else {
        reduceRow(axes, [value], lanes, []) { _, _ in
          storeRow(local, evaluator.value(value, lanes: lanes), at: evaluator.index[axis.index])
          return []
        }
        return
      }
      reduceRow(total, combiner, axes, value, lanes) { element in
        storeRow(local, element, at: evaluator.index[axis.index])
      }
    case .reduce(let local, let combiner, _, let value): reduceRow(local, combiner, axes, value, lanes) { _ in }
    case .contract(let local, _, let lhs, let rhs):
      let zero = ir.identity(.add, kernel.kernel[local].dtype, lanes: lanes)
      let sum = reduceRow(axes, [lhs, rhs], lanes, [zero], merge: +) { sums, live in
        let sum = Lanes(sums[0], ir)
        let product = evaluator.value(lhs, lanes: lanes).times(evaluator.value(rhs, lanes: lanes), plus: sum)
        return [keep(product, sum, live)]
      }
      evaluator.bind(local, across(Lanes(sum[0], ir), +))
    case .argReduce(let local, let combiner, let axis, let value):
      evaluator.bind(local, argReduceRow(axis.index, combiner, value, lanes))
    case .epilogue, .line, .attention: break
    }
  }

  /// Epilogue reductions a row, and shows each vector of it to `visit`.
  private func reduceRow(
    _ local: LocalID, _ combiner: Combiner, _ axes: [Int], _ value: ScalarID, _ lanes: Int, _ visit: (Lanes) -> Void
  ) {
    let dtype = kernel.kernel[local].dtype
    let identity = ir.identity(combiner, dtype, lanes: lanes)
    let sum = reduceRow(axes, [value], lanes, [identity], merge: ir.merge(combiner, dtype)) { sums, live in
      let (sum, element) = (Lanes(sums[0], ir), evaluator.value(value, lanes: lanes))
      visit(element)
      return [keep(ir.combine(combiner, sum, element, dtype), sum, live)]
    }
    evaluator.bind(local, across(Lanes(sum[0], ir)) { ir.combine(combiner, $0, $1, dtype) })
  }

  /// Lanes for one statement: a short axis needs fewer.
  private func rowLanes(_ axis: Int?, _ limit: Int) -> Int {
    guard let axis else { return 1 }
    return Scheduler.lanes(kernel.extent(axis), register: min(limit, ir.profile.floatLanes), limit: limit)
  }

  /// Visits the points of some axes, a vector along the last at a time; `live` lanes lie inside. With `merge`, what is carried
  /// are sums.
  @discardableResult
  private func reduceRow(
    _ axes: [Int], _ roots: [ScalarID], _ lanes: Int, _ start: [LLVMValueRef], merge: ((Lanes, Lanes) -> Lanes)? = nil,
    _ step: (_ carried: [LLVMValueRef], _ live: Int) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    guard let inner = axes.last else { return step(start, lanes) }
    let extent = kernel.extent(inner)
    let rest = extent % lanes
    let merge = SumBlocks.cut(merge, steps: kernel.points(axes.dropLast()) * (extent / lanes + 1))
    return nest(axes.dropLast(), hoisting: roots, inside: [inner], carrying: start, merge: merge) { outer in
      let full = fullVector(inner, lanes)
      let sums = ir.sums(0..<extent - rest, step: lanes, start: outer, merge: merge) { i, sums in
        evaluator.at(inner, i, vector: full) {
          evaluator.keep()
          return step(sums, lanes)
        }
      }
      guard rest != 0 else { return sums }
      var tail = VectorAxis(axis: inner, lanes: lanes, live: rest)
      tail.isAligned = true
      return evaluator.at(inner, ir.index(extent - rest), vector: tail) {
        evaluator.keep()
        return step(sums, rest)
      }
    }
  }

  /// The new value in the lanes that lie inside, the old one beyond.
  func keep(_ new: Lanes, _ old: Lanes, _ live: Int) -> LLVMValueRef {
    live == new.count ? new.ref : new.when(Lanes(ir.mask(lanes: new.count, live: live), ir), else: old).ref
  }

  /// Combines the lanes by halves: a fixed tree.
  func across(_ value: Lanes, _ merge: (Lanes, Lanes) -> Lanes) -> Lanes {
    var value = value
    while value.count > 1 {
      let half = value.count / 2
      value = merge(Lanes(ir.slice(value.ref, 0, half), ir), Lanes(ir.slice(value.ref, half, half), ir))
    }
    return value
  }

  private func argReduceRow(_ axis: Int, _ combiner: Combiner, _ value: ScalarID, _ lanes: Int) -> Lanes {
    let dtype = kernel.kernel.dtype(value)
    let start = [ir.identity(combiner, dtype, lanes: lanes), ir.constants(Array(0..<lanes), ir.i32)]
    let best = reduceRow([axis], [value], lanes, start) { best, live in
      let (held, at) = (Lanes(best[0], ir), Lanes(best[1], ir))
      let candidate = evaluator.value(value, lanes: lanes)
      let first = Lanes(evaluator.index[axis], ir).truncated(to: ir.i32)
      let place = lanes == 1 ? first : evaluator.spread(first, lanes).plusBits(Lanes(start[1], ir))
      let wins = ir.isBetter(candidate, than: held, combiner, dtype)
      return [keep(candidate.when(wins, else: held), held, live), keep(place.when(wins, else: at), at, live)]
    }
    // Between lanes the lower index wins a tie.
    var (held, at) = (Lanes(ir.extract(best[0], lane: 0), ir), Lanes(ir.extract(best[1], lane: 0), ir))
    for lane in 1..<max(lanes, 1) {
      let candidate = Lanes(ir.extract(best[0], lane: lane), ir)
      let place = Lanes(ir.extract(best[1], lane: lane), ir)
      let isTie = ir.isSame(candidate, held, dtype).and(place.compareBits(LLVMIntSLT, at))
      let wins = ir.isBetter(candidate, than: held, combiner, dtype).or(isTie)
      (held, at) = (candidate.when(wins, else: held), place.when(wins, else: at))
    }
    return at
  }
}
