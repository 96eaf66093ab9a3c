import LTMIR

// What the dialect has no function for: logarithms that are exact at powers of two, and products with functions that vanish in
// their tails. Half goes through f32.

extension Lowering {
  // MARK: Logarithm

  /// The natural one scaled, but of powers of two their exponents.
  mutating func binaryLogarithm(_ x: HLOValue) -> HLOValue {
    if x.dtype.isHalf { return cast(binaryLogarithm(cast(x, to: .f32)), to: x.dtype) }
    let isDouble = x.dtype == .f64
    let (integer, digits, bias): (DType, Int64, Int64) = isDouble ? (.i64, 52, 1023) : (.i32, 23, 127)
    let nearly = scaled(builder.same("log", x), 1.442_695_040_888_963_4)
    // Subnormal numbers are powers of two only once they are normal.
    let raise = Double(digits + 9)
    let isSmall = builder.compare("LT", x, builder.constant(isDouble ? 0x1p-1022 : 0x1p-126, x.type))
    let normal = builder.select(isSmall, scaled(x, Double(sign: .plus, exponent: Int(raise), significand: 1)), x)
    let bits = builder.function("bitcast_convert", [normal], x.type.with(integer))
    func constant(_ value: Int64) -> HLOValue { builder.constant(value, bits.type) }
    let exponent = builder.same(
      "subtract", builder.same("shift_right_logical", bits, constant(digits)), constant(bias))
    let fraction = builder.same("and", bits, constant(1 << digits - 1))
    let whole = builder.convert(exponent, to: x.dtype)
    let lowered = builder.select(isSmall, builder.same("subtract", whole, builder.constant(raise, x.type)), whole)
    let isPower = builder.same(
      "and", builder.compare("EQ", fraction, constant(0)),
      builder.same("and", builder.function("is_finite", [x], x.type.with(.bool)), isPositive(x)))
    return builder.select(isPower, lowered, nearly)
  }

  private mutating func isPositive(_ x: HLOValue) -> HLOValue {
    builder.compare("GT", x, builder.constant(0.0, x.type))
  }

  // MARK: Tails

  /// `a / (1 + exp(-u))`: below 0 by way of `exp(u)`, which does not overflow.
  mutating func timesSigmoid(_ a: HLOValue, _ u: HLOValue) -> HLOValue {
    if a.dtype.isHalf { return inSingle(a, u) { $0.timesSigmoid($1, $2) } }
    let e = builder.same("exponential", builder.same("negate", builder.same("abs", u)))
    let below = builder.compare("LT", u, builder.constant(0.0, u.type))
    let top = builder.select(below, builder.same("multiply", finite(a), e), a)
    return builder.same("divide", top, builder.same("add", e, builder.constant(1.0, e.type)))
  }

  /// `a exp(-u^2 / 2)`
  mutating func timesGaussian(_ a: HLOValue, _ u: HLOValue) -> HLOValue {
    if a.dtype.isHalf { return inSingle(a, u) { $0.timesGaussian($1, $2) } }
    return gaussian(builder.same("abs", u)).reduce(finite(a)) { builder.same("multiply", $0, $1) }
  }

  /// `a Phi(u)`: below 0 the bell times a quotient, above 0 the rest of it; near 0 a series.
  mutating func timesNormalCDF(_ a: HLOValue, _ u: HLOValue) -> HLOValue {
    if a.dtype.isHalf { return inSingle(a, u) { $0.timesNormalCDF($1, $2) } }
    let isDouble = u.dtype == .f64
    let distance = builder.same("abs", u)
    let t = clamp(builder.constant(0.0, u.type.scalar), distance, builder.constant(40.0, u.type.scalar))
    let offset = builder.constant(isDouble ? 5.0 : 4.0, u.type)
    let sum = builder.same("add", t, offset)
    let place = builder.same("divide", builder.same("subtract", offset, t), sum)
    let ratio = builder.same("divide", polynomial(place, isDouble ? NormalTables.double : NormalTables.single), sum)
    let start = builder.same("multiply", finite(a), ratio)
    let tail = gaussian(t).reduce(start) { builder.same("multiply", $0, $1) }
    let below = builder.compare("LT", u, builder.constant(0.0, u.type))
    let far = builder.select(below, tail, builder.same("subtract", a, tail))
    let series = polynomial(builder.same("multiply", u, u), NormalTables.series(isDouble: isDouble))
    let middle = builder.same("add", builder.same("multiply", u, series), builder.constant(0.5, u.type))
    let near = builder.same("multiply", a, middle)
    return builder.select(builder.compare("LT", distance, builder.constant(0.5, u.type)), near, far)
  }

  /// `exp(-t^2 / 2)` as two factors: the square of t's upper half is exact, and the rest of the square is small.
  private mutating func gaussian(_ t: HLOValue) -> [HLOValue] {
    let digits = t.dtype == .f64 ? 25 : 11
    let exponent = t.dtype.floatFormat?.exponent ?? 8
    let bounded = clamp(builder.constant(0.0, t.type.scalar), t, builder.constant(40.0, t.type.scalar))
    let high = builder.emit("reduce_precision", "\(bounded.name), format = e\(exponent)m\(digits) : \(t.type)", t.type)
    let rest = builder.same(
      "multiply", builder.same("subtract", bounded, high), builder.same("add", bounded, high))
    return [builder.same("multiply", high, high), rest].map { builder.same("exponential", scaled($0, -0.5)) }
  }

  /// What a tail of 0 makes 0.
  private mutating func finite(_ x: HLOValue) -> HLOValue {
    let limit = builder.constant(x.dtype.greatestFinite, x.type.scalar)
    return clamp(builder.same("negate", limit), x, limit)
  }

  private mutating func inSingle(
    _ a: HLOValue, _ u: HLOValue, _ function: (inout Lowering, HLOValue, HLOValue) -> HLOValue
  ) -> HLOValue {
    let (wideA, wideU) = (cast(a, to: .f32), cast(u, to: .f32))
    return cast(function(&self, wideA, wideU), to: a.dtype)
  }
}
