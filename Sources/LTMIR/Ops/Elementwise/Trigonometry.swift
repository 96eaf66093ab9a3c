import Foundation

// Rows: trigonometric and hyperbolic functions and their inverses, made of exponentials, logarithms, sines and polynomials,
// so that every target has them.

extension OpDefinition {
  static let tan = shaped(
    "The tangent.", [], .float32,
    gradient: { b, x, g, _ in
      let cosine = b.make(.cos, [x])
      return b.div(g, b.mul(cosine, cosine))
    }, formula: { b, x, _ in b.div(b.make(.sin, [x]), b.make(.cos, [x])) }, { x, _ in Foundation.tan(x) })

  static let asin = shaped(
    "The inverse of the sine, from -pi/2 to pi/2; NaN outside of -1 to 1.", [], .float32, on: .uniform(-0.9, 0.9),
    gradient: { b, x, g, _ in b.div(g, circle(&b, x)) },
    formula: { b, x, _ in
      let (isSmall, near, far) = arcSineParts(&b, x)
      let large = b.sub(b.fill(.pi / 2, like: x), b.scale(far, by: 2))
      return withSign(&b, b.select(isSmall, near, large), of: x)
    }, { x, _ in Foundation.asin(x) })

  // Next to 1 it is twice the arc sine of a root: no difference is taken of numbers that are nearly equal.
  static let acos = shaped(
    "The inverse of the cosine, from 0 to pi; NaN outside of -1 to 1.", [], .float32, on: .uniform(-0.9, 0.9),
    gradient: { b, x, g, _ in b.neg(b.div(g, circle(&b, x))) },
    formula: { b, x, _ in
      let (isSmall, near, far) = arcSineParts(&b, x)
      let (twice, isNegative) = (b.scale(far, by: 2), b.compare(.less, x, 0))
      let large = b.select(isNegative, b.sub(b.fill(.pi, like: x), twice), twice)
      let signed = b.select(isNegative, b.neg(near), near)
      return b.select(isSmall, b.sub(b.fill(.pi / 2, like: x), signed), large)
    }, { x, _ in Foundation.acos(x) })

  static let atan = shaped(
    "The inverse of the tangent, from -pi/2 to pi/2.",
    gradient: { b, x, g, _ in b.div(g, b.offset(b.mul(x, x), by: 1)) },
    formula: { b, x, _ in
      let size = b.make(.abs, [x])
      let isLarge = b.compare(.greater, size, 1)
      let angle = arcTangent(&b, b.select(isLarge, b.div(b.fill(1, like: x), size), size))
      return withSign(&b, b.select(isLarge, b.sub(b.fill(.pi / 2, like: x), angle), angle), of: x)
    }, { x, _ in Foundation.atan(x) })

  // `expm1` keeps a small x; from 80 on, where the exponential alone could overflow, in two factors.
  static let sinh = shaped(
    "The hyperbolic sine.", [], .float32, gradient: { b, x, g, _ in b.mul(g, hyperbolic(&b, x, isOdd: false)) },
    formula: { b, x, _ in withSign(&b, hyperbolic(&b, x, isOdd: true), of: x) }, { x, _ in Foundation.sinh(x) })

  static let cosh = shaped(
    "The hyperbolic cosine.", [], .float32,
    gradient: { b, x, g, _ in b.mul(g, withSign(&b, hyperbolic(&b, x, isOdd: true), of: x)) },
    formula: { b, x, _ in hyperbolic(&b, x, isOdd: false) }, { x, _ in Foundation.cosh(x) })

  static let asinh = shaped(
    "The inverse of the hyperbolic sine.",
    gradient: { b, x, g, _ in b.div(g, b.make(.sqrt, [b.offset(b.mul(x, x), by: 1)])) },
    formula: { b, x, _ in
      let size = b.make(.abs, [x])
      let square = b.mul(size, size)
      let root = b.offset(b.make(.sqrt, [b.offset(square, by: 1)]), by: 1)
      let near = b.make(.log1p, [b.add(size, b.div(square, root))])
      let far = b.offset(b.make(.log, [size]), by: M_LN2)
      return withSign(&b, b.select(b.compare(.less, size, largeForSquares), near, far), of: x)
    }, { x, _ in Foundation.asinh(x) })

  static let acosh = shaped(
    "The inverse of the hyperbolic cosine, from 0 on; NaN below 1.", on: .uniform(1.1, 3),
    gradient: { b, x, g, _ in
      b.div(g, b.make(.sqrt, [b.mul(b.offset(x, by: -1), b.offset(x, by: 1))]))
    },
    formula: { b, x, _ in
      let over = b.offset(x, by: -1)
      let root = b.make(.sqrt, [b.mul(over, b.offset(over, by: 2))])
      let near = b.make(.log1p, [b.add(over, root)])
      let far = b.offset(b.make(.log, [x]), by: M_LN2)
      let value = b.select(b.compare(.greater, x, largeForSquares), far, near)
      return b.select(b.compare(.less, x, 1), b.fill(.nan, like: x), value)
    }, { x, _ in Foundation.acosh(x) })

  static let atanh = shaped(
    "The inverse of the hyperbolic tangent; NaN outside of -1 to 1.", on: .uniform(-0.9, 0.9),
    gradient: { b, x, g, _ in
      let one = b.fill(1, like: x)
      return b.div(g, b.mul(b.sub(one, x), b.add(one, x)))
    },
    formula: { b, x, _ in
      let size = b.make(.abs, [x])
      let ratio = b.div(b.scale(size, by: 2), b.sub(b.fill(1, like: x), size))
      return withSign(&b, b.scale(b.make(.log1p, [ratio]), by: 0.5), of: x)
    }, { x, _ in Foundation.atanh(x) })

  static let atan2 = OpDefinition(
    "The angle of the point `(b, a)`, from -pi to pi: the arc tangent of `a / b` in its quadrant.",
    signature: [OpParameter("a", .tensor), OpParameter("b", .tensor)], isElementwise: true, precision: .widest,
    infer: elementwise(2, .floats), evaluate: { x, _, _ in x[0].zip(x[1]) { Foundation.atan2($0, $1) } },
    gradient: .binary(
      { b, x in b.mul(x[3], b.div(x[1], b.add(b.mul(x[0], x[0]), b.mul(x[1], x[1])))) },
      { b, x in b.neg(b.mul(x[3], b.div(x[0], b.add(b.mul(x[0], x[0]), b.mul(x[1], x[1]))))) }),
    lowering: .formulaOfNode { b, _, x in
      let sizes = x.map { b.make(.abs, [$0]) }
      let (least, most) = (b.make(.minimum, sizes), b.make(.maximum, sizes))
      // 0 / 0 is 0, and inf / inf is 1.
      let ratio = b.select(b.make(.equal, [least, most]), b.fill(1, like: most), b.div(least, most))
      let angle = arcTangent(&b, b.select(b.compare(.equal, most, 0), most, ratio))
      let steep = b.make(.greater, [sizes[0], sizes[1]])
      let acute = b.select(steep, b.sub(b.fill(.pi / 2, like: angle), angle), angle)
      let whole = b.select(isNegative(&b, x[1]), b.sub(b.fill(.pi, like: acute), acute), acute)
      return b.select(isNegative(&b, x[0]), b.neg(whole), whole)
    }, examples: [OpExample([([2, 3], .any), ([2, 3], .any)])])
}

/// From where on a square adds nothing to 1, in f64 too, and does not overflow in f32.
private let largeForSquares = 1e9

/// A magnitude with the sign of `x`, of which it is 0 where that is 0.
private func withSign(_ b: inout GraphBuilder, _ size: ValueID, of x: ValueID) -> ValueID {
  let signed = b.select(b.compare(.less, x, 0), b.neg(size), size)
  return b.select(b.compare(.equal, x, 0), x, signed)
}

/// Whether a number is negative, -0 included.
private func isNegative(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  let nonZero = b.select(b.compare(.equal, x, 0), b.div(b.fill(1, like: x), x), x)
  return b.compare(.less, nonZero, 0)
}

/// `sqrt(1 - x^2)`
private func circle(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  let one = b.fill(1, like: x)
  return b.make(.sqrt, [b.mul(b.sub(one, x), b.add(one, x))])
}

/// The arc tangent of 0 to 1. Above tan(pi/8) that of `(t - 1) / (t + 1)` is added to pi/4.
private func arcTangent(_ b: inout GraphBuilder, _ t: ValueID) -> ValueID {
  let isUpper = b.compare(.greater, t, 0.414_213_562_373_095_03)
  let turned = b.div(b.offset(t, by: -1), b.offset(t, by: 1))
  let near = b.select(isUpper, turned, t)
  let square = b.mul(near, near)
  let tail = b.polynomial(square, b.type(t).dtype == .f64 ? arcTangentTail : shortArcTangentTail)
  let angle = b.add(near, b.mul(b.mul(near, square), tail))
  return b.select(isUpper, b.offset(angle, by: .pi / 4), angle)
}

/// Whether `|x|` is half at most, the arc sine of `|x|` there, and that of `sqrt((1 - |x|) / 2)` beyond.
private func arcSineParts(
  _ b: inout GraphBuilder, _ x: ValueID
) -> (isSmall: ValueID, near: ValueID, far: ValueID) {
  let size = b.make(.abs, [x])
  let isSmall = b.compare(.lessEqual, size, 0.5)
  let rest = b.scale(b.sub(b.fill(1, like: x), size), by: 0.5)
  let square = b.select(isSmall, b.mul(size, size), rest)
  let root = b.select(isSmall, size, b.make(.sqrt, [rest]))
  let tail = b.polynomial(square, b.type(x).dtype == .f64 ? arcSineTail : shortArcSineTail)
  let angle = b.add(root, b.mul(b.mul(root, square), tail))
  return (isSmall, angle, angle)
}

/// `sinh|x|`, or `cosh x`.
private func hyperbolic(_ b: inout GraphBuilder, _ x: ValueID, isOdd: Bool) -> ValueID {
  let size = b.make(.abs, [x])
  let near = b.make(.minimum, [size, b.fill(80, like: x)])
  let half = b.exp(b.scale(size, by: 0.5))
  let far = b.mul(b.scale(half, by: 0.5), half)
  let value: ValueID
  if isOdd {
    let e = b.make(.expm1, [near])
    value = b.scale(b.add(e, b.div(e, b.offset(e, by: 1))), by: 0.5)
  } else {
    let e = b.exp(near)
    value = b.scale(b.add(e, b.div(b.fill(1, like: e), e)), by: 0.5)
  }
  return b.select(b.compare(.greater, size, 80), far, value)
}

// `(atan(t) / t - 1) / t^2` and `(asin(t) / t - 1) / t^2` as polynomials of `t^2`, interpolated at Chebyshev's points of
// [0, tan(pi/8)^2] and [0, 1/4]: within 5e-18 for f64, 1e-9 for f32.
private let arcTangentTail = [
  -0.01917688711906226, 0.03923165829558719, -0.0508544973794026, 0.0585814891280221, -0.06664511447381948,
  0.07692183190826087, -0.09090904578123903, 0.11111111015256361, -0.14285714284666542, 0.1999999999999552,
  -0.3333333333333333,
]
private let shortArcTangentTail = [
  0.050481385120797445, -0.08624676145249494, 0.11071365021884794, -0.14284151193628614, 0.19999977258688387,
  -0.333333332792548,
]
private let arcSineTail = [
  0.028757851367421566, -0.014851887071247204, 0.01740087944269402, 0.005457506718640358, 0.01032281435018578,
  0.011479177415184906, 0.013971212973552933, 0.017352392720869973, 0.02237217294214989, 0.030381944138531247,
  0.04464285714635543, 0.07499999999998433, 0.16666666666666669,
]
private let shortArcSineTail = [
  0.03369084720283012, 0.017149238357677253, 0.03110066273549457, 0.04459940152851218, 0.07500094543497424,
  0.16666666337430908,
]
