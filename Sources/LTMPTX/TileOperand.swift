internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

/// How an operand's stretch lies in shared memory.
enum TileLayout: Hashable, Sendable {
  /// `[row][depth]`
  case rowMajor
  /// `[depth][row]`
  case depthMajor
}

/// One operand of a tiled contraction: its stretch of `size` rows (or columns) by `depth` goes from global memory through
/// registers into shared memory, each thread a few vectors.
struct TileOperand {
  let ir: IRBuilder
  let emitter: DeviceEmitter
  let operand: ScalarID
  let axes: [Int]
  let depthAxes: [Int]
  let size: Int
  let depth: Int
  let threads: Int
  let element: DType
  let layout: TileLayout
  /// Whether a thread's vectors run along the contracted axes.
  let runsAlongDepth: Bool
  let lanes: Int

  init(
    _ operand: ScalarID, axes: [Int], size: Int, depthAxes: [Int], _ tiles: DeviceTiles, _ emitter: DeviceEmitter
  ) {
    ir = emitter.ir
    self.emitter = emitter
    (self.operand, self.axes, self.depthAxes, self.size) = (operand, axes, depthAxes, size)
    (depth, threads, element) = (tiles.depth, tiles.threads, tiles.multiply.element)
    let kernel = emitter.kernel
    let (row, inner) = (axes[axes.count - 1], depthAxes[depthAxes.count - 1])
    let accesses = kernel.closure(of: [operand]).compactMap { kernel.loads[$0] }
    let stray = { (axis: Int) in accesses.filter { !(0...1 ~= $0.form.strides[axis]) }.count }
    runsAlongDepth = stray(inner) <= stray(row)
    var lanes = kernel.vectorLanes(runsAlongDepth ? inner : row, [operand])
    // Every thread has the same number of vectors.
    while size * depth / lanes % threads != 0 { lanes /= 2 }
    self.lanes = lanes
    layout =
      switch tiles.multiply {
      case .mma16816: runsAlongDepth ? .rowMajor : .depthMajor
      case .mma884: .rowMajor
      case .scalar: .depthMajor
      }
  }

  /// Distance in elements between rows in shared memory, padded so that neighbours fall on other banks.
  var pitch: Int { (layout == .rowMajor ? depth : size) + 16 / element.byteCount }
  var bytes: Int { (layout == .rowMajor ? size : depth) * pitch * element.byteCount }
  /// Vectors that a thread carries.
  var fetchCount: Int { size * depth / lanes / threads }

  /// The place of a thread's vector in the stretch.
  private func place(_ number: Int, _ thread: LLVMValueRef) -> (row: LLVMValueRef, depth: LLVMValueRef) {
    let unit = ir.add(thread, ir.index(number * threads))
    let perLine = (runsAlongDepth ? depth : size) / lanes
    let (line, along) = (ir.divide(unit, perLine), ir.multiply(ir.remainder(unit, perLine), lanes))
    return runsAlongDepth ? (line, along) : (along, line)
  }

  /// Reads a thread's vectors of the stretch that starts at a row and a depth; zeros outside.
  func fetch(_ thread: LLVMValueRef, _ start: LLVMValueRef, depth first: LLVMValueRef) -> [LLVMValueRef] {
    let kernel = emitter.kernel
    let (rows, depths) = (ir.index(kernel.points(axes)), ir.index(kernel.points(depthAxes)))
    return (0..<fetchCount).map { number in
      let (row, depth) = place(number, thread)
      let (i, k) = (ir.add(start, row), ir.add(first, depth))
      let isInside = ir.both(ir.less(i, rows), ir.less(k, depths))
      return ir.valueWhere(isInside, ir.vector(ir.stored(element), lanes)) { value(i, k) }
    }
  }

  private func value(_ i: LLVMValueRef, _ k: LLVMValueRef) -> LLVMValueRef {
    let (along, other, outer, inner) =
      runsAlongDepth ? (depthAxes, axes, i, k) : (axes, depthAxes, k, i)
    return emitter.evaluator.at(emitter.decompose(outer, other)) {
      emitter.at(ir.divide(inner, lanes), along, lanes: lanes) {
        let value = emitter.evaluator.value(operand, lanes: lanes)
        // An operand of a half dtype is exactly one: the upper bits of an f32 are all of a bf16.
        return element == .bf16
          ? value.cast(to: ir.i32).shiftedRight(16).truncated(to: ir.i16).ref : ir.narrow(value, to: element).ref
      }
    }
  }

  /// Writes fetched vectors to shared memory.
  func put(_ vectors: [LLVMValueRef], _ thread: LLVMValueRef, into memory: LLVMValueRef) {
    for (number, vector) in vectors.enumerated() {
      let (row, depth) = place(number, thread)
      let isAlong = runsAlongDepth == (layout == .rowMajor)
      let (line, along) = layout == .rowMajor ? (row, depth) : (depth, row)
      let first = ir.add(ir.multiply(line, pitch), along)
      if isAlong {
        store(vector, memory, first, align: min(16, lanes * element.byteCount))
      } else {
        for lane in 0..<lanes {
          store(
            ir.extract(vector, lane: lane), memory, ir.add(first, ir.index(lane * pitch)), align: element.byteCount)
        }
      }
    }
  }

  private func store(_ value: LLVMValueRef, _ memory: LLVMValueRef, _ offset: LLVMValueRef, align: Int) {
    ir.store(value, ir.address(memory, ir.stored(element), offset), align: align)
  }
}
