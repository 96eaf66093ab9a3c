internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

// Lines along an axis, without any exchange between threads.
extension DeviceEmitter {
  func lines(threads: Int) {
    guard case .line(let store, let op, let over, let to) = kernel.kernel.form else { return }
    let unit = ir.add(ir.multiply(ir.blockNumber, threads), ir.threadNumber)
    switch op {
    case .prefix(let combiner, let isReversed):
      ir.when(ir.less(unit, ir.index(kernel.points(kernel.domain)))) {
        at(unit, kernel.domain, lanes: 1) { sums(store, combiner, over.index, isReversed) }
      }
    case .order(let isDescending):
      let extent = kernel.extent(over.index)
      ir.when(ir.less(unit, ir.index(kernel.points(kernel.domain) * extent))) {
        at(ir.divide(unit, extent), kernel.domain, lanes: 1) {
          rank(ir.remainder(unit, extent), store, over.index, to: to.index, isDescending)
        }
      }
    }
  }

  private func sums(_ store: KernelStore, _ combiner: Combiner, _ axis: Int, _ isReversed: Bool) {
    let (dtype, extent) = (kernel.kernel.dtype(store.value), kernel.extent(axis))
    let zero = Lanes(ir.identity(combiner, dtype, lanes: 1), ir)
    let merge = { (a: Lanes, b: Lanes) in ir.combine(combiner, a, b, dtype) }
    evaluator.hoist([store.value], outOf: [axis])
    _ = ir.prefixes(
      from: ir.index(0), to: ir.index(extent), most: extent, carry: zero, zero: zero, merge: merge
    ) { step, carry, block in
      evaluator.at(axis, isReversed ? ir.subtract(ir.index(extent - 1), step) : step) {
        let sum = merge(block, evaluator.value(store.value, lanes: 1))
        evaluator.store(merge(carry, sum), to: kernel.stores[0][0])
        return sum
      }
    }
  }

  /// Counts what comes before an element, and writes its index there.
  private func rank(
    _ place: LLVMValueRef, _ store: KernelStore, _ axis: Int, to: Int, _ isDescending: Bool
  ) {
    func key(at place: LLVMValueRef) -> Lanes {
      evaluator.at(axis, place) {
        ir.sortKey(
          evaluator.value(store.value, lanes: 1), kernel.kernel.dtype(store.value), isDescending: isDescending)
      }
    }
    evaluator.hoist([store.value], outOf: [axis])
    let own = key(at: place)
    let rank = ir.loop(0..<kernel.extent(axis), carrying: [ir.index(0)]) { other, count in
      let key = key(at: other)
      let isEarlier = Lanes(ir.less(other, place), ir)
      let isBefore = key.compareBits(LLVMIntSLT, own).or(key.compareBits(LLVMIntEQ, own).and(isEarlier))
      return [ir.add(count[0], isBefore.extended(to: ir.i64).ref)]
    }
    ir.when(ir.less(rank[0], ir.index(kernel.extent(to)))) {
      evaluator.at(to, rank[0]) {
        evaluator.store(Lanes(place, ir).truncated(to: ir.i32), to: kernel.stores[0][0])
      }
    }
  }
}
