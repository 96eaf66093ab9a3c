import Foundation

// Rows: exponentials, logarithms and their kin, elementwise.

extension OpDefinition {
  static let exp = unary(
    "`e` to the power `x`", .float32, gradient: .unary { b, _, y, g in b.mul(g, y) }, lowering: .primitive(.exp),
    { Foundation.exp($0) })

  static let expm1 = unary(
    "`exp(x) - 1`, exact near 0", .float32, gradient: .unary { b, x, _, g in b.mul(g, b.exp(x)) },
    lowering: .primitive(.expm1), { Foundation.expm1($0) })

  static let log = unary(
    "The natural logarithm.", .float32, on: .positive,
    gradient: .unary { b, x, _, g in b.div(g, x) }, lowering: .primitive(.log),
    { Foundation.log($0) })

  static let log1p = unary(
    "`log(1 + x)`, exact near 0", .float32, on: .positive,
    gradient: .unary { b, x, _, g in b.div(g, b.offset(x, by: 1)) },
    lowering: .primitive(.log1p), { Foundation.log1p($0) })

  static let log2 = unary(
    "The logarithm to base 2.", .float32, on: .positive,
    gradient: .unary { b, x, _, g in b.div(b.scale(g, by: 1 / M_LN2), x) },
    lowering: .primitive(.log2), { Foundation.log2($0) })

  static let sin = unary(
    "The sine.", .follow, gradient: .unary { b, x, _, g in b.mul(g, b.make(.cos, [x])) }, lowering: .primitive(.sin),
    { Foundation.sin($0) })

  static let cos = unary(
    "The cosine.", .follow, gradient: .unary { b, x, _, g in b.neg(b.mul(g, b.make(.sin, [x]))) },
    lowering: .primitive(.cos), { Foundation.cos($0) })

  static let tanh = unary(
    "The hyperbolic tangent.", .follow,
    // 4 e / (1 + e)^2 for e = exp(-2|x|): where y is nearly 1, nothing is left of 1 - y^2.
    gradient: .unary { b, x, _, g in
      let e = b.exp(b.scale(b.make(.abs, [x]), by: -2))
      let sum = b.offset(e, by: 1)
      return b.div(b.mul(g, b.scale(e, by: 4)), b.mul(sum, sum))
    }, lowering: .primitive(.tanh), { Foundation.tanh($0) })

  static let erf = unary(
    "The error function.", .follow,
    gradient: .unary { b, x, _, g in
      let root = b.make(.timesGaussian, [b.scale(g, by: 2 / Double.pi.squareRoot()), x])
      return b.make(.timesGaussian, [root, x])
    }, lowering: .primitive(.erf), { Foundation.erf($0) })
}
