package import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Where elements lie, and what is read there.
extension Evaluator {
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

  func row(_ local: LocalID) -> Lanes {
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
    guard isDevice, kernel.kernel[access.buffer].isAligned, let vector else { return bytes }
    let strides = access.form.strides.enumerated().filter { $0.offset != vector.axis }.map(\.element)
    let moved = access.dynamic.map(\.stride) + (access.shift.map { [$0.stride] } ?? [])
    let steps = strides + moved + [access.form.offset]
    return steps.allSatisfy { $0 % lanes == 0 } ? min(16, lanes * bytes) : bytes
  }

  func load(_ access: FlatAccess) -> Lanes {
    if let block = transposed[access] { return load(block) }
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
    // The spare memory of a CPU holds zeros: what is read there needs no other choice.
    let readsZeros = !isDevice && access.otherwise.bitPattern == 0
    let unread = readsZeros ? [] : conditions
    let lanes = stride == 0 ? 1 : vector?.lanes ?? 1
    let live = stride == 0 ? 1 : vector?.live ?? 1
    if stride == 1, let vector, vector.isPaired {
      let words = ir.load(ir.vector(ir.i32, vector.lanes / 2), place, align: dtype.byteCount)
      return guarded(ir.widenPairs(Lanes(words, ir)), unread, access.otherwise, dtype)
    }
    if stride == 1, live == lanes { ask(access, place, lanes) }
    let raw = ir.load(element, place, lanes: lanes, live: live, align: alignment(access, lanes))
    return guarded(ir.widen(Lanes(raw, ir), from: dtype), unread, access.otherwise, dtype)
  }

  /// The elements of a transposed block at the current place.
  private func load(_ block: TransposedBlock) -> Lanes {
    let row = ir.subtract(index[block.rowAxis], block.firstRow)
    let column = ir.subtract(index[block.columnAxis], block.firstColumn)
    let element = ir.stored(block.dtype)
    let place = ir.address(block.base, element, ir.add(ir.multiply(row, block.rowStride), column))
    let runs = vector?.axis == block.columnAxis
    let (lanes, live) = (runs ? vector?.lanes ?? 1 : 1, runs ? vector?.live ?? 1 : 1)
    let raw = ir.load(element, place, lanes: lanes, live: live, align: block.dtype.byteCount)
    return ir.widen(Lanes(raw, ir), from: block.dtype)
  }

  /// Prefetches the elements of an expression's plain loads, so many neighbours of each. The place may lie outside of the
  /// buffers.
  func prefetch(_ id: ScalarID, elements: Int = 1) {
    for case let access? in kernel.closure(of: [id]).map({ kernel.loads[$0] })
    where access.dynamic.isEmpty && access.guards.isEmpty {
      ask(access, elements, isWrite: false, cache: elements == 1 ? 3 : 2)
    }
  }

  /// Prefetches so many neighbours to write them. The place may lie outside of the buffer.
  func prefetchResult(_ access: FlatAccess, _ count: Int, along axis: Int) {
    if access.form.strides[axis] == 1 { ask(access, count, isWrite: true, cache: 3) }
  }

  private func ask(_ access: FlatAccess, _ count: Int, isWrite: Bool, cache: Int) {
    let dtype = kernel.kernel[access.buffer].dtype
    let place = address(access, mayLieOutside: true)
    for line in stride(from: 0, to: count * dtype.byteCount, by: 64) {
      ir.prefetch(place, ir.index(line), isWrite: isWrite, cache: cache)
    }
  }

  /// Asks the second cache for what lies further along a large operand: the processor's own guesses end with each page.
  private func ask(_ access: FlatAccess, _ place: LLVMValueRef, _ lanes: Int) {
    let buffer = kernel.kernel[access.buffer]
    let bytes = lanes * buffer.dtype.byteCount
    guard prefetches, ir.profile.architecture == .x86_64,
      buffer.shape.reduce(buffer.dtype.byteCount, *) >= Self.streamedBytes / 4, bytes >= 16
    else { return }
    for line in stride(from: 0, to: bytes, by: 64) {
      ir.prefetch(place, ir.index(Self.ahead + line), cache: 2)
    }
  }
  /// Bytes ahead. Tried from 1 to 16 KB, into the first and the second cache: here memory keeps up with a core.
  private static let ahead = 8192

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

  private func clamp(_ value: EmittedValue, _ limit: Int) -> Lanes {
    let wide = value.dtype == .i64 ? value.lanes : ir.convert(value.lanes, from: value.dtype, to: .i64)
    return ir.clampBits(wide, 0, max(limit - 1, 0))
  }
}
