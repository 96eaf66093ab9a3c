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
    gradient: .unary { b, _, y, g in b.mul(g, b.mul(y, b.sub(b.fill(1, like: y), y))) },
    lowering: .formula { b, x in logistic(&b, x[0]) }, { 1 / (1 + Foundation.exp(-$0)) })

  static let silu = unary(
    "`x * sigmoid(x)`", .follow,
    gradient: .unary { b, x, _, g in
      let s = logistic(&b, x)
      let slope = b.mul(s, b.offset(b.mul(x, b.sub(b.fill(1, like: s), s)), by: 1))
      return b.mul(g, slope)
    }, lowering: .formula { b, x in b.mul(x[0], logistic(&b, x[0])) }, { $0 / (1 + Foundation.exp(-$0)) })

  static let gelu = unary(
    "`x * (1 + erf(x / sqrt(2))) / 2`", .float32,
    gradient: .unary { b, x, _, g in
      let density = b.scale(b.exp(b.scale(b.mul(x, x), by: -0.5)), by: 1 / (2 * Double.pi).squareRoot())
      return b.mul(g, b.add(normalCumulative(&b, x), b.mul(x, density)))
    }, lowering: .formula { b, x in b.mul(x[0], normalCumulative(&b, x[0])) },
    { 0.5 * $0 * (1 + Foundation.erf($0 / 2.0.squareRoot())) })

  static let geluTanh = unary(
    "`gelu` by its tanh approximation", .float32,
    gradient: .unary { b, x, _, g in
      let s = b.div(b.fill(1, like: x), geluDenominator(&b, x))
      let inner = b.offset(b.scale(b.mul(x, x), by: 6 * geluFactor * geluCubic), by: 2 * geluFactor)
      let slope = b.mul(b.mul(s, b.sub(b.fill(1, like: s), s)), inner)
      return b.mul(g, b.add(s, b.mul(x, slope)))
    }, lowering: .formula { b, x in b.div(x[0], geluDenominator(&b, x[0])) },
    { 0.5 * $0 * (1 + Foundation.tanh(geluFactor * ($0 + geluCubic * $0 * $0 * $0))) })

  static let softplus = unary(
    "`log(1 + exp(x))`", .float32, gradient: .unary { b, x, _, g in b.mul(g, logistic(&b, x)) },
    lowering: .formula { b, x in softplusFormula(&b, x[0]) },
    { Swift.max($0, 0) + Foundation.log1p(Foundation.exp(-Swift.abs($0))) })
}

private let geluFactor = (2 / Double.pi).squareRoot()
private let geluCubic = 0.044715

/// `1 / (1 + exp(-x))`: where exp overflows the quotient is 0, so no case is needed.
func logistic(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.div(b.fill(1, like: x), b.offset(b.exp(b.neg(x)), by: 1))
}

/// `max(x, 0) + log1p(exp(-|x|))`: exp never overflows.
func softplusFormula(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.add(b.make(.maximum, [x, b.fill(0, like: x)]), softplusTail(&b, x))
}

/// `log1p(exp(-|x|))`: how far `softplus` is from `max(x, 0)`.
func softplusTail(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.make(.log1p, [b.exp(b.neg(b.make(.abs, [x])))])
}

private func normalCumulative(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.scale(b.offset(b.make(.erf, [b.scale(x, by: 0.5.squareRoot())]), by: 1), by: 0.5)
}

/// `1 + exp(-2u)` for gelu's `u`: `(1 + tanh(u)) / 2` is its inverse, which loses nothing where tanh is nearly -1.
private func geluDenominator(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  let scale = b.offset(b.scale(b.mul(x, x), by: -2 * geluFactor * geluCubic), by: -2 * geluFactor)
  return b.offset(b.exp(b.mul(x, scale)), by: 1)
}
