import LTMIR

extension Lowering {
  /// A quotient of integers, towards 0; 0 where the divisor is. A processor may stop at a division by 0, and at that of the
  /// least number by -1, whatever becomes of the result: neither is made.
  mutating func wholeQuotient(_ a: HLOValue, _ b: HLOValue) -> HLOValue {
    let (zero, one) = (builder.constant(Int64(0), a.type), builder.constant(Int64(1), a.type))
    let isZero = builder.compare("EQ", b, zero)
    guard a.dtype != .u8 else {
      return builder.select(isZero, zero, builder.same("divide", a, builder.select(isZero, one, b)))
    }
    let isMinusOne = builder.compare("EQ", b, builder.constant(Int64(-1), a.type))
    let divisor = builder.select(builder.same("or", isZero, isMinusOne), one, b)
    let quotient = builder.select(isMinusOne, builder.same("subtract", zero, a), builder.same("divide", a, divisor))
    return builder.select(isZero, zero, quotient)
  }
}
