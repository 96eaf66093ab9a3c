import Foundation

// Rows: arithmetic, elementwise. Gradient formulas see operands, value and gradient in the accumulator's dtype.

extension OpDefinition {
  static let neg = unary(
    "`-x`", .follow, .numbers, gradient: .unary { b, _, _, g in b.neg(g) }, lowering: .primitive(.neg), { -$0 })

  static let abs = unary(
    "The magnitude.", .follow, .numbers, gradient: .unary { b, x, _, g in b.mul(g, b.make(.sign, [x])) },
    lowering: .primitive(.abs), { Swift.abs($0) })

  static let sign = unary(
    "-1, 0 or 1; NaN stays NaN.", .follow, .numbers, gradient: .none,
    lowering: .decompose { b, node in
      let x = node.operands[0]
      let zero = b.fill(0, like: x)
      let negative = b.select(b.make(.less, [x, zero]), b.fill(-1, like: x), x)
      return b.select(b.make(.greater, [x, zero]), b.fill(1, like: x), negative)
    }, { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 })

  static let sqrt = unary(
    "The square root.", .follow, on: .positive, gradient: .unary { b, _, y, g in b.div(b.scale(g, by: 0.5), y) },
    lowering: .primitive(.sqrt), { $0.squareRoot() })

  static let rsqrt = unary(
    "`1 / sqrt(x)`", .float32, on: .positive,
    gradient: .unary { b, _, y, g in b.scale(b.mul(g, b.mul(y, b.mul(y, y))), by: -0.5) },
    lowering: .formula { b, x in b.div(b.fill(1, like: x[0]), b.make(.sqrt, [x[0]])) }, { 1 / $0.squareRoot() })

  static let reciprocal = unary(
    "`1 / x`", .float32, on: .positive,
    gradient: .unary { b, _, y, g in b.neg(b.mul(g, b.mul(y, y))) },
    lowering: .formula { b, x in b.div(b.fill(1, like: x[0]), x[0]) }, { 1 / $0 })

  static let square = unary(
    "`x * x`", .follow, .numbers, gradient: .unary { b, x, _, g in b.scale(b.mul(g, x), by: 2) },
    lowering: .formula { b, x in b.mul(x[0], x[0]) }, { $0 * $0 })

  static let floor = unary(
    "The next whole number below.", .follow, gradient: .none, lowering: .primitive(.floor), { $0.rounded(.down) })

  static let ceil = unary(
    "The next whole number above.", .follow, gradient: .none, lowering: .primitive(.ceil), { $0.rounded(.up) })

  static let round = unary(
    "The nearest whole number, halves to even.", .follow, gradient: .none, lowering: .primitive(.round),
    { $0.rounded(.toNearestOrEven) })

  static let trunc = unary(
    "The next whole number towards 0.", .follow, gradient: .none,
    lowering: .decompose { b, node in
      let x = node.operands[0]
      return b.select(b.compare(.less, x, 0), b.make(.ceil, [x]), b.make(.floor, [x]))
    }, { $0.rounded(.towardZero) })

  static let add = binary(
    "`a + b`", .numbers, gradient: .binary({ _, x in x[3] }, { _, x in x[3] }), lowering: .primitive(.add), { $0 + $1 })

  static let sub = binary(
    "`a - b`", .numbers, gradient: .binary({ _, x in x[3] }, { b, x in b.neg(x[3]) }), lowering: .primitive(.sub),
    { $0 - $1 })

  static let mul = binary(
    "`a * b`", .numbers, gradient: .binary({ b, x in b.mul(x[3], x[1]) }, { b, x in b.mul(x[3], x[0]) }),
    lowering: .primitive(.mul), { $0 * $1 })

  static let div = binary(
    "`a / b`", .floats, on: (.any, .positive),
    gradient: .binary(
      { b, x in b.div(x[3], x[1]) }, { b, x in b.neg(b.div(b.mul(x[3], x[2]), x[1])) }), lowering: .primitive(.div),
    { $0 / $1 })

  // At exponent 0 the base gets 0, and at base 0 the exponent gets 0, where the formulas alone would give NaN.
  static let pow = binary(
    "`a` to the power `b`", .floats, .float32, on: (.positive, .any),
    gradient: .binary(
      { b, x in
        let slope = b.mul(x[1], b.make(.pow, [x[0], b.offset(x[1], by: -1)]))
        let zero = b.fill(0, like: x[1])
        return b.select(b.make(.equal, [x[1], zero]), zero, b.mul(x[3], slope))
      },
      { b, x in
        let zero = b.fill(0, like: x[0])
        let slope = b.mul(x[2], b.make(.log, [x[0]]))
        return b.select(b.make(.equal, [x[0], zero]), zero, b.mul(x[3], slope))
      }), lowering: .primitive(.pow), { Foundation.pow($0, $1) })

  // Where both are equal, each gets half of the gradient, as in PyTorch. NaN wins.
  static let minimum = binary(
    "The smaller of two; NaN where either is.", .numbers, gradient: extremum(.less), lowering: .primitive(.minimum),
    { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) })

  static let maximum = binary(
    "The larger of two; NaN where either is.", .numbers, gradient: extremum(.greater), lowering: .primitive(.maximum),
    { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) })

  private static func extremum(_ wins: Op) -> OpGradient {
    .binary(
      { b, x in share(&b, winner: x[0], loser: x[1], wins, x[3]) },
      { b, x in share(&b, winner: x[1], loser: x[0], wins, x[3]) })
  }

  private static func share(
    _ b: inout GraphBuilder, winner: ValueID, loser: ValueID, _ wins: Op, _ gradient: ValueID
  ) -> ValueID {
    let tie = b.select(b.make(.equal, [winner, loser]), b.scale(gradient, by: 0.5), b.fill(0, like: gradient))
    return b.select(b.make(wins, [winner, loser]), gradient, tie)
  }
}
