internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

/// One operand of a tiled contraction on its way from global to shared memory, each thread a few vectors: through
/// registers, or by `cp.async` where the vectors are copied as they are.
struct TileOperand {
  let ir: IRBuilder
  let emitter: DeviceEmitter
  let operand: ScalarID
  let axes: [Int]
  let depthAxes: [Int]
  let side: TileSide
  let threads: Int

  private var element: DType { side.element }
  /// Vectors that a thread moves.
  var vectorCount: Int { side.size * side.depth / side.lanes / threads }
  /// Vectors that a thread carries in registers while the K-stage before is multiplied.
  var carriedCount: Int { side.isCopied ? 0 : vectorCount }

  /// The place of a thread's vector in the K-stage.
  private func place(_ number: Int, _ thread: LLVMValueRef) -> (row: LLVMValueRef, depth: LLVMValueRef) {
    let unit = ir.add(thread, ir.index(number * threads))
    let perLine = (side.runsAlongDepth ? side.depth : side.size) / side.lanes
    let (line, along) = (ir.divide(unit, perLine), ir.multiply(ir.remainder(unit, perLine), side.lanes))
    return side.runsAlongDepth ? (line, along) : (along, line)
  }

  /// Whether a vector at a row and a depth lies inside, where that is not known.
  private func isInside(_ row: LLVMValueRef, _ depth: LLVMValueRef, and isWanted: LLVMValueRef? = nil)
    -> LLVMValueRef?
  {
    let kernel = emitter.kernel
    let (rows, depths) = (kernel.points(axes), kernel.points(depthAxes))
    let ofRows = rows % side.size == 0 ? nil : ir.less(row, ir.index(rows))
    let ofDepths = depths % side.depth == 0 ? nil : ir.less(depth, ir.index(depths))
    let known = [isWanted, ofRows, ofDepths].compactMap { $0 }
    return known.first.map { known.dropFirst().reduce($0, ir.both) }
  }

  /// Runs `body` at the vector that starts at a row and a depth.
  private func at<R>(_ row: LLVMValueRef, _ depth: LLVMValueRef, _ body: () -> R) -> R {
    let (along, other, outer, inner) =
      side.runsAlongDepth ? (depthAxes, axes, row, depth) : (axes, depthAxes, depth, row)
    return emitter.evaluator.at(emitter.decompose(outer, other)) {
      emitter.at(ir.divide(inner, side.lanes), along, lanes: side.lanes, body)
    }
  }

  // MARK: Through registers

  /// Reads a thread's vectors of the K-stage that starts at a row and a depth; zeros outside.
  func fetch(
    _ thread: LLVMValueRef, _ start: LLVMValueRef, depth first: LLVMValueRef, where isWanted: LLVMValueRef?
  ) -> [LLVMValueRef] {
    (0..<carriedCount).map { number in
      let (row, depth) = place(number, thread)
      let (i, k) = (ir.add(start, row), ir.add(first, depth))
      guard let isInside = isInside(i, k, and: isWanted) else { return value(i, k) }
      return ir.valueWhere(isInside, ir.vector(ir.stored(element), side.lanes)) { value(i, k) }
    }
  }

  private func value(_ i: LLVMValueRef, _ k: LLVMValueRef) -> LLVMValueRef {
    at(i, k) {
      let value = emitter.evaluator.value(operand, lanes: side.lanes)
      // An operand of a half dtype is exactly one: the upper bits of an f32 are all of a bf16.
      return element == .bf16
        ? value.cast(to: ir.i32).shiftedRight(16).truncated(to: ir.i16).ref : ir.narrow(value, to: element).ref
    }
  }

  /// Writes fetched vectors to shared memory.
  func put(_ vectors: [LLVMValueRef], _ thread: LLVMValueRef, into memory: LLVMValueRef) {
    for (number, vector) in vectors.enumerated() {
      let (row, depth) = place(number, thread)
      if side.runsAlongDepth == side.layout.runsAlongDepth {
        store(vector, side.offset(row: row, depth: depth, ir), memory, align: min(16, side.lanes * element.byteCount))
      } else {
        for lane in 0..<side.lanes {
          let step = ir.index(lane)
          let place =
            side.runsAlongDepth
            ? side.offset(row: row, depth: ir.add(depth, step), ir)
            : side.offset(row: ir.add(row, step), depth: depth, ir)
          store(ir.extract(vector, lane: lane), place, memory, align: element.byteCount)
        }
      }
    }
  }

  private func store(_ value: LLVMValueRef, _ offset: LLVMValueRef, _ memory: LLVMValueRef, align: Int) {
    ir.store(value, ir.address(memory, ir.stored(element), offset), align: align)
  }

  // MARK: Past the registers

  /// Starts the copies of a thread's vectors of the K-stage that starts at a row and a depth; zeros come from outside.
  func copy(
    _ thread: LLVMValueRef, _ start: LLVMValueRef, depth first: LLVMValueRef, into memory: LLVMValueRef
  ) {
    guard side.isCopied, let access = emitter.kernel.loads[operand.index] else { return }
    for number in 0..<vectorCount {
      let (row, depth) = place(number, thread)
      let (i, k) = (ir.add(start, row), ir.add(first, depth))
      let target = ir.address(memory, ir.stored(element), side.offset(row: row, depth: depth, ir))
      let isInside = isInside(i, k)
      let source = at(i, k) {
        emitter.evaluator.address(access, mayLieOutside: isInside != nil)
      }
      let base = emitter.evaluator.base(access)
      ir.copy(
        from: isInside.map { ir.select($0, source, base) } ?? source, to: target,
        bytes: isInside.map { ir.select($0, ir.constant(bits: 16, ir.i32), ir.constant(bits: 0, ir.i32)) }
          ?? ir.constant(bits: 16, ir.i32))
    }
  }
}

extension TileSide {
  /// Where an element of the K-stage lies, in elements; of a vector's first where vectors run along the layout's lines.
  func offset(row: LLVMValueRef, depth: LLVMValueRef, _ ir: IRBuilder) -> LLVMValueRef {
    switch layout {
    case .rowMajor: return ir.add(ir.multiply(row, pitch), depth)
    case .depthMajor: return ir.add(ir.multiply(depth, pitch), row)
    case .rowMajorSwizzled: return swizzled(line: row, along: depth, ir)
    case .depthMajorSwizzled:
      let block = ir.multiply(ir.divide(row, 64), self.depth * 64)
      return ir.add(block, swizzled(line: depth, along: ir.remainder(row, 64), ir))
    }
  }

  /// Lines of 64 halves; piece p of line l lies at place p ^ (l % 8).
  private func swizzled(line: LLVMValueRef, along: LLVMValueRef, _ ir: IRBuilder) -> LLVMValueRef {
    let piece = ir.exclusiveOr(ir.divide(along, 8), ir.remainder(line, 8))
    let start = ir.add(ir.multiply(line, 64), ir.multiply(piece, 8))
    return ir.add(start, ir.remainder(along, 8))
  }
}
