internal import CLLVM
import LTMIR
import LTMKernels

/// Copies an operand's block into panels `[panel][depth][width]`, as the micro-kernel reads them. Whatever the operand is
/// (a half buffer, a transposed view, a body over several loads), the evaluator computes its vectors.
struct Packing {
  let ir: IRBuilder
  let evaluator: Evaluator
  let tiles: Schedule.Tiles
  let depthAxis: Int
  let element: LLVMTypeRef

  /// One side of a tile: rows or columns.
  struct Side {
    let axis: Int
    let extent: Int
    let start: LLVMValueRef
    let count: LLVMValueRef
    /// The width of a panel.
    let panel: Int
  }

  func pack(_ operand: ScalarID, _ side: Side, depth: LLVMValueRef, count: LLVMValueRef, into panels: LLVMValueRef) {
    let rest = side.extent % side.panel
    let whole = ir.subtract(side.count, ir.remainder(side.count, side.panel))
    let isTransposed = runsAlongDepth(operand, side.axis)
    func panel(_ i: LLVMValueRef, live: Int) {
      let target = ir.address(panels, element, ir.multiply(i, tiles.kc))
      let first = ir.add(side.start, i)
      if isTransposed {
        transposed(operand, side, first, live, depth, count, target)
      } else {
        straight(operand, side, first, live, depth, count, target)
      }
    }
    ir.loop(from: ir.index(0), to: whole, step: side.panel) { i, _ in
      panel(i, live: side.panel)
      return []
    }
    if rest != 0 { ir.when(ir.less(whole, side.count)) { panel(whole, live: rest) } }
  }

  /// Whether the operand's neighbours in memory follow each other along the contracted axis.
  private func runsAlongDepth(_ operand: ScalarID, _ axis: Int) -> Bool {
    let accesses = evaluator.kernel.closure(of: [operand]).compactMap { evaluator.kernel.loads[$0] }
    let stray = { (axis: Int) in accesses.filter { !(0...1 ~= $0.form.strides[axis]) }.count }
    return stray(depthAxis) < stray(axis)
  }

  /// Lanes along the panel's width.
  private func straight(
    _ operand: ScalarID, _ side: Side, _ first: LLVMValueRef, _ live: Int, _ depth: LLVMValueRef, _ count: LLVMValueRef,
    _ target: LLVMValueRef
  ) {
    ir.loop(from: ir.index(0), to: count) { k, _ in
      evaluator.at(depthAxis, ir.add(depth, k)) {
        for start in stride(from: 0, to: side.panel, by: tiles.lanes) {
          let width = min(tiles.lanes, side.panel - start)
          let place = ir.address(target, element, ir.add(ir.multiply(k, side.panel), ir.index(start)))
          let value = vector(operand, side.axis, ir.add(first, ir.index(start)), live: min(width, live - start))
          ir.store(value, place, live: width, align: tiles.elementBytes)
        }
      }
      return []
    }
  }

  /// The operand's lanes along an axis; zeros where none is live.
  private func vector(_ operand: ScalarID, _ axis: Int, _ start: LLVMValueRef, live: Int) -> LLVMValueRef {
    if live <= 0 { return LLVMConstNull(ir.vector(element, tiles.lanes)) }
    let vector = VectorAxis(axis: axis, lanes: tiles.lanes, live: live)
    return evaluator.at(axis, start, vector: vector) { evaluator.value(operand, lanes: tiles.lanes).ref }
  }

  /// Lanes along the contracted axis, turned in squares of `lanes` rows.
  private func transposed(
    _ operand: ScalarID, _ side: Side, _ first: LLVMValueRef, _ live: Int, _ depth: LLVMValueRef, _ count: LLVMValueRef,
    _ target: LLVMValueRef
  ) {
    let lanes = tiles.lanes
    let rest = evaluator.kernel.extent(depthAxis) % lanes
    let whole = ir.subtract(count, ir.remainder(count, lanes))
    func square(_ k: LLVMValueRef, depthLive: Int) {
      let starts = Array(stride(from: 0, to: side.panel, by: lanes))
      let squares = starts.map { start in
        transpose(
          (0..<lanes).map { row in
            guard start + row < live else { return LLVMConstNull(ir.vector(element, lanes)) }
            return evaluator.at(side.axis, ir.add(first, ir.index(start + row))) {
              vector(operand, depthAxis, ir.add(depth, k), live: depthLive)
            }
          })
      }
      for q in 0..<depthLive {
        for (start, columns) in zip(starts, squares) {
          let place = ir.add(ir.multiply(ir.add(k, ir.index(q)), side.panel), ir.index(start))
          // Lanes beyond the panel's width fall on what the next store writes.
          ir.store(columns[q], ir.address(target, element, place), align: tiles.elementBytes)
        }
      }
    }
    ir.loop(from: ir.index(0), to: whole, step: lanes) { k, _ in
      square(k, depthLive: lanes)
      return []
    }
    if rest != 0 { ir.when(ir.less(whole, count)) { square(whole, depthLive: rest) } }
  }

  /// Rows become columns, by exchanging blocks of doubling size.
  private func transpose(_ rows: [LLVMValueRef]) -> [LLVMValueRef] {
    let lanes = rows.count
    var rows = rows
    var size = 1
    while size < lanes {
      for i in 0..<lanes where i & size == 0 {
        let (a, b) = (rows[i], rows[i | size])
        rows[i] = ir.shuffle(a, b, (0..<lanes).map { $0 & size == 0 ? $0 : lanes + $0 - size })
        rows[i | size] = ir.shuffle(a, b, (0..<lanes).map { $0 & size == 0 ? $0 + size : lanes + $0 })
      }
      size *= 2
    }
    return rows
  }
}
