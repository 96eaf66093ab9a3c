internal import CLLVM
import LTMIR
import LTMKernels

// Vectors along the domain's innermost axis: pointwise kernels, and reductions lane by lane.
extension KernelEmitter {
  /// Stores only.
  func pointwise(_ numbers: Schedule.Spread) {
    keepInvariants(numbers)
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    evaluator.prefetches = true
    eachVector(numbers) { evaluator.store(stores, accesses) }
  }

  /// Computes what varies along the innermost axis alone once, into scratch memory, for all the rows to come.
  private func keepInvariants(_ numbers: Schedule.Spread) {
    guard let axis = kernel.domain.last, numbers.keepsInvariants else { return }
    let ids = kernel.rowInvariants(evaluator.facts)
    let row = roundUp(kernel.extent(axis), numbers.lanes)
    let bases = ids.indices.map { ir.address(scratch, ir.float, ir.index($0 * row)) }
    let whole = Schedule.Spread(lanes: numbers.lanes, block: kernel.extent(axis), blocksPerTask: 1)
    vectors(axis, from: ir.index(0), isLast: ir.constant(bits: 1, ir.i1), isOnly: true, whole) {
      for (id, base) in zip(ids, bases) {
        let value = evaluator.value(id, lanes: evaluator.vector?.lanes ?? 1)
        ir.store(value.ref, ir.address(base, ir.float, evaluator.index[axis]), align: 4)
      }
    }
    for (id, base) in zip(ids, bases) { evaluator.kept[id] = base }
  }

  /// Runs `body` for every point of the domain, a vector of them at a time; the tail is one narrower or partial vector.
  func eachVector(_ numbers: Schedule.Spread, _ body: () -> Void) {
    guard let axis = kernel.domain.last else {
      return eachUnit(1, perTask: 1) { _ in evaluator.at([], body) }
    }
    let outer = Array(kernel.domain.dropLast())
    let extent = kernel.extent(axis)
    let blocks = (extent + numbers.block - 1) / numbers.block
    let inner = [axis] + kernel.kernel.body.flatMap { $0.innerAxes.map(\.index) }
    let points = kernel.points(outer)
    eachUnit(points * blocks, perTask: numbers.blocksPerTask) { unit in
      let (point, block) =
        numbers.isBlockMajor
        ? (ir.remainder(unit, points), ir.divide(unit, points)) : (ir.divide(unit, blocks), ir.remainder(unit, blocks))
      evaluator.at(decompose(point, outer)) {
        evaluator.hoist(roots, outOf: inner)
        let start = ir.multiply(block, numbers.block)
        let isLast = ir.equal(start, ir.index((blocks - 1) * numbers.block))
        vectors(axis, from: start, isLast: isLast, isOnly: blocks == 1, numbers, body)
      }
    }
  }

  /// Visits a block of an axis, a vector at a time.
  func vectors(
    _ axis: Int, from start: LLVMValueRef, isLast: LLVMValueRef, isOnly: Bool, _ numbers: Schedule.Spread,
    _ body: () -> Void
  ) {
    let (extent, lanes) = (kernel.extent(axis), numbers.lanes)
    let rest = extent % lanes
    let full = fullVector(axis, lanes)
    let stop = ir.minimum(ir.add(start, ir.index(numbers.block)), ir.index(extent - rest))
    if isOnly {
      ir.loop(0..<extent - rest, step: lanes) { i, _ in
        evaluator.at(axis, i, vector: full) {
          body(); return []
        }
      }
    } else {
      ir.loop(from: start, to: stop, step: lanes) { i, _ in
        evaluator.at(axis, i, vector: full) {
          body(); return []
        }
      }
    }
    guard rest != 0 else { return }
    let register = min(lanes, ir.profile.floatLanes)
    var tail = VectorAxis(axis: axis, lanes: Scheduler.lanes(rest, register: register, limit: lanes), live: rest)
    tail.isAligned = true
    func emitTail() { evaluator.at(axis, ir.index(extent - rest), vector: tail, body) }
    if isOnly { emitTail() } else { ir.when(isLast, emitTail) }
  }
}
