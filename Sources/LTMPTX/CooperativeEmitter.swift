internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport

// Several threads share a point: each takes every n-th vector of the inner axes, in order; then partial results are
// combined in a fixed order, through shuffles within a warp and through shared memory between warps.
extension DeviceEmitter {
  func cooperative(_ numbers: DeviceSchedule.Cooperation) {
    let thread = ir.threadNumber
    let (points, team) = (kernel.points(kernel.domain), numbers.threadsPerPoint)
    let (member, slot) =
      switch numbers.direction {
      case .inner: (ir.remainder(thread, team), ir.divide(thread, team))
      case .points: (ir.divide(thread, numbers.pointsPerBlock), ir.remainder(thread, numbers.pointsPerBlock))
      }
    let point = ir.add(ir.multiply(ir.blockNumber, numbers.pointsPerBlock), slot)
    let isLive = ir.less(point, ir.index(points))
    // Threads beyond the end take part in shuffles and barriers on the last point, and write nothing.
    let safe = points % numbers.pointsPerBlock == 0 ? point : ir.minimum(point, ir.index(points - 1))
    let shared = Team.needsMemory(numbers) ? ir.shared(symbol + ".partials", bytes: Team.bytes(numbers)) : nil
    let sharers = Team(ir: ir, numbers: numbers, member: member, slot: slot, thread: thread, memory: shared)
    at(safe, kernel.domain, lanes: 1) {
      for (statement, accesses) in zip(kernel.kernel.body, kernel.stores) {
        emit(statement, accesses, sharers, isLive)
      }
    }
  }

  private func emit(_ statement: KernelStatement, _ accesses: [FlatAccess], _ team: Team, _ isLive: LLVMValueRef) {
    let axes = statement.innerAxes.map(\.index)
    evaluator.hoist(statement.roots, outOf: axes)
    switch statement {
    case .store(let store):
      ir.when(ir.both(isLive, ir.equal(team.member, ir.index(0)))) {
        evaluator.scope { evaluator.store([store], accesses) }
      }
    case .loop(_, let stores):
      ir.when(isLive) {
        reduction(axes, lanes(axes, statement.roots, accesses, team), team, []) { _ in
          evaluator.store(stores, accesses)
          return []
        }
      }
    // Kernels with epilogue reductions are refused before; lines have a strategy of their own.
    case .scratch, .epilogue, .line, .attention: break
    case .reduce(let local, let combiner, _, let value):
      let (dtype, lanes) = (kernel.kernel[local].dtype, lanes(axes, [value], [], team))
      let start = ir.identity(combiner, dtype, lanes: lanes)
      let sums = reduction(axes, lanes, team, [start], merge: ir.merge(combiner, dtype)) { sums in
        [ir.combine(combiner, Lanes(sums[0], ir), evaluator.value(value, lanes: lanes), dtype).ref]
      }
      evaluator.bind(local, total(sums[0], team, dtype) { ir.combine(combiner, $0, $1, dtype) })
    case .contract(let local, _, let lhs, let rhs):
      let (dtype, lanes) = (kernel.kernel[local].dtype, lanes(axes, [lhs, rhs], [], team))
      let sums = reduction(axes, lanes, team, [ir.identity(.add, dtype, lanes: lanes)], merge: +) { sums in
        let left = evaluator.value(lhs, lanes: lanes)
        return [left.times(evaluator.value(rhs, lanes: lanes), plus: Lanes(sums[0], ir)).ref]
      }
      evaluator.bind(local, total(sums[0], team, dtype, +))
    case .argReduce(let local, let combiner, let axis, let value):
      evaluator.bind(local, argReduce(axis.index, combiner, value, team))
    }
  }

  /// Vectors where every thread still has one.
  private func lanes(_ axes: [Int], _ roots: [ScalarID], _ stores: [FlatAccess], _ team: Team) -> Int {
    guard let last = axes.last else { return 1 }
    var lanes = team.numbers.direction == .inner ? kernel.vectorLanes(last, roots, stores) : 1
    while lanes > 1, kernel.points(axes) / lanes < team.numbers.threadsPerPoint { lanes /= 2 }
    return lanes
  }

  /// Visits a thread's share of the points of some axes, carrying values.
  @discardableResult
  private func reduction(
    _ axes: [Int], _ lanes: Int, _ team: Team, _ start: [LLVMValueRef], merge: ((Lanes, Lanes) -> Lanes)? = nil,
    _ step: ([LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    let (count, threads) = (kernel.points(axes) / lanes, team.numbers.threadsPerPoint)
    return ir.sums(
      from: team.member, to: ir.index(count), step: threads, most: (count + threads - 1) / threads, start: start,
      merge: merge
    ) { unit, carried in
      at(unit, axes, lanes: lanes) { step(carried) }
    }
  }

  /// The whole team's result, in every thread of it.
  private func total(_ partial: LLVMValueRef, _ team: Team, _ dtype: DType, _ merge: (Lanes, Lanes) -> Lanes) -> Lanes {
    var value = Lanes(partial, ir)
    while value.count > 1 {
      let half = value.count / 2
      value = merge(Lanes(ir.slice(value.ref, 0, half), ir), Lanes(ir.slice(value.ref, half, half), ir))
    }
    return team.combine([value]) { [merge($0[0], $1[0])] }[0]
  }

  private func argReduce(_ axis: Int, _ combiner: Combiner, _ value: ScalarID, _ team: Team) -> Lanes {
    let dtype = kernel.kernel.dtype(value)
    // A thread without elements must lose every tie.
    let start = [ir.identity(combiner, dtype, lanes: 1), ir.constant(bits: Int(Int32.max), ir.i32)]
    func better(_ held: [Lanes], _ new: [Lanes]) -> [Lanes] {
      let isTie = ir.isSame(new[0], held[0], dtype).and(new[1].compareBits(LLVMIntSLT, held[1]))
      let wins = ir.isBetter(new[0], than: held[0], combiner, dtype).or(isTie)
      return [new[0].when(wins, else: held[0]), new[1].when(wins, else: held[1])]
    }
    let best = reduction([axis], 1, team, start) { held in
      let place = Lanes(evaluator.index[axis], ir).truncated(to: ir.i32)
      return better(held.map { Lanes($0, ir) }, [evaluator.value(value, lanes: 1), place]).map(\.ref)
    }
    return team.combine(best.map { Lanes($0, ir) }, better)[1]
  }
}

/// The threads of a block that share a point.
struct Team {
  let ir: IRBuilder
  let numbers: DeviceSchedule.Cooperation
  /// This thread's place in the team, and the team's in the block.
  let member: LLVMValueRef
  let slot: LLVMValueRef
  let thread: LLVMValueRef
  /// Room for two values of 8 bytes a thread or warp, where teams are larger than shuffles reach.
  let memory: LLVMValueRef?

  static func needsMemory(_ numbers: DeviceSchedule.Cooperation) -> Bool {
    switch numbers.direction {
    case .inner: numbers.threadsPerPoint > 32
    case .points: numbers.threadsPerPoint > 1
    }
  }

  static func bytes(_ numbers: DeviceSchedule.Cooperation) -> Int {
    switch numbers.direction {
    case .inner: numbers.threadsPerPoint / 32 * 16
    case .points: numbers.threadsPerPoint * numbers.pointsPerBlock * 16
    }
  }

  /// Combines each thread's values; every thread of the team gets the result.
  func combine(_ values: [Lanes], _ merge: ([Lanes], [Lanes]) -> [Lanes]) -> [Lanes] {
    switch numbers.direction {
    case .inner:
      var values = values
      var mask = min(numbers.threadsPerPoint, 32) / 2
      while mask > 0 {
        let other = values.map { ir.exchange($0, mask) }
        values = merge(values, other)
        mask /= 2
      }
      let warps = numbers.threadsPerPoint / 32
      if warps <= 1 { return values }
      // All threads of a warp hold the same by now: one writes.
      let isFirst = ir.equal(ir.remainder(thread, 32), ir.index(0))
      return through(
        values, at: ir.divide(thread, 32), where: isFirst, from: ir.index(0), step: 1, count: warps, merge)
    case .points:
      let count = numbers.threadsPerPoint
      if count == 1 { return values }
      return through(values, at: thread, from: slot, step: numbers.pointsPerBlock, count: count, merge)
    }
  }

  /// Through shared memory: each writes at its place, then all read the team's places in order.
  private func through(
    _ values: [Lanes], at place: LLVMValueRef, where writes: LLVMValueRef? = nil, from first: LLVMValueRef, step: Int,
    count: Int, _ merge: ([Lanes], [Lanes]) -> [Lanes]
  ) -> [Lanes] {
    guard let memory else { internalFailure("emission", "a team without memory") }
    let stored = values.map { ir.element(of: $0.type) == ir.i1 ? $0.extended(to: ir.i8) : $0 }
    func address(_ place: LLVMValueRef, _ number: Int) -> LLVMValueRef {
      ir.address(memory, ir.i8, ir.add(ir.multiply(place, 16), ir.index(number * 8)))
    }
    func read(_ place: LLVMValueRef) -> [Lanes] {
      stored.enumerated().map { number, value in
        let raw = Lanes(ir.load(value.type, address(place, number), align: 8), ir)
        return values[number].type == ir.i1 ? raw.truncated(to: ir.i1) : raw
      }
    }
    func write() {
      for (number, value) in stored.enumerated() { ir.store(value.ref, address(place, number), align: 8) }
    }
    if let writes { ir.when(writes, write) } else { write() }
    ir.barrier()
    let start = read(first).map(\.ref)
    let result = ir.loop(1..<count, carrying: start) { i, held in
      merge(held.map { Lanes($0, ir) }, read(ir.add(first, ir.multiply(i, step)))).map(\.ref)
    }
    // The memory is free for the next reduction once all have read it.
    ir.barrier()
    return result.map { Lanes($0, ir) }
  }
}
