import LTMIR

extension Lowering {
  /// A value in another dtype. A cast that narrows is a barrier.
  mutating func cast(_ x: HLOValue, to dtype: DType) -> HLOValue {
    if x.dtype == dtype { return x }
    if dtype == .bool { return builder.compare("NE", x, builder.constant(0.0, x.type)) }
    if let from = x.dtype.floatFormat, let to = dtype.floatFormat {
      return floatCast(x, from, to, dtype)
    }
    return builder.convert(x.dtype.isFloating ? x : saturated(x, in: dtype), to: dtype)
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
    let rounded = builder.emit(
      "reduce_precision", "\(x.name), format = e\(from.exponent)m\(to.mantissa) : \(x.type)", x.type)
    return builder.convert(rounded, to: dtype)
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
