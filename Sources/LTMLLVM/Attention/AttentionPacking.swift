internal import CLLVM
import LTMIR
import LTMKernels

// How operands come to an attention's products: with lanes along queries, as they lie, or two lines in a word.
extension AttentionEmitter {
  /// Visits a line's vectors: all whole ones, and the last.
  func eachPiece(_ axis: Int, _ body: (_ first: LLVMValueRef, _ live: Int) -> Void) {
    let extent = kernel.extent(axis)
    func visit(_ first: LLVMValueRef, _ live: Int) {
      let vector = VectorAxis(axis: axis, lanes: lanes, live: live)
      evaluator.at(axis, first, vector: vector) { body(first, live) }
    }
    ir.loop(0..<extent / lanes * lanes, step: lanes) { first, _ in
      visit(first, lanes)
      return []
    }
    if extent % lanes > 0 { visit(ir.index(extent / lanes * lanes), extent % lanes) }
  }

  /// An operand along the vector axis, zeros behind its end: what does not vary there, as along an axis of one point, is in all
  /// lanes.
  func value(_ operand: ScalarID, live: Int) -> Lanes {
    let value = evaluator.value(operand, lanes: lanes)
    if live == lanes { return value }
    return value.when(Lanes(ir.mask(lanes: lanes, live: live), ir), else: constant(0, lanes: lanes))
  }

  /// Queries as lanes: `[step][query]`, from lines along `axis`. Queries that are none are zeros.
  func turn(_ operand: ScalarID, _ first: LLVMValueRef, along axis: Int, into block: AttentionLayout.Block) {
    func square(_ offset: LLVMValueRef, rows: Int) {
      eachPiece(axis) { point, live in
        let lines = (0..<lanes).map { row -> LLVMValueRef in
          guard row < rows else { return LLVMConstNull(ir.vector(element, lanes)) }
          let query = ir.add(first, ir.add(offset, ir.index(row)))
          return evaluator.at(queryAxis, query) { value(operand, live: live).ref }
        }
        let columns = ir.transpose(lines, elementBytes: numbers.elementBytes)
        let step = ir.divide(point, numbers.points)
        for number in 0..<layout.steps(live) {
          let index = ir.add(ir.multiply(ir.add(step, ir.index(number)), numbers.queries), offset)
          let words =
            numbers.isPaired
            ? joined(Lanes(columns[2 * number], ir), Lanes(columns[2 * number + 1], ir)) : Lanes(columns[number], ir)
          store(words, block, index)
        }
      }
    }
    let whole = layout.liveQueries / lanes * lanes
    ir.loop(0..<whole, step: lanes) { offset, _ in
      square(offset, rows: lanes)
      return []
    }
    for offset in stride(from: whole, to: numbers.queries, by: lanes) {
      square(ir.index(offset), rows: max(0, layout.liveQueries - offset))
    }
  }

  /// Words of two numbers that are bf16, the second above.
  private func joined(_ low: Lanes, _ high: Lanes?) -> Lanes {
    let first = low.cast(to: ir.i32).shiftedRight(16)
    guard let high else { return first.cast(to: ir.float) }
    let bits = high.cast(to: ir.i32)
    return first.or(bits.and(bits.bits(-0x10000))).cast(to: ir.float)
  }

  /// Lines as they lie: `[line][point]`, bf16 in half the space.
  func copy(
    _ operand: ScalarID, _ lineAxis: Int, _ first: LLVMValueRef, count: LLVMValueRef, along axis: Int,
    into block: AttentionLayout.Block
  ) {
    let length = layout.words(kernel.extent(axis))
    ir.loop(from: ir.index(0), to: count) { line, _ in
      evaluator.at(lineAxis, ir.add(first, line)) {
        eachPiece(axis) { point, live in
          let value = value(operand, live: live)
          let index = ir.add(ir.multiply(line, length), ir.divide(point, numbers.points))
          if numbers.isPaired {
            ir.store(ir.upperHalf(value).ref, place(block, index), align: 2)
          } else {
            store(value, block, index)
          }
        }
      }
      return []
    }
  }

  /// Two lines in each word: `[word][point]`, the second above, or a zero where there is none; or lines as they lie.
  func interleave(
    _ operand: ScalarID, _ lineAxis: Int, _ first: LLVMValueRef, count: LLVMValueRef, along axis: Int,
    into block: AttentionLayout.Block
  ) {
    guard numbers.isPaired else { return copy(operand, lineAxis, first, count: count, along: axis, into: block) }
    let length = layout.line(kernel.extent(axis))
    func word(_ index: LLVMValueRef, isWhole: Bool) {
      let line = ir.add(first, ir.multiply(index, 2))
      eachPiece(axis) { point, live in
        func row(_ line: LLVMValueRef) -> Lanes { evaluator.at(lineAxis, line) { value(operand, live: live) } }
        let words = joined(row(line), isWhole ? row(ir.add(line, ir.index(1))) : nil)
        store(words, block, ir.add(ir.multiply(index, length), point))
      }
    }
    let whole = ir.divide(count, 2)
    ir.loop(from: ir.index(0), to: whole) { index, _ in
      word(index, isWhole: true)
      return []
    }
    ir.when(ir.less(ir.multiply(whole, 2), count)) { evaluator.scope { word(whole, isWhole: false) } }
  }

  /// From lanes along queries, `[point][query]`, to lines of points, `[query][point]`, times a number of each query.
  func turnBack(
    _ block: AttentionLayout.Block, _ first: LLVMValueRef, along axis: Int, times factors: AttentionLayout.Block?
  ) {
    let (extent, length) = (kernel.extent(axis), layout.line(kernel.extent(axis)))
    ir.loop(0..<roundUp(layout.liveQueries, lanes), step: lanes) { offset, _ in
      let factor = factors.map { load($0, offset, lanes: lanes) }
      for point in stride(from: 0, to: extent, by: lanes) {
        let rows = (0..<lanes).map { row -> LLVMValueRef in
          guard point + row < extent else { return LLVMConstNull(ir.vector(element, lanes)) }
          let index = ir.add(first, ir.add(ir.index((point + row) * numbers.queries), offset))
          let value = load(block, index, lanes: lanes)
          return (factor.map { value * $0 } ?? value).ref
        }
        for (row, line) in ir.transpose(rows, elementBytes: numbers.elementBytes).enumerated() {
          let index = ir.add(ir.multiply(ir.add(offset, ir.index(row)), length), ir.index(point))
          store(Lanes(line, ir), .turned, index)
        }
      }
      return []
    }
  }

  /// Writes lines of a block, from one to behind another, that stand at an axis from `first` on.
  func write(
    _ block: AttentionLayout.Block, _ access: FlatAccess, _ lineAxis: Int, _ first: LLVMValueRef,
    from: LLVMValueRef, to: LLVMValueRef, along axis: Int
  ) {
    let length = layout.line(kernel.extent(axis))
    ir.loop(from: from, to: to) { line, _ in
      evaluator.at(lineAxis, ir.add(first, line)) {
        eachPiece(axis) { point, _ in
          evaluator.store(load(block, ir.add(ir.multiply(line, length), point), lanes: lanes), to: access)
        }
      }
      return []
    }
  }
}
