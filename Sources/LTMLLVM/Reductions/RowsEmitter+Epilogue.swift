internal import CLLVM
import LTMIR
import LTMKernels

// Epilogue reductions of a contraction that no tiles make: too small, or over other axes. Each has a task of its own, which goes
// over the points as those do that store them, and before them: stores may replace what both read.
extension KernelEmitter {
  var epilogueReductionCount: Int { kernel.epilogueReductions.count { $0 != nil } }

  func reduceRows(_ lanes: Int) {
    var number = 0
    for (statement, access) in zip(kernel.kernel.body, kernel.epilogueReductions) {
      guard case .epilogue(let store, let combiner, let over) = statement, let access else { continue }
      eachTask(number..<number + 1) { _ in
        evaluator.begin(statement)
        reducePoints(store.value, combiner, over.map(\.index), to: access, lanes)
      }
      number += 1
    }
  }

  private func reducePoints(_ value: ScalarID, _ combiner: Combiner, _ over: [Int], to access: FlatAccess, _ lanes: Int)
  {
    let kept = kernel.domain.filter { !over.contains($0) }
    let dtype = kernel.kernel.dtype(value)
    let start = ir.identity(combiner, dtype, lanes: 1)
    ir.loop(0..<kernel.points(kept)) { point, _ in
      evaluator.at(decompose(point, kept)) {
        let reduced = kernel.domain.filter(over.contains)
        let merge = SumBlocks.cut(ir.merge(combiner, dtype), steps: kernel.points(reduced))
        let sum = nest(reduced[...], hoisting: [], carrying: [start], merge: merge) { held in
          if let contraction = kernel.kernel.body.first { row(contraction, [], lanes, sum: nil) }
          return [ir.combine(combiner, Lanes(held[0], ir), evaluator.value(value, lanes: 1), dtype).ref]
        }
        evaluator.store(Lanes(sum[0], ir), to: access)
      }
      return []
    }
  }
}
