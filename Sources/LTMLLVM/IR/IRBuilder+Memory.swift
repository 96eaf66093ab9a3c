import LTMSupport

package import CLLVM

// Memory, lanes and integers: what addresses and loops are made of.
extension IRBuilder {
  package func add(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildNSWAdd(ref, a, b, "") }
  package func multiply(_ a: LLVMValueRef, _ b: Int) -> LLVMValueRef {
    b == 1 ? a : LLVMBuildNSWMul(ref, a, index(b), "")
  }
  package func multiply(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildNSWMul(ref, a, b, "") }
  package func subtract(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildNSWSub(ref, a, b, "") }
  /// Of a number that is never negative.
  package func divide(_ a: LLVMValueRef, _ b: Int) -> LLVMValueRef { b == 1 ? a : LLVMBuildUDiv(ref, a, index(b), "") }
  package func divideUp(_ a: LLVMValueRef, _ b: Int) -> LLVMValueRef {
    b == 1 ? a : divide(add(a, index(b - 1)), b)
  }
  package func remainder(_ a: LLVMValueRef, _ b: Int) -> LLVMValueRef {
    b == 1 ? index(0) : LLVMBuildURem(ref, a, index(b), "")
  }
  /// What is left of a signed number, counted from below.
  package func floorRemainder(_ a: LLVMValueRef, _ b: Int) -> LLVMValueRef {
    let rest: LLVMValueRef = LLVMBuildSRem(ref, a, index(b), "")
    return select(less(rest, index(0)), add(rest, index(b)), rest)
  }
  package func less(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildICmp(ref, LLVMIntSLT, a, b, "") }
  package func equal(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildICmp(ref, LLVMIntEQ, a, b, "") }
  package func minimum(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { select(less(a, b), a, b) }
  package func maximum(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { select(less(a, b), b, a) }
  package func select(_ condition: LLVMValueRef, _ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef {
    LLVMBuildSelect(ref, condition, a, b, "")
  }

  /// The address of an element. `checked` addresses may lie outside, as long as nobody reads them.
  package func address(
    _ base: LLVMValueRef, _ element: LLVMTypeRef, _ offset: LLVMValueRef, mayLieOutside: Bool = false
  )
    -> LLVMValueRef
  {
    var indices: [LLVMValueRef?] = [offset]
    return mayLieOutside
      ? LLVMBuildGEP2(ref, element, base, &indices, 1, "") : LLVMBuildInBoundsGEP2(ref, element, base, &indices, 1, "")
  }

  package func load(_ type: LLVMTypeRef, _ address: LLVMValueRef, align: Int) -> LLVMValueRef {
    guard let value = LLVMBuildLoad2(ref, type, address, "") else { internalFailure("emission", "load") }
    LLVMSetAlignment(value, UInt32(align))
    return value
  }

  package func store(_ value: LLVMValueRef, _ address: LLVMValueRef, align: Int) {
    LLVMSetAlignment(LLVMBuildStore(ref, value, address), UInt32(align))
  }

  /// Stores past the caches; `align` is that of the whole vector.
  func stream(_ value: LLVMValueRef, _ address: LLVMValueRef, align: Int) {
    guard let store = LLVMBuildStore(ref, value, address) else { internalFailure("emission", "store") }
    LLVMSetAlignment(store, UInt32(align))
    var one: LLVMValueRef? = constant(bits: 1, i32)
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(context, "nontemporal", 11), LLVMMDNodeInContext(context, &one, 1))
  }

  /// `value` in every lane.
  package func splat(_ value: LLVMValueRef, _ lanes: Int) -> LLVMValueRef {
    if lanes == 1 { return value }
    let type = vector(LLVMTypeOf(value), lanes)
    let first = LLVMBuildInsertElement(ref, LLVMGetPoison(type), value, constant(bits: 0, i32), "")
    return LLVMBuildShuffleVector(ref, first, LLVMGetPoison(type), constant(bits: 0, vector(i32, lanes)), "")
  }

  package func extract(_ value: LLVMValueRef, lane: Int) -> LLVMValueRef {
    guard LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind else { return value }
    return LLVMBuildExtractElement(ref, value, constant(bits: lane, i32), "")
  }

  package func insert(_ value: LLVMValueRef, into vector: LLVMValueRef, lane: Int) -> LLVMValueRef {
    LLVMBuildInsertElement(ref, vector, value, constant(bits: lane, i32), "")
  }

  /// Lanes picked from `a`, then `b`; -1 is any.
  package func shuffle(_ a: LLVMValueRef, _ b: LLVMValueRef, _ picks: [Int]) -> LLVMValueRef {
    var mask: [LLVMValueRef?] = picks.map { $0 < 0 ? LLVMGetPoison(i32) : constant(bits: $0, i32) }
    return LLVMBuildShuffleVector(ref, a, b, LLVMConstVector(&mask, UInt32(mask.count)), "")
  }

  /// The lanes `start..<start+count`; one lane is a scalar.
  package func slice(_ value: LLVMValueRef, _ start: Int, _ count: Int) -> LLVMValueRef {
    if count == 1 { return extract(value, lane: start) }
    if start == 0, count == lanes(of: LLVMTypeOf(value)) { return value }
    return shuffle(value, LLVMGetPoison(LLVMTypeOf(value)), Array(start..<start + count))
  }

  /// Puts `part` (a vector or a scalar) at `start` of `whole`.
  private func put(_ part: LLVMValueRef, into whole: LLVMValueRef, at start: Int) -> LLVMValueRef {
    let count = lanes(of: LLVMTypeOf(part))
    let width = lanes(of: LLVMTypeOf(whole))
    if count == 1 { return insert(part, into: whole, lane: start) }
    let widened = shuffle(part, LLVMGetPoison(LLVMTypeOf(part)), (0..<width).map { $0 < count ? $0 : -1 })
    return shuffle(whole, widened, (0..<width).map { start..<start + count ~= $0 ? width + $0 - start : $0 })
  }

  /// Loads the first `live` of `lanes` elements; the rest are zeros. The parts are powers of two, so no byte beyond is read.
  package func load(_ element: LLVMTypeRef, _ address: LLVMValueRef, lanes: Int, live: Int, align: Int) -> LLVMValueRef
  {
    let type = vector(element, lanes)
    if live == lanes { return load(type, address, align: align) }
    var whole: LLVMValueRef = LLVMConstNull(type)
    for (start, count) in powersOfTwo(live) {
      let place = self.address(address, element, index(start))
      whole = put(load(vector(element, count), place, align: align), into: whole, at: start)
    }
    return whole
  }

  /// Stores the first `live` lanes.
  package func store(_ value: LLVMValueRef, _ address: LLVMValueRef, live: Int, align: Int) {
    let type: LLVMTypeRef = LLVMTypeOf(value)
    if live == lanes(of: type) { return store(value, address, align: align) }
    for (start, count) in powersOfTwo(live) {
      store(slice(value, start, count), self.address(address, element(of: type), index(start)), align: align)
    }
  }

  /// Whether each lane is below `live`.
  package func mask(lanes: Int, live: Int) -> LLVMValueRef { constants((0..<lanes).map { $0 < live ? 1 : 0 }, i1) }

  /// Prefetches the cache line so many bytes after a place, into the first (3) or the second (2) cache. It may lie anywhere.
  func prefetch(_ place: LLVMValueRef, _ bytes: LLVMValueRef, isWrite: Bool = false, cache: Int) {
    let address = address(place, i8, bytes, mayLieOutside: true)
    _ = call(
      intrinsic: "llvm.prefetch", [pointer], [address] + [isWrite ? 1 : 0, cache, 1].map { constant(bits: $0, i32) })
  }
}

/// `live` cut into descending powers of two: 11 is 8, 2, 1.
private func powersOfTwo(_ live: Int) -> [(start: Int, count: Int)] {
  var parts: [(Int, Int)] = []
  var start = 0
  while start < live {
    let count = 1 << (Int.bitWidth - 1 - (live - start).leadingZeroBitCount)
    parts.append((start, count))
    start += count
  }
  return parts
}
