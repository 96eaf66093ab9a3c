import LTMIR

// The dialect has no error function, and the reference interpreter takes no other dialect: it is spelled out.

extension Lowering {
  /// `erf`, in f32 within 4e-7 and in f64 within 1e-15; half goes through f32.
  mutating func errorFunction(_ x: HLOValue) -> HLOValue {
    x.dtype.accumulator == .f64 ? erfDouble(x) : cast(erfSingle(cast(x, to: .f32)), to: x.dtype)
  }

  /// `x P(x^2) / Q(x^2)` where |erf| is not yet 1, the minimax quotient that Eigen uses.
  private mutating func erfSingle(_ x: HLOValue) -> HLOValue {
    let edge = builder.constant(3.832_506_856_900_711, x.type.scalar)
    let bounded = clamp(builder.same("negate", edge), x, edge)
    let square = builder.same("multiply", bounded, bounded)
    let top = polynomial(square, numerator)
    let bottom = polynomial(square, denominator)
    let quotient = builder.same("divide", builder.same("multiply", bounded, top), bottom)
    let one = builder.constant(1.0, x.type.scalar)
    return clamp(builder.same("negate", one), quotient, one)
  }

  /// `1 - t exp(-x^2 + chebyshev(t))`, `t = 2 / (2 + |x|)`: Press et al., Numerical Recipes, 3rd edition, 6.2.2.
  private mutating func erfDouble(_ x: HLOValue) -> HLOValue {
    let z = builder.same("abs", x)
    let two = builder.constant(2.0, x.type)
    let t = builder.same("divide", two, builder.same("add", two, z))
    let u = builder.same("subtract", scaled(t, 4), two)
    var (d, dd) = (builder.constant(0.0, x.type), builder.constant(0.0, x.type))
    for coefficient in chebyshev.dropFirst().reversed() {
      let step = builder.same("subtract", builder.same("multiply", u, d), dd)
      (d, dd) = (builder.same("add", step, builder.constant(coefficient, x.type)), d)
    }
    let sum = builder.same("add", builder.same("multiply", u, d), builder.constant(chebyshev[0], x.type))
    let series = builder.same("subtract", scaled(sum, 0.5), dd)
    let power = builder.same("subtract", series, builder.same("multiply", z, z))
    let tail = builder.same("multiply", t, builder.same("exponential", power))
    let magnitude = builder.same("subtract", builder.constant(1.0, x.type), tail)
    return builder.same("multiply", magnitude, builder.same("sign", x))
  }

  mutating func scaled(_ x: HLOValue, _ factor: Double) -> HLOValue {
    builder.same("multiply", x, builder.constant(factor, x.type))
  }

  /// By Horner's rule; the coefficient of the highest power comes first.
  mutating func polynomial(_ x: HLOValue, _ coefficients: [Double]) -> HLOValue {
    var value = builder.constant(coefficients[0], x.type)
    for coefficient in coefficients.dropFirst() {
      value = builder.same("add", builder.same("multiply", value, x), builder.constant(coefficient, x.type))
    }
    return value
  }
}

private let numerator = [
  0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861, 0.18520832239976145, 1.128379143519084,
]

private let denominator = [
  -1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885, 0.014070470171167667, 0.11098505178285362,
  0.49746925110067538, 1,
]

private let chebyshev = [
  -1.3026537197817094, 6.4196979235649026e-1, 1.9476473204185836e-2, -9.561514786808631e-3, -9.46595344482036e-4,
  3.66839497852761e-4, 4.2523324806907e-5, -2.0278578112534e-5, -1.624290004647e-6, 1.303655835580e-6,
  1.5626441722e-8, -8.5238095915e-8, 6.529054439e-9, 5.059343495e-9, -9.91364156e-10, -2.27365122e-10, 9.6467911e-11,
  2.394038e-12, -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13, 3.81e-16, 7.106e-15, -1.523e-15, -9.4e-17,
  1.21e-16, -2.8e-17,
]
