package import CLLVM
import LTMIR

extension IRBuilder {
  /// One primitive on operands of equal lanes. `dtype` is that of the first operand (of `select`: the second). `flushing`:
  /// a result of `exp` below 2^-126 may be 0.
  package func apply(_ primitive: Primitive, _ x: [Lanes], operand dtype: DType, flushing: Bool = false) -> Lanes {
    let isFloat = dtype.isFloating
    let (a, b) = (x[0], x[x.count > 1 ? 1 : 0])
    return switch primitive {
    case .neg: isFloat ? -a : a.bits(0).minusBits(a)
    case .abs: isFloat ? a.magnitude : a.bits(0).minusBits(a).when(a.compareBits(LLVMIntSLT, a.bits(0)), else: a)
    case .sqrt: a.apply("llvm.sqrt")
    case .exp: a.exp(flushing: flushing)
    case .log: a.log()
    case .sin: a.wave(quarter: 0, library: "sin")
    case .cos: a.wave(quarter: 1, library: "cos")
    case .tanh: a.tanh()
    case .erf: a.erf()
    case .expm1: a.expm1()
    case .log1p: a.log1p()
    case .log2: a.log2()
    case .timesSigmoid: a.timesSigmoid(b)
    case .timesNormalCDF: a.timesNormalCDF(b)
    case .timesGaussian: a.timesGaussian(b)
    case .floor: isFloat ? a.apply("llvm.floor") : a
    case .ceil: isFloat ? a.apply("llvm.ceil") : a
    case .round: isFloat ? a.apply("llvm.roundeven") : a
    case .isFinite: isFloat ? a.magnitude.isLess(.infinity) : Lanes(constant(bits: 1, vector(i1, a.count)), self)
    case .not: Lanes(LLVMBuildNot(ref, a.ref, ""), self)
    case .add: isFloat ? a + b : a.plusBits(b)
    case .sub: isFloat ? a - b : a.minusBits(b)
    case .mul: isFloat ? a * b : Lanes(LLVMBuildMul(ref, a.ref, b.ref, ""), self)
    case .div: isFloat ? a / b : divideIntegers(a, b)
    case .pow: isFloat ? a.power(b) : power(a, b, dtype)
    case .minimum: isFloat ? extremum(a, b, LLVMRealOLT) : extremum(a, b, "llvm.smin")
    case .maximum: isFloat ? extremum(a, b, LLVMRealOGT) : extremum(a, b, "llvm.smax")
    case .equal: compare(a, b, LLVMRealOEQ, LLVMIntEQ, dtype)
    case .notEqual: compare(a, b, LLVMRealUNE, LLVMIntNE, dtype)
    case .less: compare(a, b, LLVMRealOLT, LLVMIntSLT, dtype)
    case .lessEqual: compare(a, b, LLVMRealOLE, LLVMIntSLE, dtype)
    case .greater: compare(a, b, LLVMRealOGT, LLVMIntSGT, dtype)
    case .greaterEqual: compare(a, b, LLVMRealOGE, LLVMIntSGE, dtype)
    case .and, .bitAnd: a.and(b)
    case .or, .bitOr: a.or(b)
    case .bitXor: Lanes(LLVMBuildXor(ref, a.ref, b.ref, ""), self)
    case .shiftLeft: shifted(a, b, dtype, isLeft: true)
    case .shiftRight: shifted(a, b, dtype, isLeft: false)
    case .select: b.when(a, else: x[2])
    case .philox: philox(x)
    case .after: a
    }
  }

  /// The greater or lesser of two; a NaN wins, as in PyTorch.
  package func extremum(_ a: Lanes, _ b: Lanes, _ predicate: LLVMRealPredicate) -> Lanes {
    // The comparison fails for a NaN on either side, which gives the second: one instruction, with a number as the first.
    if isNumber(a) { return a.when(a.compare(predicate, b), else: b) }
    if isNumber(b) { return b.when(b.compare(predicate, a), else: a) }
    return a.when(a.isNaN, else: a.when(a.compare(predicate, b), else: b))
  }

  /// Whether it is a literal, and no NaN.
  private func isNumber(_ value: Lanes) -> Bool {
    guard LLVMIsConstant(value.ref) != 0 else { return false }
    let lane = value.count == 1 ? value.ref : LLVMGetAggregateElement(value.ref, 0)
    guard let lane, LLVMIsAConstantFP(lane) != nil else { return false }
    var isInexact: LLVMBool = 0
    return !LLVMConstRealGetDouble(lane, &isInexact).isNaN
  }

  private func extremum(_ a: Lanes, _ b: Lanes, _ intrinsic: String) -> Lanes {
    Lanes(call(intrinsic: intrinsic, [a.type], [a.ref, b.ref]), self)
  }

  /// Of integers, through f64.
  private func power(_ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
    let result = convert(a, from: dtype, to: .f64).library("pow", convert(b, from: dtype, to: .f64))
    return convert(result, from: .f64, to: dtype)
  }

  /// Toward zero; by zero it is 0, and the least number by -1 wraps: the machine's division would trap on both.
  private func divideIntegers(_ a: Lanes, _ b: Lanes) -> Lanes {
    let isZero = b.compareBits(LLVMIntEQ, b.bits(0))
    let isMinusOne = b.compareBits(LLVMIntEQ, b.bits(-1))
    let safe = b.bits(1).when(isZero.or(isMinusOne), else: b)
    let quotient = Lanes(LLVMBuildSDiv(ref, a.ref, safe.ref, ""), self)
    return a.bits(0).when(isZero, else: a.bits(0).minusBits(a).when(isMinusOne, else: quotient))
  }

  /// The machine's shift has no value from as many bits on as there are.
  private func shifted(_ a: Lanes, _ b: Lanes, _ dtype: DType, isLeft: Bool) -> Lanes {
    let last = (dtype.loaded == .i64 ? 64 : 32) - 1
    let isOutside = b.compareBits(LLVMIntUGT, b.bits(last))
    let count = b.bits(last).when(isOutside, else: b)
    guard isLeft else { return Lanes(LLVMBuildAShr(ref, a.ref, count.ref, ""), self) }
    return a.bits(0).when(isOutside, else: Lanes(LLVMBuildShl(ref, a.ref, count.ref, ""), self))
  }

  private func compare(
    _ a: Lanes, _ b: Lanes, _ real: LLVMRealPredicate, _ integer: LLVMIntPredicate, _ dtype: DType
  ) -> Lanes {
    if dtype.isFloating { return a.compare(real, b) }
    // A signed bit would put true below false.
    return dtype == .bool ? a.extended(to: i8).compareBits(integer, b.extended(to: i8)) : a.compareBits(integer, b)
  }

  /// One step of a reduction.
  package func combine(_ combiner: Combiner, _ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
    switch combiner {
    case .add: apply(.add, [a, b], operand: dtype)
    case .multiply: apply(.mul, [a, b], operand: dtype)
    case .maximum: dtype == .bool ? a.or(b) : apply(.maximum, [a, b], operand: dtype)
    case .minimum: dtype == .bool ? a.and(b) : apply(.minimum, [a, b], operand: dtype)
    case .and: a.and(b)
    case .or: a.or(b)
    }
  }

  /// What a reduction starts from.
  package func identity(_ combiner: Combiner, _ dtype: DType, lanes: Int) -> LLVMValueRef {
    let type = vector(scalar(dtype), lanes)
    if dtype.isFloating { return constant(combiner.identity, type) }
    let (least, greatest) = dtype == .i64 ? (Int.min, Int.max) : (Int(Int32.min), Int(Int32.max))
    switch combiner {
    case .add, .or: return constant(bits: 0, type)
    case .multiply: return constant(bits: 1, type)
    case .and: return constant(bits: dtype == .bool ? 1 : -1, type)
    case .maximum: return constant(bits: dtype == .bool ? 0 : least, type)
    case .minimum: return constant(bits: dtype == .bool ? 1 : greatest, type)
    }
  }

  /// Whether a candidate of an arg-reduction beats what is held: strictly greater (lesser), or the first NaN.
  package func isBetter(_ candidate: Lanes, than held: Lanes, _ combiner: Combiner, _ dtype: DType) -> Lanes {
    let primitive: Primitive = combiner == .maximum ? .greater : .less
    let wins = apply(primitive, [candidate, held], operand: dtype)
    guard dtype.isFloating else { return wins }
    let heldIsNumber = held.compare(LLVMRealORD, held)
    return wins.or(candidate.isNaN).and(heldIsNumber)
  }

  /// Equal, two NaNs included.
  package func isSame(_ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
    let isEqual = apply(.equal, [a, b], operand: dtype)
    return dtype.isFloating ? isEqual.or(a.isNaN.and(b.isNaN)) : isEqual
  }
}
