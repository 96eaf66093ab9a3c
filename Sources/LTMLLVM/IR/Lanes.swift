package import CLLVM

/// A float or integer value, in one or several lanes, with the operators that formulas are written in.
package struct Lanes {
  package let ref: LLVMValueRef
  package let ir: IRBuilder

  package init(_ ref: LLVMValueRef, _ ir: IRBuilder) {
    self.ref = ref
    self.ir = ir
  }

  package var type: LLVMTypeRef { LLVMTypeOf(ref) }
  package var count: Int { ir.lanes(of: type) }
  private func made(_ ref: LLVMValueRef) -> Lanes { Lanes(ref, ir) }

  /// A float constant of this value's type.
  package func constant(_ value: Double) -> Lanes { made(ir.constant(value, type)) }
  /// An integer constant of this value's type.
  package func bits(_ value: Int) -> Lanes { made(ir.constant(bits: value, type)) }

  package static func + (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFAdd(a.ir.ref, a.ref, b.ref, "")) }
  package static func - (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFSub(a.ir.ref, a.ref, b.ref, "")) }
  package static func * (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFMul(a.ir.ref, a.ref, b.ref, "")) }
  package static func / (a: Lanes, b: Lanes) -> Lanes { a.made(LLVMBuildFDiv(a.ir.ref, a.ref, b.ref, "")) }
  package static prefix func - (a: Lanes) -> Lanes { a.made(LLVMBuildFNeg(a.ir.ref, a.ref, "")) }
  package static func + (a: Lanes, b: Double) -> Lanes { a + a.constant(b) }
  package static func - (a: Lanes, b: Double) -> Lanes { a - a.constant(b) }
  package static func * (a: Lanes, b: Double) -> Lanes { a * a.constant(b) }

  /// `self * b + c`, rounded once where the target can.
  package func times(_ b: Lanes, plus c: Lanes) -> Lanes {
    ir.profile.hasFMA ? made(ir.call(intrinsic: "llvm.fma", [type], [ref, b.ref, c.ref])) : self * b + c
  }
  package func times(_ b: Double, plus c: Lanes) -> Lanes { times(constant(b), plus: c) }
  package func times(_ b: Lanes, plus c: Double) -> Lanes { times(b, plus: constant(c)) }

  /// A polynomial in this value, the highest coefficient first.
  package func polynomial(_ coefficients: [Double]) -> Lanes {
    coefficients.dropFirst().reduce(constant(coefficients[0])) { $0.times(self, plus: $1) }
  }

  /// An intrinsic of one operand.
  package func apply(_ intrinsic: String) -> Lanes { made(ir.call(intrinsic: intrinsic, [type], [ref])) }
  package var magnitude: Lanes { apply("llvm.fabs") }
  package func withSign(of other: Lanes) -> Lanes {
    made(ir.call(intrinsic: "llvm.copysign", [type], [ref, other.ref]))
  }

  // MARK: Bits

  package func and(_ b: Lanes) -> Lanes { made(LLVMBuildAnd(ir.ref, ref, b.ref, "")) }
  package func or(_ b: Lanes) -> Lanes { made(LLVMBuildOr(ir.ref, ref, b.ref, "")) }
  package func xor(_ b: Lanes) -> Lanes { made(LLVMBuildXor(ir.ref, ref, b.ref, "")) }
  package func timesBits(_ b: Lanes) -> Lanes { made(LLVMBuildMul(ir.ref, ref, b.ref, "")) }
  package func plusBits(_ b: Lanes) -> Lanes { made(LLVMBuildAdd(ir.ref, ref, b.ref, "")) }
  package func minusBits(_ b: Lanes) -> Lanes { made(LLVMBuildSub(ir.ref, ref, b.ref, "")) }
  package func shiftedLeft(_ by: Int) -> Lanes { made(LLVMBuildShl(ir.ref, ref, bits(by).ref, "")) }
  package func shiftedRight(_ by: Int) -> Lanes { made(LLVMBuildLShr(ir.ref, ref, bits(by).ref, "")) }
  package func shiftedRightSigned(_ by: Int) -> Lanes { made(LLVMBuildAShr(ir.ref, ref, bits(by).ref, "")) }
  package func cast(to element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildBitCast(ir.ref, ref, ir.vector(element, count), ""))
  }
  package func truncated(to element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildTrunc(ir.ref, ref, ir.vector(element, count), ""))
  }
  package func extended(to element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildZExt(ir.ref, ref, ir.vector(element, count), ""))
  }
  package func toFloat(_ element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildSIToFP(ir.ref, ref, ir.vector(element, count), ""))
  }
  package func widened(to element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildFPExt(ir.ref, ref, ir.vector(element, count), ""))
  }
  package func narrowed(to element: LLVMTypeRef) -> Lanes {
    made(LLVMBuildFPTrunc(ir.ref, ref, ir.vector(element, count), ""))
  }

  // MARK: Comparisons, one bit a lane

  package func compare(_ predicate: LLVMRealPredicate, _ b: Lanes) -> Lanes {
    made(LLVMBuildFCmp(ir.ref, predicate, ref, b.ref, ""))
  }
  package func compareBits(_ predicate: LLVMIntPredicate, _ b: Lanes) -> Lanes {
    made(LLVMBuildICmp(ir.ref, predicate, ref, b.ref, ""))
  }
  /// The greater of two signed integers.
  package func greaterBits(_ b: Lanes) -> Lanes { made(ir.call(intrinsic: "llvm.smax", [type], [ref, b.ref])) }
  /// The halves combined, until `most` lanes or fewer are left.
  package func folded(to most: Int, _ combine: (Lanes, Lanes) -> Lanes) -> Lanes {
    guard count > most, count.isMultiple(of: 2) else { return self }
    let half = count / 2
    return combine(made(ir.slice(ref, 0, half)), made(ir.slice(ref, half, half))).folded(to: most, combine)
  }
  package func isGreater(_ b: Lanes) -> Lanes { compare(LLVMRealOGT, b) }
  package func isGreater(_ b: Double) -> Lanes { compare(LLVMRealOGT, constant(b)) }
  package func isLess(_ b: Double) -> Lanes { compare(LLVMRealOLT, constant(b)) }
  package func isEqual(_ b: Double) -> Lanes { compare(LLVMRealOEQ, constant(b)) }
  package var isNaN: Lanes { compare(LLVMRealUNO, self) }

  /// This value where `condition` holds, else `other`.
  package func when(_ condition: Lanes, else other: Lanes) -> Lanes {
    made(LLVMBuildSelect(ir.ref, condition.ref, ref, other.ref, ""))
  }

  /// Within bounds; a NaN stays.
  package func clamped(_ low: Double, _ high: Double) -> Lanes {
    let above = constant(high).when(isGreater(high), else: self)
    return constant(low).when(above.isLess(low), else: above)
  }
}
