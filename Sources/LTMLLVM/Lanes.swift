internal import CLLVM

/// A float or integer value, in one or several lanes, with the operators that formulas are written in.
struct Lanes {
  let ref: LLVMValueRef
  let ir: IRBuilder

  init(_ ref: LLVMValueRef, _ ir: IRBuilder) {
    self.ref = ref
    self.ir = ir
  }

  var type: LLVMTypeRef { LLVMTypeOf(ref) }
  var count: Int { ir.lanes(of: type) }
  private func made(_ ref: LLVMValueRef) -> Lanes { Lanes(ref, ir) }

  /// A float constant of this value's type.
  func constant(_ value: Double) -> Lanes { made(ir.constant(value, type)) }
  /// An integer constant of this value's type.
  func bits(_ value: Int) -> Lanes { made(ir.constant(bits: value, type)) }

  static func + (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFAdd(a.ir.ref, a.ref, b.ref, "")) }
  static func - (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFSub(a.ir.ref, a.ref, b.ref, "")) }
  static func * (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFMul(a.ir.ref, a.ref, b.ref, "")) }
  static func / (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFDiv(a.ir.ref, a.ref, b.ref, "")) }
  static prefix func - (a: Lanes) -> Lanes { a.made(LLVMBuildFNeg(a.ir.ref, a.ref, "")) }
  static func + (a: Lanes, b: Double) -> Lanes { a + a.constant(b) }
  static func - (a: Lanes, b: Double) -> Lanes { a - a.constant(b) }
  static func * (a: Lanes, b: Double) -> Lanes { a * a.constant(b) }

  /// `self * b + c`, rounded once where the target can.
  func times(_ b: Lanes, plus c: Lanes) -> Lanes {
    ir.profile.hasFMA ? made(ir.call(intrinsic: "llvm.fma", [type], [ref, b.ref, c.ref])) : self * b + c
  }
  func times(_ b: Double, plus c: Lanes) -> Lanes { times(constant(b), plus: c) }
  func times(_ b: Lanes, plus c: Double) -> Lanes { times(b, plus: constant(c)) }

  /// A polynomial in this value, the highest coefficient first.
  func polynomial(_ coefficients: [Double]) -> Lanes {
    coefficients.dropFirst().reduce(constant(coefficients[0])) { $0.times(self, plus: $1) }
  }

  /// An intrinsic of one operand.
  func apply(_ intrinsic: String) -> Lanes { made(ir.call(intrinsic: intrinsic, [type], [ref])) }
  var magnitude: Lanes { apply("llvm.fabs") }
  func withSign(of other: Lanes) -> Lanes { made(ir.call(intrinsic: "llvm.copysign", [type], [ref, other.ref])) }

  // MARK: Bits

  func and(_ b: Lanes) -> Lanes { made(LLVMBuildAnd(ir.ref, ref, b.ref, "")) }
  func or(_ b: Lanes) -> Lanes { made(LLVMBuildOr(ir.ref, ref, b.ref, "")) }
  func plusBits(_ b: Lanes) -> Lanes { made(LLVMBuildAdd(ir.ref, ref, b.ref, "")) }
  func minusBits(_ b: Lanes) -> Lanes { made(LLVMBuildSub(ir.ref, ref, b.ref, "")) }
  func shiftedLeft(_ by: Int) -> Lanes { made(LLVMBuildShl(ir.ref, ref, bits(by).ref, "")) }
  func shiftedRight(_ by: Int) -> Lanes { made(LLVMBuildLShr(ir.ref, ref, bits(by).ref, "")) }
  func shiftedRightSigned(_ by: Int) -> Lanes { made(LLVMBuildAShr(ir.ref, ref, bits(by).ref, "")) }
  func cast(to element: LLVMTypeRef) -> Lanes { made(LLVMBuildBitCast(ir.ref, ref, ir.vector(element, count), "")) }
  func truncated(to element: LLVMTypeRef) -> Lanes { made(LLVMBuildTrunc(ir.ref, ref, ir.vector(element, count), "")) }
  func extended(to element: LLVMTypeRef) -> Lanes { made(LLVMBuildZExt(ir.ref, ref, ir.vector(element, count), "")) }
  func toFloat(_ element: LLVMTypeRef) -> Lanes { made(LLVMBuildSIToFP(ir.ref, ref, ir.vector(element, count), "")) }
  func widened(to element: LLVMTypeRef) -> Lanes { made(LLVMBuildFPExt(ir.ref, ref, ir.vector(element, count), "")) }
  func narrowed(to element: LLVMTypeRef) -> Lanes { made(LLVMBuildFPTrunc(ir.ref, ref, ir.vector(element, count), "")) }

  // MARK: Comparisons, one bit a lane

  func compare(_ predicate: LLVMRealPredicate, _ b: Lanes) -> Lanes {
    made(LLVMBuildFCmp(ir.ref, predicate, ref, b.ref, ""))
  }
  func compareBits(_ predicate: LLVMIntPredicate, _ b: Lanes) -> Lanes {
    made(LLVMBuildICmp(ir.ref, predicate, ref, b.ref, ""))
  }
  func isGreater(_ b: Lanes) -> Lanes { compare(LLVMRealOGT, b) }
  func isGreater(_ b: Double) -> Lanes { compare(LLVMRealOGT, constant(b)) }
  func isLess(_ b: Double) -> Lanes { compare(LLVMRealOLT, constant(b)) }
  func isEqual(_ b: Double) -> Lanes { compare(LLVMRealOEQ, constant(b)) }
  var isNaN: Lanes { compare(LLVMRealUNO, self) }

  /// This value where `condition` holds, else `other`.
  func when(_ condition: Lanes, else other: Lanes) -> Lanes {
    made(LLVMBuildSelect(ir.ref, condition.ref, ref, other.ref, ""))
  }

  /// Within bounds; a NaN stays.
  func clamped(_ low: Double, _ high: Double) -> Lanes {
    let above = constant(high).when(isGreater(high), else: self)
    return constant(low).when(above.isLess(low), else: above)
  }
}
