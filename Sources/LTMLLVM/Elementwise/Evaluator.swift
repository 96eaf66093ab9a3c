package import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// A scalar expression's value at the current place: one lane where it does not vary along the vector axis.
package struct EmittedValue {
  package var lanes: Lanes
  package var dtype: DType
}

/// The axis along which lanes run, how many there are, and how many of them lie inside the axis.
package struct VectorAxis {
  package var axis: Int
  package var lanes: Int
  package var live: Int
  /// Whether the lower halves of words come before the upper ones: ``IRBuilder/widenPairs(_:)``.
  var isPaired = false
  /// Whether the index of the first lane is a multiple of their number.
  package var isAligned = false
  package init(axis: Int, lanes: Int, live: Int) {
    self.axis = axis
    self.lanes = lanes
    self.live = live
  }
}

/// Turns a kernel's scalar expressions into instructions at a place: an index for each axis, one of them with lanes.
///
/// A value is computed once in the innermost scope (loop body) where its axes are bound, and reused in the scopes inside.
package final class Evaluator {
  package let ir: IRBuilder
  package let kernel: FlatKernel
  let buffers: [LLVMValueRef]
  /// Where out-of-range elements are read instead.
  let spare: LLVMValueRef
  let isDevice: Bool
  let facts: FormulaFacts

  package private(set) var index: [LLVMValueRef]
  package private(set) var vector: VectorAxis?
  /// Whether a store bypassed the caches.
  var hasStreamed = false
  /// Whether loads prefetch what follows them.
  var prefetches = false
  /// Where blocks of operands wait that lie across the vectors.
  var transposed: [FlatAccess: TransposedBlock] = [:]
  private var scopes: [[Int: EmittedValue]] = [[:]]
  /// For each scope the words of counters, by the expressions of the counter and the key.
  var drawn: [[[ScalarID]: [Lanes]]] = [[:]]
  private var locals: [LocalID: EmittedValue] = [:]
  /// The address of a row scratch at index 0, and the distance between its elements.
  package var rows: [LocalID: (base: LLVMValueRef, stride: Int)] = [:]
  /// Where f32 values have been kept that vary along the vector axis: alone, or within the row at hand.
  var kept: [ScalarID: LLVMValueRef] = [:]
  /// What the statement at hand keeps for those that follow, and where.
  var keeping: [(id: ScalarID, base: LLVMValueRef)] = []

  /// Reads the addresses of the kernel's buffers from the launch's argument block.
  convenience init(_ ir: IRBuilder, _ kernel: FlatKernel, arguments: LLVMValueRef) {
    let buffers = kernel.kernel.buffers.indices.map { place in
      ir.load(ir.pointer, ir.address(arguments, ir.pointer, ir.index(place)), align: 8)
    }
    guard let spare = LLVMBuildAlloca(ir.ref, ir.vector(ir.i64, 128), "spare") else {
      internalFailure("emission", "no spare memory")
    }
    ir.store(LLVMConstNull(ir.vector(ir.i64, 128)), spare, align: 64)
    self.init(ir, kernel, buffers: buffers, spare: spare, isDevice: false)
  }

  /// - Parameters:
  ///   - buffers: the addresses of the kernel's buffers.
  ///   - spare: memory that may be read in place of an element out of range.
  ///   - isDevice: vectors are accessed as one where their places are multiples of their length, and the elements of
  ///     row scratches are computed again where they are needed.
  package init(
    _ ir: IRBuilder, _ kernel: FlatKernel, buffers: [LLVMValueRef], spare: LLVMValueRef, isDevice: Bool
  ) {
    self.ir = ir
    self.kernel = kernel
    self.buffers = buffers
    self.spare = spare
    self.isDevice = isDevice
    facts = FormulaFacts(kernel.kernel, isPlain: ir.profile.keepsOrder)
    index = [LLVMValueRef](repeating: ir.index(0), count: kernel.kernel.axes.count)
  }

  // MARK: Places

  /// Runs `body` with an axis at a value, in a scope of its own.
  package func at<R>(_ axis: Int, _ value: LLVMValueRef, vector: VectorAxis? = nil, _ body: () -> R) -> R {
    let (outerIndex, outerVector) = (index[axis], self.vector)
    index[axis] = value
    if let vector { self.vector = vector }
    scopes.append([:])
    drawn.append([:])
    defer {
      scopes.removeLast()
      drawn.removeLast()
      index[axis] = outerIndex
      self.vector = outerVector
    }
    return body()
  }

  /// Runs `body` in a scope of its own: what it computes is not known after it.
  package func scope<R>(_ body: () -> R) -> R {
    scopes.append([:])
    drawn.append([:])
    defer {
      scopes.removeLast()
      drawn.removeLast()
    }
    return body()
  }

  /// Runs `body` with several axes at values.
  package func at<R>(_ axes: [(axis: Int, value: LLVMValueRef)], _ body: () -> R) -> R {
    guard let first = axes.first else { return body() }
    return at(first.axis, first.value) { at(Array(axes.dropFirst()), body) }
  }

  /// Binds a local to a value from here on.
  package func bind(_ local: LocalID, _ value: Lanes) {
    locals[local] = EmittedValue(lanes: value, dtype: kernel.kernel[local].dtype)
  }

  // MARK: Values

  /// Computes here whatever `roots` need that does not depend on `axes`: what a loop over them need not repeat.
  package func hoist(_ roots: [ScalarID], outOf axes: [Int]) {
    for id in kernel.closure(of: roots) where kernel.dependencies[id].isDisjoint(with: axes) && !facts.isFused[id] {
      _ = known(id)
    }
  }

  /// The value of an expression, in one lane or all.
  package func value(_ id: ScalarID) -> EmittedValue {
    for operand in kernel.closure(of: [id]) where !facts.isFused[operand] { _ = known(operand) }
    return known(id.index)
  }

  /// The value in exactly `lanes` lanes.
  package func value(_ id: ScalarID, lanes: Int) -> Lanes { spread(value(id).lanes, lanes) }

  package func spread(_ value: Lanes, _ lanes: Int) -> Lanes {
    value.count == lanes ? value : Lanes(ir.splat(value.ref, lanes), ir)
  }

  /// Keeps the vectors of `keeping` at the current place; a tail's fills its last one up.
  func keep() {
    guard let vector else { return }
    for (id, base) in keeping {
      ir.store(value(id, lanes: vector.lanes).ref, ir.address(base, ir.float, index[vector.axis]), align: 4)
    }
  }

  /// What follows computes a statement, until the next one.
  package func begin(_ statement: KernelStatement) { ir.debug?.locate(kernel.kernel.location(of: statement)) }

  func known(_ id: Int) -> EmittedValue {
    for scope in scopes.reversed() { if let value = scope[id] { return value } }
    let reader = ir.debug?.location
    ir.debug?.locate(kernel.kernel.location(of: ScalarID(id)))
    defer { ir.debug?.locate(reader) }
    let value = EmittedValue(lanes: compute(id), dtype: kernel.kernel.dtype(ScalarID(id)))
    scopes[scopes.count - 1][id] = value
    return value
  }

  private func compute(_ id: Int) -> Lanes {
    if let base = kept[ScalarID(id)], let vector {
      return Lanes(
        ir.load(ir.vector(ir.float, vector.lanes), ir.address(base, ir.float, index[vector.axis]), align: 4), ir)
    }
    switch kernel.kernel.expressions[id] {
    case .constant(let value, let dtype): return constant(value, dtype)
    case .axis(let axis): return position(axis.index)
    case .load:
      guard let access = kernel.loads[id] else { internalFailure("emission", "load without access") }
      return load(access)
    case .local(let local):
      guard let value = locals[local] else { internalFailure("emission", "local used before its statement") }
      return value.lanes
    case .scratch(let local): return row(local)
    case .apply(let primitive, let operands, _):
      if primitive == .philox { return philox(operands) }
      if let sum = multiplyAdd(primitive, operands) { return sum }
      if primitive == .exp, ir.hasShortExp, kernel.kernel.dtype(operands[0]) == .f32 {
        return exponent(operands[0]).shortPower(isAddend: facts.isAddend[id])
      }
      if primitive == .timesSigmoid, ir.hasShortExp, kernel.kernel.dtype(operands[1]) == .f32 {
        let (factor, power) = (known(operands[0].index).lanes, exponent(operands[1], isNegated: true))
        let lanes = max(factor.count, power.count)
        return spread(factor, lanes).timesShortSigmoid(spread(power, lanes))
      }
      let values = operands.map { known($0.index) }
      let lanes = values.map(\.lanes.count).max() ?? 1
      let dtype = primitive == .select ? values[1].dtype : values[0].dtype
      return ir.apply(primitive, values.map { spread($0.lanes, lanes) }, operand: dtype, flushing: facts.mayFlush[id])
    case .convert(let operand, let dtype):
      let value = known(operand.index)
      return ir.convert(value.lanes, from: value.dtype, to: dtype)
    case .round(let operand, let dtype): return ir.round(known(operand.index).lanes, to: dtype)
    }
  }

  /// The sum or difference of a product and something else, rounded once.
  private func multiplyAdd(_ primitive: Primitive, _ operands: [ScalarID]) -> Lanes? {
    guard let place = operands.firstIndex(where: { facts.isFused[$0.index] }),
      case .apply(.mul, let factors, _) = kernel.kernel[operands[place]]
    else { return nil }
    let isDifference = primitive == .sub
    let other = known(operands[1 - place].index).lanes
    let (a, b) = (known(factors[0].index).lanes, known(factors[1].index).lanes)
    let lanes = max(other.count, a.count, b.count)
    let addend = spread(isDifference && place == 0 ? -other : other, lanes)
    return spread(isDifference && place == 1 ? -a : a, lanes).times(spread(b, lanes), plus: addend)
  }

  func constant(_ value: Double, _ dtype: DType) -> Lanes {
    let type = ir.scalar(dtype)
    if dtype.isFloating { return Lanes(ir.constant(value, type), ir) }
    return Lanes(ir.constant(bits: Int(exactly: dtype.round(value)) ?? Int.max, type), ir)
  }

  /// The index along an axis, as i32.
  private func position(_ axis: Int) -> Lanes {
    let first = Lanes(index[axis], ir).truncated(to: ir.i32)
    guard let vector, vector.axis == axis, vector.lanes > 1 else { return first }
    return spread(first, vector.lanes).plusBits(Lanes(ir.constants(Array(0..<vector.lanes), ir.i32), ir))
  }
}
