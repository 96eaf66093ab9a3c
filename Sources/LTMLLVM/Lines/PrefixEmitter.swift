package import CLLVM
import LTMIR
import LTMKernels

// Sums up to each place of a line. In one chain of additions the error would grow with the length: here a sum is that of
// the blocks before, that of the steps before in its block, and its own, and blocks are put together likewise.

extension IRBuilder {
  /// Visits steps in order; `step` takes the sum of the blocks before and of the block so far, and gives that of the block
  /// after it.
  ///
  /// - Parameter most: how many steps there are at most.
  /// - Returns: the sum of all steps, without `carry`.
  package func prefixes(
    from: LLVMValueRef, to: LLVMValueRef, most: Int, carry: Lanes, zero: Lanes, merge: (Lanes, Lanes) -> Lanes,
    _ step: (_ i: LLVMValueRef, _ carry: Lanes, _ block: Lanes) -> Lanes
  ) -> Lanes {
    if most <= SumBlocks.steps {
      let sums = loop(from: from, to: to, carrying: [zero.ref]) { i, held in [step(i, carry, Lanes(held[0], self)).ref]
      }
      return Lanes(sums[0], self)
    }
    var span = SumBlocks.steps
    while span * SumBlocks.steps < most { span *= SumBlocks.steps }
    let sums = loop(from: from, to: to, step: span, carrying: [zero.ref]) { first, held in
      let block = Lanes(held[0], self)
      let end = minimum(add(first, index(span)), to)
      let part = prefixes(
        from: first, to: end, most: span, carry: merge(carry, block), zero: zero, merge: merge, step)
      return [merge(block, part).ref]
    }
    return Lanes(sums[0], self)
  }
}

extension KernelEmitter {
  func prefix(_ numbers: Schedule.Prefix) {
    guard case .line(let store, .prefix(let combiner, let isReversed), let over, _) = kernel.kernel.form else { return }
    evaluator.begin(kernel.kernel.body[0])
    switch numbers {
    case .across(let spread):
      eachVector(spread) {
        let lanes = evaluator.vector?.lanes ?? 1
        PrefixLine(self, store, combiner, over.index, isReversed, lanes).across()
      }
    case .along(let lanes, let linesPerTask):
      eachUnit(kernel.points(kernel.domain), perTask: linesPerTask) { line in
        evaluator.scope {
          evaluator.at(decompose(line, kernel.domain)) {
            PrefixLine(self, store, combiner, over.index, isReversed, lanes).along()
          }
        }
      }
    }
  }
}

/// The sums of one line, or of one line a lane.
private struct PrefixLine {
  private let emitter: KernelEmitter
  private let store: KernelStore
  private let access: FlatAccess
  private let axis: Int
  private let isReversed: Bool
  private let lanes: Int
  private let zero: Lanes
  private let merge: (Lanes, Lanes) -> Lanes
  private var ir: IRBuilder { emitter.ir }
  private var evaluator: Evaluator { emitter.evaluator }
  private var extent: Int { emitter.kernel.extent(axis) }

  init(
    _ emitter: KernelEmitter, _ store: KernelStore, _ combiner: Combiner, _ axis: Int, _ isReversed: Bool, _ lanes: Int
  ) {
    self.emitter = emitter
    self.store = store
    self.axis = axis
    self.isReversed = isReversed
    self.lanes = lanes
    access = emitter.kernel.stores[0][0]
    let (ir, dtype) = (emitter.ir, emitter.kernel.kernel.dtype(store.value))
    zero = Lanes(ir.identity(combiner, dtype, lanes: lanes), ir)
    merge = { ir.combine(combiner, $0, $1, dtype) }
    emitter.evaluator.hoist([store.value], outOf: [axis])
  }

  /// The place of a step among so many.
  private func place(_ step: LLVMValueRef, of count: Int) -> LLVMValueRef {
    isReversed ? ir.subtract(ir.index(count - 1), step) : step
  }

  func across() {
    _ = ir.prefixes(
      from: ir.index(0), to: ir.index(extent), most: extent, carry: zero, zero: zero, merge: merge
    ) { step, carry, block in
      evaluator.at(axis, place(step, of: extent)) {
        let sum = merge(block, evaluator.value(store.value, lanes: lanes))
        evaluator.store(merge(carry, sum), to: access)
        return sum
      }
    }
  }

  func along() {
    let (whole, rest) = (extent / lanes, extent % lanes)
    var carry = zero
    if isReversed, rest > 0 { carry = vector(ir.index(whole * lanes), live: rest, zero, zero) }
    let sum = ir.prefixes(
      from: ir.index(0), to: ir.index(whole), most: whole, carry: carry, zero: zero, merge: merge
    ) { step, carry, block in
      vector(ir.multiply(place(step, of: whole), lanes), live: lanes, carry, block)
    }
    if !isReversed, rest > 0 { _ = vector(ir.index(whole * lanes), live: rest, sum, zero) }
  }

  /// Writes a vector of sums; gives the block's sum after it, in all lanes.
  private func vector(_ first: LLVMValueRef, live: Int, _ carry: Lanes, _ block: Lanes) -> Lanes {
    evaluator.at(axis, first, vector: VectorAxis(axis: axis, lanes: lanes, live: live)) {
      let values = evaluator.value(store.value, lanes: lanes)
      let sums = prefixes(Lanes(emitter.keep(values, zero, live), ir))
      evaluator.store(merge(merge(carry, block), sums), to: access)
      return merge(block, inAllLanes(sums))
    }
  }

  /// The sums within a vector, by distances that double.
  private func prefixes(_ values: Lanes) -> Lanes {
    var (sums, distance) = (values, 1)
    while distance < lanes {
      let picks = (0..<lanes).map { lane in
        let source = isReversed ? lane + distance : lane - distance
        return 0..<lanes ~= source ? lanes + source : lane
      }
      sums = merge(Lanes(ir.shuffle(zero.ref, sums.ref, picks), ir), sums)
      distance *= 2
    }
    return sums
  }

  private func inAllLanes(_ sums: Lanes) -> Lanes {
    if lanes == 1 { return sums }
    return Lanes(ir.shuffle(sums.ref, sums.ref, [Int](repeating: isReversed ? 0 : lanes - 1, count: lanes)), ir)
  }
}
