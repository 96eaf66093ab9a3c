internal import CLLVM
import LTMIR

extension IRBuilder {
  /// One primitive on operands of equal lanes. `dtype` is that of the first operand (of `select`: the second).
  func apply(_ primitive: Primitive, _ x: [Lanes], operand dtype: DType) -> Lanes {
    switch primitive {
    case .neg, .abs, .sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .isFinite, .not, .expm1, .log1p:
      dtype.isFloating ? unary(primitive, x[0]) : integerUnary(primitive, x[0])
    case .add, .sub, .mul, .div, .pow, .minimum, .maximum:
      dtype.isFloating ? binary(primitive, x[0], x[1]) : integerBinary(primitive, x[0], x[1], dtype)
    case .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual: compare(primitive, x[0], x[1], dtype)
    case .and: x[0].and(x[1])
    case .or: x[0].or(x[1])
    case .select: x[1].when(x[0], else: x[2])
    }
  }

  private func unary(_ primitive: Primitive, _ x: Lanes) -> Lanes {
    switch primitive {
    case .neg: -x
    case .abs: x.magnitude
    case .sqrt: x.apply("llvm.sqrt")
    case .exp: x.exp()
    case .log: x.log()
    case .sin: x.library("sin")
    case .cos: x.library("cos")
    case .tanh: x.tanh()
    case .erf: x.erf()
    case .expm1: x.expm1()
    case .log1p: x.log1p()
    case .floor: x.apply("llvm.floor")
    case .ceil: x.apply("llvm.ceil")
    case .round: x.apply("llvm.roundeven")
    case .isFinite: x.magnitude.compare(LLVMRealOLT, x.constant(.infinity))
    default: preconditionFailure("emit: \(primitive) of a float")
    }
  }

  private func integerUnary(_ primitive: Primitive, _ x: Lanes) -> Lanes {
    switch primitive {
    case .neg: x.bits(0).minusBits(x)
    case .abs: x.bits(0).minusBits(x).when(x.compareBits(LLVMIntSLT, x.bits(0)), else: x)
    case .floor, .ceil, .round: x
    case .isFinite: Lanes(constant(bits: 1, vector(i1, x.count)), self)
    case .not: Lanes(LLVMBuildNot(ref, x.ref, ""), self)
    default: preconditionFailure("emit: \(primitive) of an integer")
    }
  }

  private func binary(_ primitive: Primitive, _ a: Lanes, _ b: Lanes) -> Lanes {
    switch primitive {
    case .add: a + b
    case .sub: a - b
    case .mul: a * b
    case .div: a / b
    case .pow: a.library("pow", b)
    case .minimum: extremum(a, b, LLVMRealOLT)
    case .maximum: extremum(a, b, LLVMRealOGT)
    default: preconditionFailure("emit: \(primitive) of floats")
    }
  }

  /// The greater or lesser of two; a NaN wins, as in PyTorch.
  func extremum(_ a: Lanes, _ b: Lanes, _ predicate: LLVMRealPredicate) -> Lanes {
    // The comparison fails for a NaN on either side, which gives b; a's own NaN needs a test.
    a.when(a.compare(predicate, b).or(a.isNaN), else: b)
  }

  private func integerBinary(_ primitive: Primitive, _ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
    switch primitive {
    case .add: a.plusBits(b)
    case .sub: a.minusBits(b)
    case .mul: Lanes(LLVMBuildMul(ref, a.ref, b.ref, ""), self)
    case .div: divideIntegers(a, b)
    case .minimum: Lanes(call(intrinsic: "llvm.smin", [a.type], [a.ref, b.ref]), self)
    case .maximum: Lanes(call(intrinsic: "llvm.smax", [a.type], [a.ref, b.ref]), self)
    case .pow:
      convert(convert(a, from: dtype, to: .f64).library("pow", convert(b, from: dtype, to: .f64)), from: .f64, to: dtype)
    default: preconditionFailure("emit: \(primitive) of integers")
    }
  }

  /// Toward zero; by zero it is 0, and the least number by -1 wraps: the machine's division would trap on both.
  private func divideIntegers(_ a: Lanes, _ b: Lanes) -> Lanes {
    let isZero = b.compareBits(LLVMIntEQ, b.bits(0))
    let isMinusOne = b.compareBits(LLVMIntEQ, b.bits(-1))
    let safe = b.bits(1).when(isZero.or(isMinusOne), else: b)
    let quotient = Lanes(LLVMBuildSDiv(ref, a.ref, safe.ref, ""), self)
    return a.bits(0).when(isZero, else: a.bits(0).minusBits(a).when(isMinusOne, else: quotient))
  }

  private func compare(_ primitive: Primitive, _ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
    let predicates: (real: LLVMRealPredicate, integer: LLVMIntPredicate) =
      switch primitive {
      case .equal: (LLVMRealOEQ, LLVMIntEQ)
      case .notEqual: (LLVMRealUNE, LLVMIntNE)
      case .less: (LLVMRealOLT, dtype == .bool ? LLVMIntULT : LLVMIntSLT)
      case .lessEqual: (LLVMRealOLE, dtype == .bool ? LLVMIntULE : LLVMIntSLE)
      case .greater: (LLVMRealOGT, dtype == .bool ? LLVMIntUGT : LLVMIntSGT)
      case .greaterEqual: (LLVMRealOGE, dtype == .bool ? LLVMIntUGE : LLVMIntSGE)
      default: preconditionFailure("emit: \(primitive) is no comparison")
      }
    return dtype.isFloating ? a.compare(predicates.real, b) : a.compareBits(predicates.integer, b)
  }

  /// One step of a reduction.
  func combine(_ combiner: Combiner, _ a: Lanes, _ b: Lanes, _ dtype: DType) -> Lanes {
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
  func identity(_ combiner: Combiner, _ dtype: DType, lanes: Int) -> LLVMValueRef {
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
}
