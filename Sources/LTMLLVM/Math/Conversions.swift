internal import CLLVM
import LTMIR

// Between what memory holds and what registers compute with. Rounding is to nearest even, in one step.
extension IRBuilder {
  /// A stored value, widened to its accumulator's dtype.
  package func widen(_ value: Lanes, from dtype: DType) -> Lanes {
    if dtype == .f16 { return value.widened(to: float) }
    if dtype == .bf16 { return value.extended(to: i32).shiftedLeft(16).cast(to: float) }
    switch dtype.format.numbers {
    case .float: return value
    case .truth: return value.compareBits(LLVMIntNE, value.bits(0))
    case .signed, .unsigned:
      let wide = scalar(dtype)
      if element(of: value.type) == wide { return value }
      if dtype.format.numbers == .unsigned { return value.extended(to: wide) }
      return Lanes(LLVMBuildSExt(ref, value.ref, vector(wide, value.count), ""), self)
    }
  }

  /// A scalar narrowed to what memory holds.
  package func narrow(_ value: Lanes, to dtype: DType) -> Lanes {
    let isDouble = element(of: value.type) == double
    if dtype == .f16 { return (isDouble ? roundToOdd(value) : value).narrowed(to: half) }
    if dtype == .bf16 { return bfloatBits(isDouble ? roundToOdd(value) : value) }
    switch dtype.format.numbers {
    case .float: return isDouble && dtype != .f64 ? value.narrowed(to: float) : value
    case .truth: return value.extended(to: i8)
    case .signed, .unsigned:
      return dtype == dtype.loaded ? value : saturated(value, in: dtype).truncated(to: stored(dtype))
    }
  }

  /// An integer held within the limits of a dtype.
  private func saturated(_ value: Lanes, in dtype: DType) -> Lanes {
    let limits = dtype.format.integers
    return clampBits(value, Int(limits.lowerBound), Int(limits.upperBound))
  }

  /// The rounding of a cast to `dtype`, in a value that keeps its own type.
  package func round(_ value: Lanes, to dtype: DType) -> Lanes {
    let wide = element(of: value.type)
    if dtype.isHalf {
      if wide == i32 || wide == i64 { return widen(narrow(toDouble(value), to: dtype), from: dtype) }
      let single = widen(narrow(value, to: dtype), from: dtype)
      return wide == double ? single.widened(to: double) : single
    }
    guard dtype.isFloating, dtype != .f64, wide == double else { return value }
    return value.narrowed(to: float).widened(to: double)
  }

  /// f64 to f32 such that a second rounding, to a half, gives what one rounding would: the last bit is sticky.
  private func roundToOdd(_ value: Lanes) -> Lanes {
    let nearest = value.narrowed(to: float)
    let back = nearest.widened(to: double)
    let bits = nearest.cast(to: i32)
    let isInexact = back.compare(LLVMRealONE, value)
    let isOdd = bits.and(bits.bits(1)).compareBits(LLVMIntNE, bits.bits(0))
    let isAbove = back.magnitude.isGreater(value.magnitude)
    let neighbour = bits.minusBits(bits.bits(1)).when(isAbove, else: bits.plusBits(bits.bits(1)))
    let odd = bits.when(isOdd, else: neighbour)
    return odd.when(isInexact, else: bits).cast(to: float)
  }

  /// An integer in f64 such that rounding that to a half gives what one rounding would: what does not fit is in a sticky bit.
  private func toDouble(_ value: Lanes) -> Lanes {
    guard element(of: value.type) == i64 else { return value.toFloat(double) }
    let lost = value.and(value.bits(0x7FF)).compareBits(LLVMIntNE, value.bits(0))
    let kept = value.and(value.bits(~0x7FF)).or(value.bits(0x800).when(lost, else: value.bits(0)))
    let isShort = clampBits(value, -1 << 52, 1 << 52).compareBits(LLVMIntEQ, value)
    return value.when(isShort, else: kept).toFloat(double)
  }

  /// The upper half of an f32, rounded; a NaN stays one.
  private func bfloatBits(_ value: Lanes) -> Lanes {
    // Shifted last: upper halves known to be 0 pack in one instruction.
    let byIntegers = { self.roundedToUpperHalf(value).shiftedRight(16).truncated(to: self.i16) }
    guard profile.convertsBF16 else { return byIntegers() }
    let converted = { value.narrowed(to: self.bfloat).cast(to: self.i16) }
    // The instruction of x86 takes subnormal numbers for zeros.
    guard profile.architecture == .x86_64 else { return converted() }
    return choose(value.hasSubnormals, isRare: true, then: byIntegers, otherwise: converted)
  }

  /// An f32 that holds a bf16, narrowed.
  func upperHalf(_ value: Lanes) -> Lanes { value.cast(to: i32).shiftedRight(16).truncated(to: i16) }

  /// The bits of an f32 whose upper half is that of the nearest bf16.
  private func roundedToUpperHalf(_ value: Lanes) -> Lanes {
    let bits = value.cast(to: i32)
    let last = bits.shiftedRight(16).and(bits.bits(1))
    let rounded = bits.plusBits(last.plusBits(bits.bits(0x7FFF)))
    return bits.bits(0x7FC0_0000).when(value.isNaN, else: rounded)
  }

  /// A vector of bf16 loaded as words, widened: the lower halves in the first lanes, the upper ones in the rest. Neither a
  /// shuffle nor an instruction for each half register, as the natural order takes.
  func widenPairs(_ words: Lanes) -> Lanes {
    let lower = words.shiftedLeft(16).cast(to: float)
    let upper = words.and(words.bits(~0xFFFF)).cast(to: float)
    return Lanes(shuffle(lower.ref, upper.ref, Array(0..<2 * words.count)), self)
  }

  /// The way back: bf16 in their natural order.
  func narrowPairs(_ value: Lanes) -> Lanes {
    let (count, rounded) = (value.count, roundedToUpperHalf(value))
    let lower = Lanes(slice(rounded.ref, 0, count / 2), self).shiftedRight(16)
    let upper = Lanes(slice(rounded.ref, count / 2, count / 2), self)
    let picks = (0..<count).map { $0 % 2 == 0 ? $0 : count + $0 }
    return Lanes(shuffle(words(lower, i16), words(upper, i16), picks), self)
  }

  /// The same bits as twice as many elements of half the size.
  private func words(_ value: Lanes, _ element: LLVMTypeRef) -> LLVMValueRef {
    LLVMBuildBitCast(ref, value.ref, vector(element, 2 * value.count), "")
  }

  package func clampBits(_ value: Lanes, _ low: Int, _ high: Int) -> Lanes {
    let raised = call(intrinsic: "llvm.smax", [value.type], [value.ref, value.bits(low).ref])
    return Lanes(call(intrinsic: "llvm.smin", [value.type], [raised, value.bits(high).ref]), self)
  }

  /// Between scalar dtypes, as ``ScalarExpr/convert(_:_:)`` defines it.
  package func convert(_ value: Lanes, from: DType, to: DType) -> Lanes {
    let (source, target) = (from.loaded, to.loaded)
    if source == target { return to == from ? value : round(value, to: to) }
    switch (source.isFloating, target.isFloating) {
    case (true, true):
      return source == .f64 ? round(value, to: to).narrowed(to: float) : value.widened(to: double)
    case (false, true):
      let type = vector(scalar(target), value.count)
      return source == .bool ? Lanes(LLVMBuildUIToFP(ref, value.ref, type, ""), self) : value.toFloat(scalar(target))
    case (true, false):
      if target == .bool { return value.compare(LLVMRealUNE, value.constant(0)) }
      let type = vector(scalar(target), value.count)
      let whole = Lanes(call(intrinsic: "llvm.fptosi.sat", [type, value.type], [value.ref]), self)
      return to == target ? whole : saturated(whole, in: to)
    case (false, false): return convertInteger(value, from: source, to: target)
    }
  }

  private func convertInteger(_ value: Lanes, from: DType, to: DType) -> Lanes {
    if to == .bool { return value.compareBits(LLVMIntNE, value.bits(0)) }
    if from == .bool { return value.extended(to: scalar(to)) }
    if to == .i64 { return Lanes(LLVMBuildSExt(ref, value.ref, vector(i64, value.count), ""), self) }
    return clampBits(value, Int(Int32.min), Int(Int32.max)).truncated(to: i32)
  }
}
