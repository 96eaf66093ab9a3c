internal import CLLVM
import LTMIR
import LTMKernels

extension AttentionEmitter {
  /// A task has one head's block of queries.
  func forward() {
    emitter.eachTask(0..<layout.taskCount) { task in
      evaluator.at(emitter.decompose(ir.divide(task, layout.blocks), layout.taskAxes)) {
        evaluator.hoist(attention.bodies, outOf: [queryAxis, attention.keys.index])
        let block = ir.remainder(task, layout.blocks)
        let first = firstQuery(block)
        let (low, high) = keyRange(first)
        turn(attention.query, first, along: attention.depth.index, into: .query)
        fill(.tops, -lowest, from: ir.index(0), count: numbers.queries)
        fill(.sums, 0, from: ir.index(0), count: numbers.queries)
        fill(.outputs, 0, from: ir.index(0), count: layout.width * numbers.queries)
        let start = ir.multiply(ir.divide(low, numbers.keys), numbers.keys)
        ir.loop(from: start, to: high, step: numbers.keys) { key, _ in
          evaluator.scope {
            add(first, key, count: ir.minimum(ir.index(numbers.keys), ir.subtract(high, key)))
          }
          return []
        }
        finish(first, ir.subtract(ir.multiply(block, numbers.queries), first))
      }
    }
  }

  /// The magnitude of the least score that is not hidden.
  private var lowest: Double { numbers.isDouble ? .greatestFiniteMagnitude : Double(Float.greatestFiniteMagnitude) }

  /// Adds what a block of keys gives.
  private func add(_ first: LLVMValueRef, _ key: LLVMValueRef, count: LLVMValueRef) {
    let (depth, width, keys) = (attention.depth.index, attention.width.index, attention.keys.index)
    copy(attention.key, keys, key, count: count, along: depth, into: .key)
    interleave(attention.value, keys, key, count: count, along: width, into: .valueLines)
    products.call(
      BlockProduct(
        columns: numbers.queries, rowStride: layout.words(layout.depth), stepStride: 1,
        columnStride: numbers.queries, resultStride: numbers.queries, adds: false),
      start(.key), start(.query), start(.products), steps: ir.index(layout.steps(layout.depth)), rows: count)
    eachVector(first) { offset, _ in
      let top = scores(key, count, offset)
      rescale(offset, top)
      weigh(key, count, offset, top)
    }
    products.call(
      BlockProduct(
        columns: numbers.queries, rowStride: 1, stepStride: layout.line(layout.width),
        columnStride: numbers.queries, resultStride: numbers.queries, adds: true),
      start(.valueLines), start(.weights), start(.outputs), steps: ir.divideUp(count, numbers.points),
      rows: ir.index(layout.width))
  }

  /// Products become scores; gives the greatest so far.
  private func scores(_ key: LLVMValueRef, _ count: LLVMValueRef, _ offset: LLVMValueRef) -> Lanes {
    let held = load(.tops, offset, lanes: together).ref
    let tops = ir.loop(from: ir.index(0), to: count, carrying: [held]) { j, held in
      evaluator.at(attention.keys.index, ir.add(key, j)) {
        let place = ir.add(ir.multiply(j, numbers.queries), offset)
        let score = score(load(.products, place, lanes: together))
        store(score, .products, place)
        let top = Lanes(held[0], ir)
        return [score.when(score.isGreater(top), else: top).ref]
      }
    }
    return Lanes(tops[0], ir)
  }

  /// Brings what was summed up so far to the new greatest score.
  private func rescale(_ offset: LLVMValueRef, _ top: Lanes) {
    let factor = (load(.tops, offset, lanes: together) - top).exp(flushing: true)
    store(top, .tops, offset)
    ir.when(ir.any(factor.compare(LLVMRealUNE, factor.constant(1)))) {
      store(load(.sums, offset, lanes: together) * factor, .sums, offset)
      ir.loop(0..<layout.width) { point, _ in
        let place = ir.add(ir.multiply(point, numbers.queries), offset)
        store(load(.outputs, place, lanes: together) * factor, .outputs, place)
        return []
      }
    }
  }

  /// Scores become weights.
  private func weigh(_ key: LLVMValueRef, _ count: LLVMValueRef, _ offset: LLVMValueRef, _ top: Lanes) {
    /// A weight as it is multiplied, and as it is summed up.
    func weight(_ j: LLVMValueRef) -> (kept: Lanes, whole: Lanes) {
      evaluator.at(attention.keys.index, ir.add(key, j)) {
        let place = ir.add(ir.multiply(j, numbers.queries), offset)
        let whole = (load(.products, place, lanes: together) - top).exp(flushing: true)
        return (attention.kept.map { whole * evaluator.value($0, lanes: together) } ?? whole, whole)
      }
    }
    let held = load(.sums, offset, lanes: together).ref
    guard numbers.isPaired else {
      let sums = ir.loop(from: ir.index(0), to: count, carrying: [held]) { j, sums in
        let (kept, whole) = weight(j)
        store(kept, .weights, ir.add(ir.multiply(j, numbers.queries), offset))
        return [(Lanes(sums[0], ir) + whole).ref]
      }
      return store(Lanes(sums[0], ir), .sums, offset)
    }
    let pairs = ir.divide(count, 2)
    let sums = ir.loop(from: ir.index(0), to: pairs, carrying: [held]) { word, sums in
      let (low, high) = (weight(ir.multiply(word, 2)), weight(ir.add(ir.multiply(word, 2), ir.index(1))))
      store(paired(low.kept, high.kept), .weights, ir.add(ir.multiply(word, numbers.queries), offset))
      return [(Lanes(sums[0], ir) + (low.whole + high.whole)).ref]
    }
    store(Lanes(sums[0], ir), .sums, offset)
    ir.when(ir.less(ir.multiply(pairs, 2), count)) {
      let (kept, whole) = weight(ir.multiply(pairs, 2))
      store(paired(kept, nil), .weights, ir.add(ir.multiply(pairs, numbers.queries), offset))
      store(Lanes(sums[0], ir) + whole, .sums, offset)
    }
  }

  /// Writes outputs and the logarithms of the sums; `own`: the block's first query that no other block has.
  private func finish(_ first: LLVMValueRef, _ own: LLVMValueRef) {
    eachVector(first) { offset, _ in
      let sum = load(.sums, offset, lanes: together)
      let isEmpty = sum.isEqual(0)
      if let access = result(.logSum) {
        let logSum = load(.tops, offset, lanes: together) + sum.log()
        evaluator.store(constant(.infinity, lanes: together).when(isEmpty, else: logSum), to: access)
      }
      let inverse = constant(1, lanes: together) / sum
      store(constant(0, lanes: together).when(isEmpty, else: inverse), .sums, offset)
    }
    guard let access = result(.output) else { return }
    turnBack(.outputs, ir.index(0), along: attention.width.index, times: .sums)
    write(
      .turned, access, queryAxis, first, from: own, to: ir.index(layout.liveQueries), along: attention.width.index)
  }
}
