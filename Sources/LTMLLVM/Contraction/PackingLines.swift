internal import CLLVM
import LTMIR
import LTMKernels

// Rows as lines along the depth: widened ones, which the micro-kernel reads number by number, and lines of bf16 for AMX's
// tiles, which are filled up with zeros to whole tiles, as the columns that they meet are.
extension Packing {
  /// Copies the lines of one panel, `lineStride` elements apart; of several contracted axes one line behind the other.
  func copyLines(
    _ side: PackedSide, _ panel: LLVMValueRef, _ run: Run, lineStride: Int, into base: LLVMValueRef
  ) {
    guard let axis = run.axes.first else { return }
    if run.axes.count > 1 {
      return eachRun(run) { run in
        let line = Run(axes: run.axes, start: run.start, count: run.count)
        let place = ir.address(base, element, run.before ?? ir.index(0))
        copyLines(side, panel, line, lineStride: lineStride, into: place)
      }
    }
    let lines = Lines(
      side: side, axis: axis, first: ir.multiply(panel, side.width), run: run, stride: lineStride, base: base)
    if stepsTogether > 1, evaluator.kernel.extent(axis) % (stepsTogether * points) != 0 { fillEnds(lines) }
    if stepsTogether > 1, !runsAlongDepth(side, axis) {
      turn(lines, panel)
    } else {
      copy(lines)
    }
  }

  /// What is copied, and to where.
  private struct Lines {
    let side: PackedSide
    /// The contracted axis.
    let axis: Int
    let first: LLVMValueRef
    let run: Run
    let stride: Int
    let base: LLVMValueRef
  }

  private func place(_ lines: Lines, _ line: LLVMValueRef) -> LLVMValueRef {
    ir.address(lines.base, element, ir.multiply(line, lines.stride))
  }

  /// Line by line, in vectors along it.
  private func copy(_ lines: Lines) {
    let rest = evaluator.kernel.extent(lines.axis) % lanes
    let whole = ir.subtract(lines.run.count, ir.remainder(lines.run.count, lanes))
    let count = ir.minimum(ir.index(lines.side.width), ir.subtract(ir.index(lines.side.extent), lines.first))
    ir.loop(from: ir.index(0), to: count) { line, _ in
      let target = place(lines, line)
      func copy(_ k: LLVMValueRef, live: Int) {
        let value = vector(lines.side.operand, lines.axis, ir.add(lines.run.start, k), live: live)
        if points == 1 { return ir.store(value, ir.address(target, element, k), align: elementBytes) }
        ir.store(halves(value, live: live), ir.address(target, ir.i16, k), align: 2)
      }
      evaluator.at(lines.side.axis, ir.add(lines.first, line)) {
        ir.loop(from: ir.index(0), to: whole, step: lanes) { k, _ in
          copy(k, live: lanes)
          return []
        }
        if rest != 0 { ir.when(ir.less(whole, lines.run.count)) { copy(whole, live: rest) } }
      }
      return []
    }
  }

  /// The upper halves of f32 that hold bf16; zeros beyond those that are live.
  private func halves(_ value: LLVMValueRef, live: Int) -> LLVMValueRef {
    let type = ir.vector(ir.i16, lanes)
    let bits = Lanes(value, ir).cast(to: ir.i32).shiftedRight(16)
    let halves: LLVMValueRef = LLVMBuildTrunc(ir.ref, bits.ref, type, "")
    return live == lanes ? halves : ir.shuffle(halves, LLVMConstNull(type), (0..<lanes).map { $0 < live ? $0 : lanes })
  }

  /// Where neighbours in memory lie across the lines: squares of pairs are transposed.
  private func turn(_ lines: Lines, _ panel: LLVMValueRef) {
    let rest = lines.side.extent % lines.side.width
    let isLast = ir.equal(panel, ir.index(lines.side.extent / lines.side.width))
    if lines.side.extent >= lines.side.width {
      ir.when(LLVMBuildNot(ir.ref, isLast, "")) { turn(lines, live: lines.side.width) }
    }
    if rest != 0 { ir.when(isLast) { turn(lines, live: rest) } }
  }

  private func turn(_ lines: Lines, live: Int) {
    let depth = lanes * points
    let rest = evaluator.kernel.extent(lines.axis) % depth
    let whole = ir.subtract(lines.run.count, ir.remainder(lines.run.count, depth))
    func square(_ k: LLVMValueRef, points depthLive: Int) {
      for start in stride(from: 0, to: live, by: lanes) {
        let column = ir.add(lines.first, ir.index(start))
        let rows = (0..<lanes).map { pair -> LLVMValueRef in
          if pair * points >= depthLive { return LLVMConstNull(ir.vector(ir.i32, lanes)) }
          return joined(
            (0..<min(points, depthLive - pair * points)).map { half in
              let place = ir.add(lines.run.start, ir.add(k, ir.index(pair * points + half)))
              return evaluator.at(lines.axis, place) {
                vector(lines.side.operand, lines.side.axis, column, live: min(lanes, live - start))
              }
            })
        }
        for (line, value) in transpose(rows).enumerated() {
          let target = place(lines, ir.index(start + line))
          ir.store(value, ir.address(target, element, ir.divide(k, points)), align: elementBytes)
        }
      }
    }
    ir.loop(from: ir.index(0), to: whole, step: depth) { k, _ in
      square(k, points: depth)
      return []
    }
    if rest != 0 { ir.when(ir.less(whole, lines.run.count)) { square(whole, points: rest) } }
  }

  /// Zeros in the last tile of each line, before what there is of it.
  private func fillEnds(_ lines: Lines) {
    let last = ir.multiply(ir.divide(ir.subtract(steps(lines.run), ir.index(1)), stepsTogether), stepsTogether)
    ir.loop(0..<lines.side.width) { line, _ in
      zeros(ir.address(place(lines, line), element, last), stepsTogether)
      return []
    }
  }

  /// Zeros in panels of columns after the depth, as far as the micro-kernel goes.
  func fill(
    _ side: PackedSide, from: LLVMValueRef, to: LLVMValueRef, _ run: Run, _ place: (LLVMValueRef) -> LLVMValueRef
  ) {
    guard stepsTogether > 1, let axis = run.axes.first, evaluator.kernel.extent(axis) % (stepsTogether * points) != 0
    else { return }
    let (begin, unit) = (steps(run), stepsTogether)
    let end = ir.multiply(ir.divide(ir.add(begin, ir.index(unit - 1)), unit), unit)
    ir.loop(from: from, to: to) { panel, _ in
      ir.loop(from: begin, to: end) { row, _ in
        zeros(ir.address(place(panel), element, ir.multiply(row, side.width)), side.width)
        return []
      }
      return []
    }
  }

  private func steps(_ run: Run) -> LLVMValueRef { ir.divideUp(run.count, points) }

  private func zeros(_ base: LLVMValueRef, _ count: Int) {
    for start in stride(from: 0, to: count, by: lanes) {
      ir.store(
        LLVMConstNull(ir.vector(element, lanes)), ir.address(base, element, ir.index(start)), align: elementBytes)
    }
  }
}
