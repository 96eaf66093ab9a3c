package import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// A scalar expression's value at the current place: one lane where it does not vary along the vector axis.
package struct Value {
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
  private let spare: LLVMValueRef
  private let isDevice: Bool
  let facts: FormulaFacts

  package private(set) var index: [LLVMValueRef]
  package private(set) var vector: VectorAxis?
  /// Whether a store bypassed the caches.
  var hasStreamed = false
  private var scopes: [[Int: Value]] = [[:]]
  private var locals: [LocalID: Value] = [:]
  /// The address of a row scratch at index 0, and the distance between its elements.
  package var rows: [LocalID: (base: LLVMValueRef, stride: Int)] = [:]
  /// Where f32 values that vary along the vector axis alone have been kept.
  var kept: [ScalarID: LLVMValueRef] = [:]

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
    facts = FormulaFacts(kernel.kernel)
    index = [LLVMValueRef](repeating: ir.index(0), count: kernel.kernel.axes.count)
  }

  // MARK: Places

  /// Runs `body` with an axis at a value, in a scope of its own.
  package func at<R>(_ axis: Int, _ value: LLVMValueRef, vector: VectorAxis? = nil, _ body: () -> R) -> R {
    let (outerIndex, outerVector) = (index[axis], self.vector)
    index[axis] = value
    if let vector { self.vector = vector }
    scopes.append([:])
    defer {
      scopes.removeLast()
      index[axis] = outerIndex
      self.vector = outerVector
    }
    return body()
  }

  /// Runs `body` in a scope of its own: what it computes is not known after it.
  package func scope<R>(_ body: () -> R) -> R {
    scopes.append([:])
    defer { scopes.removeLast() }
    return body()
  }

  /// Runs `body` with several axes at values.
  package func at<R>(_ axes: [(axis: Int, value: LLVMValueRef)], _ body: () -> R) -> R {
    guard let first = axes.first else { return body() }
    return at(first.axis, first.value) { at(Array(axes.dropFirst()), body) }
  }

  /// Binds a local to a value from here on.
  package func bind(_ local: LocalID, _ value: Lanes) {
    locals[local] = Value(lanes: value, dtype: kernel.kernel[local].dtype)
  }

  // MARK: Values

  /// Computes here whatever `roots` need that does not depend on `axes`: what a loop over them need not repeat.
  package func hoist(_ roots: [ScalarID], outOf axes: [Int]) {
    for id in kernel.closure(of: roots) where kernel.dependencies[id].isDisjoint(with: axes) && !facts.isFused[id] {
      _ = known(id)
    }
  }

  /// The value of an expression, in one lane or all.
  package func value(_ id: ScalarID) -> Value {
    for operand in kernel.closure(of: [id]) where !facts.isFused[operand] { _ = known(operand) }
    return known(id.index)
  }

  /// The value in exactly `lanes` lanes.
  package func value(_ id: ScalarID, lanes: Int) -> Lanes { spread(value(id).lanes, lanes) }

  package func spread(_ value: Lanes, _ lanes: Int) -> Lanes {
    value.count == lanes ? value : Lanes(ir.splat(value.ref, lanes), ir)
  }

  /// What follows computes a statement, until the next one.
  package func begin(_ statement: KernelStatement) { ir.debug?.locate(kernel.kernel.location(of: statement)) }

  private func known(_ id: Int) -> Value {
    for scope in scopes.reversed() { if let value = scope[id] { return value } }
    let reader = ir.debug?.location
    ir.debug?.locate(kernel.kernel.location(of: ScalarID(id)))
    defer { ir.debug?.locate(reader) }
    let value = Value(lanes: compute(id), dtype: kernel.kernel.dtype(ScalarID(id)))
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
      if let sum = multiplyAdd(primitive, operands) { return sum }
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

  private func constant(_ value: Double, _ dtype: DType) -> Lanes {
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

  // MARK: Addresses

  /// A linear form at the current place, its lane 0.
  package func offset(_ form: LinearForm) -> LLVMValueRef {
    var sum = ir.index(form.offset)
    for (axis, stride) in form.strides.enumerated() where stride != 0 {
      sum = ir.add(ir.multiply(index[axis], stride), sum)
    }
    return sum
  }

  /// The address of a load's element at the current place, where no index of it is data.
  package func address(_ access: FlatAccess, mayLieOutside: Bool) -> LLVMValueRef {
    let element = ir.stored(kernel.kernel[access.buffer].dtype)
    return ir.address(base(access), element, offset(access.form), mayLieOutside: mayLieOutside)
  }

  /// The address of the buffer of an access.
  package func base(_ access: FlatAccess) -> LLVMValueRef { buffers[access.buffer.index] }

  func laneStride(_ form: LinearForm) -> Int { vector.map { form.strides[$0.axis] } ?? 0 }

  private func row(_ local: LocalID) -> Lanes {
    if isDevice, let row = kernel.row(local) { return known(row.value.index).lanes }
    guard let (base, stride) = rows[local], let axis = kernel.scratchAxis(local) else {
      internalFailure("emission", "scratch used before its statement")
    }
    let dtype = kernel.kernel[local].dtype
    let place = ir.address(base, ir.stored(dtype), ir.multiply(index[axis], stride))
    // Rows are padded to whole vectors, so a tail reads past its end without harm.
    let lanes = stride > 1 || vector?.axis == axis ? vector?.lanes ?? 1 : 1
    return ir.widen(Lanes(ir.load(ir.vector(ir.stored(dtype), lanes), place, align: dtype.byteCount), ir), from: dtype)
  }

  /// The alignment of an access along the vector axis. Buffers start at multiples of 16.
  func alignment(_ access: FlatAccess, _ lanes: Int) -> Int {
    let bytes = kernel.kernel[access.buffer].dtype.byteCount
    guard isDevice, let vector else { return bytes }
    let strides = access.form.strides.enumerated().filter { $0.offset != vector.axis }.map(\.element)
    let steps = strides + access.dynamic.map(\.stride) + [access.form.offset]
    return steps.allSatisfy { $0 % lanes == 0 } ? min(16, lanes * bytes) : bytes
  }

  private func load(_ access: FlatAccess) -> Lanes {
    let dtype = kernel.kernel[access.buffer].dtype
    let element = ir.stored(dtype)
    let stride = laneStride(access.form)
    let dynamic = access.dynamic.map { part in (clamp(known(part.index.index), part.limit), part.stride) }
    let conditions = access.guards.map(condition)
    let varies = (dynamic.map(\.0.count) + conditions.map(\.count)).contains { $0 > 1 }
    if varies || (stride != 0 && stride != 1) {
      return gather(access, dynamic, conditions)
    }
    let offset = dynamic.reduce(offset(access.form)) { ir.add($0, ir.multiply($1.0.ref, $1.1)) }
    var place = ir.address(buffers[access.buffer.index], element, offset, mayLieOutside: !conditions.isEmpty)
    for condition in conditions { place = ir.select(condition.ref, place, spare) }
    let lanes = stride == 0 ? 1 : vector?.lanes ?? 1
    let live = stride == 0 ? 1 : vector?.live ?? 1
    if stride == 1, let vector, vector.isPaired {
      let words = ir.load(ir.vector(ir.i32, vector.lanes / 2), place, align: dtype.byteCount)
      return guarded(ir.widenPairs(Lanes(words, ir)), conditions, access.otherwise, dtype)
    }
    let raw = ir.load(element, place, lanes: lanes, live: live, align: alignment(access, lanes))
    return guarded(ir.widen(Lanes(raw, ir), from: dtype), conditions, access.otherwise, dtype)
  }

  /// Asks for the elements of an expression's plain loads. The place may lie outside of the buffers.
  func prefetch(_ id: ScalarID) {
    for case let access? in kernel.closure(of: [id]).map({ kernel.loads[$0] })
    where access.dynamic.isEmpty && access.guards.isEmpty {
      let element = ir.stored(kernel.kernel[access.buffer].dtype)
      let place = ir.address(buffers[access.buffer.index], element, offset(access.form), mayLieOutside: true)
      _ = ir.call(
        intrinsic: "llvm.prefetch", [ir.pointer], [place] + [0, 3, 1].map { ir.constant(bits: $0, ir.i32) })
    }
  }

  /// Lane by lane: elements that are not neighbours.
  private func gather(_ access: FlatAccess, _ dynamic: [(Lanes, Int)], _ conditions: [Lanes]) -> Lanes {
    guard let vector else { internalFailure("emission", "gather without lanes") }
    let dtype = kernel.kernel[access.buffer].dtype
    let element = ir.stored(dtype)
    let first = offset(access.form)
    var whole: LLVMValueRef = LLVMConstNull(ir.vector(element, vector.lanes))
    for lane in 0..<vector.live {
      var place = ir.add(first, ir.index(lane * laneStride(access.form)))
      for (index, stride) in dynamic {
        place = ir.add(place, ir.multiply(ir.extract(index.ref, lane: lane), stride))
      }
      var pointer = ir.address(buffers[access.buffer.index], element, place, mayLieOutside: !conditions.isEmpty)
      for condition in conditions { pointer = ir.select(ir.extract(condition.ref, lane: lane), pointer, spare) }
      let value = ir.load(element, pointer, align: dtype.byteCount)
      whole = vector.lanes == 1 ? value : ir.insert(value, into: whole, lane: lane)
    }
    return guarded(ir.widen(Lanes(whole, ir), from: dtype), conditions, access.otherwise, dtype)
  }

  private func guarded(_ value: Lanes, _ conditions: [Lanes], _ otherwise: Double, _ dtype: DType) -> Lanes {
    guard let first = conditions.first else { return value }
    let all = conditions.dropFirst().reduce(first) { both, next in
      let lanes = max(both.count, next.count)
      return spread(both, lanes).and(spread(next, lanes))
    }
    let lanes = max(all.count, value.count)
    let fallback = spread(constant(otherwise, dtype.loaded), lanes)
    // One bit can choose between whole vectors.
    return spread(value, lanes).when(all.count == 1 ? all : spread(all, lanes), else: fallback)
  }

  /// `0 <= form < limit`, as one unsigned comparison.
  private func condition(_ guarding: FlatAccess.Guard) -> Lanes {
    let first = Lanes(offset(guarding.form), ir)
    let stride = laneStride(guarding.form)
    guard stride != 0, let lanes = vector?.lanes, lanes > 1 else {
      return first.compareBits(LLVMIntULT, first.bits(guarding.limit))
    }
    let all = spread(first, lanes).plusBits(Lanes(ir.constants((0..<lanes).map { $0 * stride }, ir.i64), ir))
    return all.compareBits(LLVMIntULT, all.bits(guarding.limit))
  }

  private func clamp(_ value: Value, _ limit: Int) -> Lanes {
    let wide = value.dtype == .i64 ? value.lanes : ir.convert(value.lanes, from: value.dtype, to: .i64)
    return ir.clampBits(wide, 0, max(limit - 1, 0))
  }
}
