import LTMIR

extension Lowering {
  /// A value in another dtype. A cast that narrows is a barrier.
  mutating func cast(_ x: HLOValue, to dtype: DType) -> HLOValue {
    if x.dtype == dtype { return x }
    if dtype == .bool { return builder.compare("NE", x, builder.constant(0.0, x.type)) }
    if let from = x.dtype.floatFormat, let to = dtype.floatFormat {
      return floatCast(x, from, to, dtype)
    }
    if dtype.isHalf, x.dtype == .i32 || x.dtype == .i64 { return integerCast(x, to: dtype) }
    return builder.convert(x.dtype.isFloating ? x : saturated(x, in: dtype), to: dtype)
  }

  /// An integer in a half, rounded once: what the float on the way has no room for is in a sticky bit of it.
  private mutating func integerCast(_ x: HLOValue, to dtype: DType) -> HLOValue {
    let (wide, digits, lost): (DType, Int64, Int64) = x.dtype == .i32 ? (.f32, 24, 8) : (.f64, 53, 11)
    let limit = builder.constant(1 << (digits - 1), x.type.scalar)
    let isShort = builder.compare("EQ", clamp(builder.same("negate", limit), x, limit), x)
    func constant(_ value: Int64) -> HLOValue { builder.constant(value, x.type) }
    let below = builder.same("and", x, constant(1 << lost - 1))
    let sticky = builder.select(builder.compare("EQ", below, constant(0)), constant(0), constant(1 << lost))
    let kept = builder.same("or", builder.same("subtract", x, below), sticky)
    return cast(builder.convert(builder.select(isShort, x, kept), to: wide), to: dtype)
  }

  /// A narrowing convert that stands before a widening one may be dropped as a pair by a compiler that thinks more precision
  /// is welcome; `reduce_precision` may not. Its exponent stays that of the operand, since a narrower one would flush the
  /// target's subnormals to zero: the convert that follows bounds the range.
  private mutating func floatCast(
    _ x: HLOValue, _ from: (exponent: Int, mantissa: Int), _ to: (exponent: Int, mantissa: Int), _ dtype: DType
  ) -> HLOValue {
    guard to.mantissa < from.mantissa else { return builder.convert(x, to: dtype) }
    // The subnormals of f16 are normal in bf16, and keep all its digits only by way of f32.
    if x.dtype == .f16 { return cast(builder.convert(x, to: .f32), to: dtype) }
    let exact = to.exponent < from.exponent ? subnormalRounded(x, to) : x
    let rounded = builder.emit(
      "reduce_precision", "\(exact.name), format = e\(from.exponent)m\(to.mantissa) : \(x.type)", x.type)
    return builder.convert(rounded, to: dtype)
  }

  /// What becomes subnormal has fewer digits, and is rounded to those before: to multiples of the least number, which is the
  /// last digit of what it is added to.
  private mutating func subnormalRounded(_ x: HLOValue, _ to: (exponent: Int, mantissa: Int)) -> HLOValue {
    let (magnitude, zero) = (builder.same("abs", x), builder.constant(0.0, x.type))
    let leastNormal = Double(sign: .plus, exponent: 2 - 1 << (to.exponent - 1), significand: 1)
    let digits = (x.dtype.floatFormat?.mantissa ?? 0) - to.mantissa
    let large = builder.constant(leastNormal * Double(1 << digits) * 1.5, x.type)
    // Without the barrier XLA would add the two constants.
    let raised = builder.same("optimization_barrier", builder.same("add", magnitude, large))
    let whole = builder.same("subtract", raised, large)
    let signed = builder.select(builder.compare("LT", x, zero), builder.same("negate", whole), whole)
    let isSmall = builder.compare("LT", magnitude, builder.constant(leastNormal, x.type))
    let isChanged = builder.same("and", isSmall, builder.compare("NE", x, zero))
    return builder.select(isChanged, signed, x)
  }

  /// An integer held within the limits of a narrower one, where `convert` alone would wrap.
  private mutating func saturated(_ x: HLOValue, in dtype: DType) -> HLOValue {
    let (source, target) = (x.dtype.integerLimits, dtype.integerLimits)
    guard !dtype.isFloating, source.lowerBound < target.lowerBound || source.upperBound > target.upperBound else {
      return x
    }
    let low = builder.constant(target.lowerBound, x.type.scalar)
    let high = builder.constant(target.upperBound, x.type.scalar)
    return clamp(low, x, high)
  }

  /// `x` between two scalars.
  mutating func clamp(_ low: HLOValue, _ x: HLOValue, _ high: HLOValue) -> HLOValue {
    builder.function("clamp", [low, x, high], x.type)
  }
}
