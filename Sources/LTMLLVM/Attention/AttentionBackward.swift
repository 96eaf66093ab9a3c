internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Back: blocks of keys outside, so that their gradients are complete when the next one begins; those of the queries are
// summed up in scratch memory, all of a head's. Weights are computed again from the logarithms of the sums.
extension AttentionEmitter {
  private var groupAxis: Int { kernel.kernel.groupAxis.index }
  private var keyAxis: Int { attention.keys.index }
  private var depthAxis: Int { attention.depth.index }
  private var widthAxis: Int { attention.width.index }

  /// A task has one head of keys.
  func backward() {
    guard let backward = attention.backward else { return }
    emitter.eachTask(0..<layout.taskCount) { task in
      evaluator.at(emitter.decompose(task, layout.taskAxes)) {
        eachBlock { block, number in prepare(backward, block, number) }
        ir.loop(0..<layout.keys, step: numbers.keys) { key, _ in
          let count = ir.minimum(ir.index(numbers.keys), ir.subtract(ir.index(layout.keys), key))
          evaluator.scope { keyBlock(backward, key, count) }
          return []
        }
        if let access = result(.queryGradient) {
          eachBlock { block, number in writeQueries(access, block, number) }
        }
      }
    }
  }

  /// Visits blocks of queries, of all heads that share the keys; `number` counts them all.
  private func eachBlock(_ body: (_ block: LLVMValueRef, _ number: LLVMValueRef) -> Void) {
    ir.loop(0..<layout.groups) { group, _ in
      _ = evaluator.at(groupAxis, group) {
        ir.loop(0..<layout.blocks) { block, _ in
          evaluator.scope { body(block, ir.add(ir.multiply(group, layout.blocks), block)) }
          return []
        }
      }
      return []
    }
  }

  private func blockStart(_ number: LLVMValueRef) -> LLVMValueRef { ir.multiply(number, numbers.queries) }
  private func gradientStart(_ number: LLVMValueRef) -> LLVMValueRef {
    ir.multiply(number, layout.depth * numbers.queries)
  }

  /// For each query of a block the logarithm of its sum, infinite where another block has it, or none; and the mean of its
  /// weights' gradients: that of the output with itself.
  private func prepare(_ backward: KernelAttention.Backward, _ block: LLVMValueRef, _ number: LLVMValueRef) {
    let first = firstQuery(block)
    fill(.logSums, .infinity, from: blockStart(number), count: numbers.queries)
    fill(.means, 0, from: blockStart(number), count: numbers.queries)
    fill(.queryGradients, 0, from: gradientStart(number), count: layout.depth * numbers.queries)
    let own = ir.subtract(blockStart(block), first)
    ir.loop(from: own, to: ir.index(layout.liveQueries)) { offset, _ in
      evaluator.at(queryAxis, ir.add(first, offset)) {
        let place = ir.add(blockStart(number), offset)
        store(evaluator.value(backward.logSum, lanes: 1), .logSums, place)
        store(mean(backward), .means, place)
      }
      return []
    }
  }

  private func mean(_ backward: KernelAttention.Backward) -> Lanes {
    let sum = place(.turned, ir.index(0))
    ir.store(LLVMConstNull(ir.vector(element, lanes)), sum, align: numbers.elementBytes)
    eachPiece(widthAxis) { _, live in
      let held = Lanes(ir.load(ir.vector(element, lanes), sum, align: numbers.elementBytes), ir)
      let (a, b) = (value(backward.gradient, live: live), value(backward.output, live: live))
      ir.store(a.times(b, plus: held).ref, sum, align: numbers.elementBytes)
    }
    return load(.turned, ir.index(0), lanes: lanes).folded(to: 1, +)
  }

  private func keyBlock(_ backward: KernelAttention.Backward, _ key: LLVMValueRef, _ count: LLVMValueRef) {
    let zero = ir.index(0)
    fill(.keyGradients, 0, from: zero, count: numbers.keys * layout.line(layout.depth))
    fill(.valueGradients, 0, from: zero, count: numbers.keys * layout.line(layout.width))
    copy(attention.key, keyAxis, key, count: count, along: depthAxis, into: .key)
    copy(attention.value, keyAxis, key, count: count, along: widthAxis, into: .value)
    if numbers.isPaired {
      interleave(attention.key, keyAxis, key, count: count, along: depthAxis, into: .keyLines)
    }
    eachBlock { block, number in
      let first = firstQuery(block)
      if attention.results[.scoreGradient] != nil {
        // What is hidden has a gradient too, zero.
        return pair(backward, key, count, first, block, number)
      }
      let (low, high) = keyRange(first)
      let seen = ir.minimum(count, ir.subtract(high, key))
      let meets = LLVMBuildAnd(ir.ref, ir.less(ir.index(0), seen), ir.less(low, ir.add(key, count)), "")
      guard let meets else { internalFailure("emission", "no condition") }
      ir.when(meets) { evaluator.scope { pair(backward, key, seen, first, block, number) } }
    }
    if let access = result(.keyGradient) {
      write(.keyGradients, access, keyAxis, key, from: zero, to: count, along: depthAxis)
    }
    if let access = result(.valueGradient) {
      write(.valueGradients, access, keyAxis, key, from: zero, to: count, along: widthAxis)
    }
  }

  /// A block of queries with a block of keys.
  private func pair(
    _ backward: KernelAttention.Backward, _ key: LLVMValueRef, _ count: LLVMValueRef, _ first: LLVMValueRef,
    _ block: LLVMValueRef, _ number: LLVMValueRef
  ) {
    let live = ir.index(layout.liveQueries)
    turn(attention.query, first, along: depthAxis, into: .query)
    turn(backward.gradient, first, along: widthAxis, into: .gradient)
    interleave(attention.query, queryAxis, first, count: live, along: depthAxis, into: .queryLines)
    interleave(backward.gradient, queryAxis, first, count: live, along: widthAxis, into: .gradientLines)
    product(.key, .query, into: .products, layout.depth, count)
    product(.value, .gradient, into: .changes, layout.width, count)
    eachVector(first) { offset, live in changes(backward, key, count, offset, number, live) }
    if let access = result(.scoreGradient) {
      writeScores(access, key, count, first, ir.subtract(blockStart(block), first))
    }
    sum(.weightLines, .gradientLines, into: .valueGradients, layout.width, count)
    sum(.changeLines, .queryLines, into: .keyGradients, layout.depth, count)
    products.call(
      BlockProduct(
        columns: numbers.queries, rowStride: 1, stepStride: layout.line(layout.depth),
        columnStride: numbers.queries, resultStride: numbers.queries, adds: true),
      start(.keyLines), start(.changeRows), place(.queryGradients, gradientStart(number)),
      steps: ir.divideUp(count, numbers.points), rows: ir.index(layout.depth))
  }

  /// Lines of keys or values with queries, summed over their points.
  private func product(
    _ lines: AttentionLayout.Block, _ queries: AttentionLayout.Block, into block: AttentionLayout.Block, _ extent: Int,
    _ count: LLVMValueRef
  ) {
    products.call(
      BlockProduct(
        columns: numbers.queries, rowStride: layout.words(extent), stepStride: 1,
        columnStride: numbers.queries, resultStride: numbers.queries, adds: false),
      start(lines), start(queries), start(block), steps: ir.index(layout.steps(extent)), rows: count)
  }

  /// Adds lines of queries, each as often as keys weigh them.
  private func sum(
    _ weights: AttentionLayout.Block, _ lines: AttentionLayout.Block, into block: AttentionLayout.Block, _ extent: Int,
    _ count: LLVMValueRef
  ) {
    let length = layout.line(extent)
    products.call(
      BlockProduct(
        columns: length, rowStride: layout.steps(numbers.queries), stepStride: 1,
        columnStride: length, resultStride: length, adds: true),
      start(weights), start(lines), start(block), steps: ir.index(layout.steps(layout.liveQueries)), rows: count)
  }

  // MARK: Weights and changes

  /// Of the queries at hand: products become weights, and those of gradients and values how scores change.
  private func changes(
    _ backward: KernelAttention.Backward, _ key: LLVMValueRef, _ count: LLVMValueRef, _ offset: LLVMValueRef,
    _ number: LLVMValueRef, _ live: Int
  ) {
    let place = ir.add(blockStart(number), offset)
    let (logSum, mean) = (load(.logSums, place, lanes: together), load(.means, place, lanes: together))
    func change(_ j: LLVMValueRef) -> Lanes {
      evaluator.at(keyAxis, ir.add(key, j)) { self.change(backward, j, offset, logSum, mean) }
    }
    guard numbers.isPaired else {
      ir.loop(from: ir.index(0), to: count) { j, _ in
        store(change(j), .changes, ir.add(ir.multiply(j, numbers.queries), offset))
        return []
      }
      return
    }
    let pairs = ir.divide(count, 2)
    func rows(_ word: LLVMValueRef, isWhole: Bool) {
      let low = change(ir.multiply(word, 2))
      let high = isWhole ? change(ir.add(ir.multiply(word, 2), ir.index(1))) : nil
      store(paired(low, high), .changeRows, ir.add(ir.multiply(word, numbers.queries), offset))
    }
    ir.loop(from: ir.index(0), to: pairs) { word, _ in
      rows(word, isWhole: true)
      return []
    }
    ir.when(ir.less(ir.multiply(pairs, 2), count)) { evaluator.scope { rows(pairs, isWhole: false) } }
  }

  /// One key's: stores its weights, and gives how its products change.
  private func change(
    _ backward: KernelAttention.Backward, _ j: LLVMValueRef, _ offset: LLVMValueRef, _ logSum: Lanes, _ mean: Lanes
  ) -> Lanes {
    let place = ir.add(ir.multiply(j, numbers.queries), offset)
    let weight = (score(load(.products, place, lanes: together)) - logSum).exp(flushing: true)
    var (kept, slope) = (weight, load(.changes, place, lanes: together))
    if let factor = attention.kept.map({ evaluator.value($0, lanes: together) }) {
      (kept, slope) = (kept * factor, slope * factor)
    }
    let change = weight * (slope - mean)
    let product = change * evaluator.value(backward.slope, lanes: together)
    if attention.results[.scoreGradient] != nil { store(change, .scoreChanges, place) }
    if numbers.isPaired {
      let line = ir.add(ir.multiply(j, layout.steps(numbers.queries)), ir.divide(offset, 2))
      storeHalves(kept, .weightLines, line)
      storeHalves(product, .changeLines, line)
    } else {
      store(kept, .weightLines, place)
    }
    return product
  }

  private func storeHalves(_ value: Lanes, _ block: AttentionLayout.Block, _ index: LLVMValueRef) {
    ir.store(value.narrowed(to: ir.bfloat).cast(to: ir.i16).ref, place(block, index), align: 2)
  }

  // MARK: Results

  private func writeQueries(_ access: FlatAccess, _ block: LLVMValueRef, _ number: LLVMValueRef) {
    let first = firstQuery(block)
    turnBack(.queryGradients, gradientStart(number), along: depthAxis, times: nil)
    write(
      .turned, access, queryAxis, first, from: ir.subtract(blockStart(block), first),
      to: ir.index(layout.liveQueries), along: depthAxis)
  }

  /// One by one: the gradient of a bias is as large as the scores, whatever writes it.
  private func writeScores(
    _ access: FlatAccess, _ key: LLVMValueRef, _ count: LLVMValueRef, _ first: LLVMValueRef, _ own: LLVMValueRef
  ) {
    ir.loop(from: own, to: ir.index(layout.liveQueries)) { offset, _ in
      _ = evaluator.at(queryAxis, ir.add(first, offset)) {
        ir.loop(from: ir.index(0), to: count) { j, _ in
          let value = load(.scoreChanges, ir.add(ir.multiply(j, numbers.queries), offset), lanes: 1)
          evaluator.at(keyAxis, ir.add(key, j)) { evaluator.store(value, to: access) }
          return []
        }
      }
      return []
    }
  }
}
