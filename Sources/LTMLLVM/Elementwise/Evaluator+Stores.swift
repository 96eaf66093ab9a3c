internal import CLLVM
import LTMIR
import LTMKernels

// What a place writes.
extension Evaluator {
  /// Writes what stores of one place compute. All values first: each of them reads what was there before.
  package func store(_ stores: [KernelStore], _ accesses: [FlatAccess]) {
    let values = stores.map { store in
      let value = value(store.value)
      let dtype = kernel.kernel[store.buffer].dtype
      let wide =
        value.dtype == dtype.loaded ? value.lanes : ir.convert(value.lanes, from: value.dtype, to: dtype.loaded)
      if vector?.isPaired == true, wide.count > 1 { return ir.narrowPairs(wide) }
      // What was rounded for another reader too is not rounded once more.
      if case .round(_, .bf16) = kernel.kernel[store.value], dtype == .bf16 { return ir.upperHalf(wide) }
      return ir.narrow(wide, to: dtype)
    }
    for (index, value) in values.enumerated() {
      ir.debug?.locate(kernel.kernel.location(of: stores[index].value))
      write(value, accesses[index])
    }
  }

  /// Writes a value of the scalar dtype that its buffer loads as.
  package func store(_ value: Lanes, to access: FlatAccess) {
    write(ir.narrow(value, to: kernel.kernel[access.buffer].dtype), access)
  }

  /// Whether a vector goes past the caches: the buffer is larger than what they would keep, and written only. Vectors
  /// start at multiples of their length along their axis, so the other strides decide whether they are aligned.
  private func streams(_ access: FlatAccess, _ lanes: Int) -> Bool {
    let buffer = kernel.kernel[access.buffer]
    let unit = min(lanes * buffer.dtype.byteCount, 64) / buffer.dtype.byteCount
    guard ir.profile.streamsStores, access.shift == nil, buffer.access == .write, buffer.isAligned,
      unit * buffer.dtype.byteCount >= 16,
      buffer.shape.reduce(buffer.dtype.byteCount, *) >= Self.streamedBytes, let vector
    else { return false }
    let others = access.form.strides.enumerated().filter { $0.offset != vector.axis }.map(\.element)
    return (others + [access.form.offset]).allSatisfy { $0 % unit == 0 }
  }

  /// The size from which a result does not stay in any cache until it is read again.
  static let streamedBytes = 16 << 20

  private func write(_ value: Lanes, _ access: FlatAccess) {
    let dtype = kernel.kernel[access.buffer].dtype
    let (base, element) = (buffers[access.buffer.index], ir.stored(dtype))
    let stride = laneStride(access.form)
    let (lanes, live) = (vector?.lanes ?? 1, vector?.live ?? 1)
    if let shift = access.shift, let distances = moves(shift, lanes) {
      for lane in 0..<live {
        let place = ir.add(ir.add(offset(access.form), ir.index(lane * stride)), distances[lane])
        let element = ir.address(base, element, place)
        ir.store(ir.extract(spread(value, lanes).ref, lane: lane), element, align: dtype.byteCount)
      }
      return
    }
    let first = access.shift.map { ir.add(offset(access.form), distance($0)) } ?? offset(access.form)
    if stride == 1, live == lanes, streams(access, lanes) {
      hasStreamed = true
      let bytes = min(lanes * dtype.byteCount, 64)
      return ir.stream(spread(value, lanes).ref, ir.address(base, element, first), align: bytes)
    }
    if stride == 1 || live == 1 {
      let whole = spread(value, stride == 1 ? lanes : 1)
      return ir.store(
        stride == 1 ? whole.ref : ir.extract(value.ref, lane: 0), ir.address(base, element, first),
        live: stride == 1 ? live : 1, align: stride == 1 ? alignment(access, lanes) : dtype.byteCount)
    }
    for lane in 0..<live {
      let place = ir.address(base, element, ir.add(first, ir.index(lane * stride)))
      ir.store(ir.extract(value.ref, lane: lane), place, align: dtype.byteCount)
    }
  }
}

// Parts that are written at a place known at run time.
extension Evaluator {
  /// How far from its form a store lies, in elements, where that is the same for all lanes.
  private func distance(_ shift: FlatAccess.Shift) -> LLVMValueRef {
    ir.multiply(moved(shift, value(shift.index), lane: 0), shift.stride)
  }

  /// The same for each lane, where lanes differ; `nil` where they do not.
  private func moves(_ shift: FlatAccess.Shift, _ lanes: Int) -> [LLVMValueRef]? {
    let by = value(shift.index)
    guard lanes > 1, by.lanes.count > 1 || (shift.wraps && laneStride(shift.form) != 0) else { return nil }
    return (0..<lanes).map { ir.multiply(moved(shift, by, lane: $0), shift.stride) }
  }

  /// Places along the dimension that a lane is moved by.
  private func moved(_ shift: FlatAccess.Shift, _ by: EmittedValue, lane: Int) -> LLVMValueRef {
    let wide = by.dtype == .i64 ? by.lanes : ir.convert(by.lanes, from: by.dtype, to: .i64)
    let start = wide.count > 1 ? Lanes(ir.extract(wide.ref, lane: lane), ir) : wide
    guard shift.wraps else { return ir.clampBits(start, 0, shift.starts - 1).ref }
    let own = ir.add(offset(shift.form), ir.index(lane * laneStride(shift.form)))
    let place = ir.floorRemainder(ir.add(start.ref, own), shift.size)
    return ir.subtract(place, own)
  }
}
