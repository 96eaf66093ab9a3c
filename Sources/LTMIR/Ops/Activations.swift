import Foundation

// Rows: activation functions. Each is a formula over primitives; none is known to a backend.

extension OpDefinition {
  // The gradient at 0 is 0. `maximum` keeps NaN.
  static let relu = unary(
    "`max(x, 0)`", .follow,
    gradient: .rule { b, node, _, g in
      let x = node.operands[0]
      return [b.select(b.make(.greater, [x, b.fill(0, like: x)]), g, b.fill(0, like: g))]
    }, lowering: .decompose { b, node in b.make(.maximum, [node.operands[0], b.fill(0, like: node.operands[0])]) },
    { $0.isNaN ? $0 : Swift.max($0, 0) })

  // As in PyTorch, the slope at 0 is that of the negative side.
  static let leakyRelu = OpDefinition(
    "`x` where it is positive, `slope * x` elsewhere.",
    signature: [OpParameter("x", .tensor), OpParameter("slope", .float, default: .float(0.01))], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      let slope = try attributes.required("slope", attributes.float("slope"))
      guard slope.isFinite else { throw OpError("the slope \(slope) is no finite number") }
      return try elementwise(1, .floats)(types, attributes)
    },
    evaluate: { x, attributes, _ in
      let slope = attributes[float: "slope"]
      return x[0].map { $0 > 0 ? $0 : slope * $0 }
    },
    gradient: .rule { b, node, _, g in
      let x = node.operands[0]
      let wide = b.cast(g, to: b.type(g).dtype.arithmetic)
      let slower = b.cast(b.scale(wide, by: node.attributes[float: "slope"]), to: b.type(g).dtype)
      return [b.select(b.make(.greater, [x, b.fill(0, like: x)]), g, slower)]
    },
    lowering: .formulaOfNode { b, node, x in
      let slower = b.scale(x[0], by: node.attributes[float: "slope"])
      return b.select(b.make(.greater, [x[0], b.fill(0, like: x[0])]), x[0], slower)
    })

  static let sigmoid = unary(
    "`1 / (1 + exp(-x))`", .follow,
    gradient: .unary { b, x, _, g in
      let (e, sum) = decay(&b, x)
      return b.div(b.mul(g, e), b.mul(sum, sum))
    },
    lowering: .formula { b, x in logistic(&b, x[0]) }, { LTMIR.sigmoid($0) })

  static let silu = unary(
    "`x * sigmoid(x)`", .follow,
    gradient: .unary { b, x, _, g in b.mul(g, gateSlope(&b, of: bounded(&b, x)) { b, x in (x, b.fill(1, like: x)) }) },
    lowering: .formula { b, x in b.make(.timesSigmoid, [x[0], x[0]]) }, { $0.times(tail: LTMIR.sigmoid($0)) })

  static let gelu = unary(
    "`x * (1 + erf(x / sqrt(2))) / 2`", .float32,
    gradient: .unary { b, x, _, g in
      let density = b.scale(b.make(.timesGaussian, [x, x]), by: 1 / (2 * Double.pi).squareRoot())
      return b.mul(g, b.add(b.make(.timesNormalCDF, [b.fill(1, like: x), x]), density))
    }, lowering: .formula { b, x in b.make(.timesNormalCDF, [x[0], x[0]]) }, { $0.times(tail: normalCDF($0)) })

  static let geluTanh = unary(
    "`gelu` by its tanh approximation", .float32,
    gradient: .unary { b, x, _, g in
      let slope = gateSlope(&b, of: bounded(&b, x)) { b, x in
        let inner = b.offset(b.scale(b.mul(x, x), by: 6 * geluFactor * geluCubic), by: 2 * geluFactor)
        return (geluArgument(&b, x), inner)
      }
      return b.mul(g, slope)
    }, lowering: .formula { b, x in b.make(.timesSigmoid, [x[0], geluArgument(&b, x[0])]) },
    { $0.times(tail: LTMIR.sigmoid(2 * geluFactor * $0 * (1 + geluCubic * $0 * $0))) })

  static let softplus = unary(
    "`log(1 + exp(x))`", .float32, gradient: .unary { b, x, _, g in b.mul(g, logistic(&b, x)) },
    lowering: .formula { b, x in softplusFormula(&b, x[0]) },
    { Swift.max($0, 0) + Foundation.log1p(Foundation.exp(-Swift.abs($0))) })
}

private let geluFactor = (2 / Double.pi).squareRoot()
private let geluCubic = 0.044715

/// `1 / (1 + exp(-x))`
func logistic(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID { b.make(.timesSigmoid, [b.fill(1, like: x), x]) }

/// `e = exp(-|x|)` and `1 + e`, of which the sigmoid and its slope are made on either side of 0.
private func decay(_ b: inout GraphBuilder, _ x: ValueID) -> (e: ValueID, sum: ValueID) {
  let e = b.exp(b.neg(b.make(.abs, [x])))
  return (e, b.offset(e, by: 1))
}

/// A number beyond which no sigmoid changes, so that no infinity meets a 0.
private func bounded(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.make(.minimum, [b.make(.maximum, [x, b.fill(-1000, like: x)]), b.fill(1000, like: x)])
}

/// The slope of `x sigmoid(u)`: `sigmoid(u) + x u' sigmoid(u) sigmoid(-u)`.
private func gateSlope(
  _ b: inout GraphBuilder, of x: ValueID,
  _ argument: (inout GraphBuilder, ValueID) -> (u: ValueID, slope: ValueID)
) -> ValueID {
  let (u, slope) = argument(&b, x)
  let (e, sum) = decay(&b, u)
  let isBelow = b.make(.less, [u, b.fill(0, like: u)])
  let top = b.select(isBelow, e, b.fill(1, like: e))
  return b.div(b.add(top, b.div(b.mul(b.mul(x, slope), e), sum)), sum)
}

/// `max(x, 0) + log1p(exp(-|x|))`: exp never overflows.
func softplusFormula(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.add(b.make(.maximum, [x, b.fill(0, like: x)]), softplusTail(&b, x))
}

/// `log1p(exp(-|x|))`: how far `softplus` is from `max(x, 0)`.
func softplusTail(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.make(.log1p, [b.exp(b.neg(b.make(.abs, [x])))])
}

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)`, of which the sigmoid is `(1 + tanh) / 2` of half of it.
private func geluArgument(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  let scale = b.offset(b.scale(b.mul(x, x), by: 2 * geluFactor * geluCubic), by: 2 * geluFactor)
  return b.mul(x, scale)
}
