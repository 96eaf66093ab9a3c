import Foundation

// Rows: softmax and the norms. Statistics and arithmetic run in the accumulator's dtype, whatever the operands are.

extension OpDefinition {
  static let softmax = OpDefinition(
    "Exponentials along an axis, scaled to sum to 1.", signature: axisSignature, precision: .float32,
    infer: inferAlongAxis,
    evaluate: { x, attributes, _ in
      x[0].rows(along: attributes[int: "axis"]) { row in logSoftmaxRow(row).map(Foundation.exp) }
    },
    gradient: .alongAxis { b, _, y, axis, g in
      let weighted = b.sum(b.mul(g, y), [axis], keep: true)
      return b.mul(y, b.sub(g, b.spread(weighted, like: g)))
    },
    lowering: .alongAxis { b, x, axis in
      let e = b.exp(shifted(&b, x, axis))
      let total = b.sum(e, [axis], keep: true)
      // One division a row. The sum is at least 1: its inverse is exact enough, and neither 0 nor infinite.
      return b.mul(e, b.spread(b.div(b.fill(1, like: total), total), like: e))
    })

  static let logSoftmax = OpDefinition(
    "The logarithm of `softmax`.", signature: axisSignature, precision: .float32, infer: inferAlongAxis,
    evaluate: { x, attributes, _ in x[0].rows(along: attributes[int: "axis"], logSoftmaxRow) },
    gradient: .alongAxis { b, _, y, axis, g in
      let total = b.sum(g, [axis], keep: true)
      return b.sub(g, b.mul(b.exp(y), b.spread(total, like: g)))
    }, lowering: .alongAxis { b, x, axis in logSoftmaxFormula(&b, x, axis) })

  static let layerNorm = OpDefinition(
    "Along the last axis: less the mean, over the standard deviation, times `weight`, plus `bias`.",
    signature: [
      OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("bias", .tensor),
      OpParameter("eps", .float, default: .float(1e-5)),
    ], precision: .normalization, infer: inferNorm(parameters: 2, axis: nil),
    evaluate: { x, attributes, _ in
      let normal = x[0].rows(along: x[0].rank - 1) { row in
        let mean = pairwiseSum(row[...]) / Double(row.count)
        let variance = pairwiseSum(row.map { ($0 - mean) * ($0 - mean) }[...]) / Double(row.count)
        return row.map { ($0 - mean) / (variance + attributes[float: "eps"]).squareRoot() }
      }
      return normal.zip(along(x[0].rank - 1, x[1], x[0]), *).zip(along(x[0].rank - 1, x[2], x[0]), +)
    },
    gradient: .normalization { b, node, wide, g in
      let axis = node.type.rank - 1
      let (normal, scale) = standardized(&b, wide[0], axis, eps: node.attributes[float: "eps"], centring: true)
      let (slope, weight) = normGradient(&b, normal, scale, wide[1], g, centring: true)
      return [slope, weight, b.sum(g, Array(0..<axis))]
    },
    lowering: .formulaOfNode { b, node, wide in
      let axis = node.type.rank - 1
      let (normal, _) = standardized(&b, wide[0], axis, eps: node.attributes[float: "eps"], centring: true)
      return b.add(b.mul(normal, b.spread(wide[1], like: normal)), b.spread(wide[2], like: normal))
    })

  static let rmsNorm = OpDefinition(
    "Along the last axis: over the root of the mean square, times `weight`.",
    signature: [
      OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("eps", .float, default: .float(1e-6)),
    ], precision: .normalization, infer: inferNorm(parameters: 1, axis: nil),
    evaluate: { x, attributes, _ in
      let normal = x[0].rows(along: x[0].rank - 1) { row in
        let square = pairwiseSum(row.map { $0 * $0 }[...]) / Double(row.count)
        return row.map { $0 / (square + attributes[float: "eps"]).squareRoot() }
      }
      return normal.zip(along(x[0].rank - 1, x[1], x[0]), *)
    },
    gradient: .normalization { b, node, wide, g in
      let axis = node.type.rank - 1
      let (normal, scale) = standardized(&b, wide[0], axis, eps: node.attributes[float: "eps"], centring: false)
      let (slope, weight) = normGradient(&b, normal, scale, wide[1], g, centring: false)
      return [slope, weight]
    },
    lowering: .formulaOfNode { b, node, wide in
      let axis = node.type.rank - 1
      let (normal, _) = standardized(&b, wide[0], axis, eps: node.attributes[float: "eps"], centring: false)
      return b.mul(normal, b.spread(wide[1], like: normal))
    })

  // The statistics are operands: those of the batch in training, the running ones in evaluation. The layer decides, and
  // the gradient through batch statistics flows through the ops that made them.
  static let batchNorm = OpDefinition(
    "Per channel (axis 1): less `mean`, over the root of `variance + eps`, times `weight`, plus `bias`.",
    signature: [
      OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("bias", .tensor),
      OpParameter("mean", .tensor), OpParameter("variance", .tensor), OpParameter("eps", .float, default: .float(1e-5)),
    ], precision: .normalization, infer: inferNorm(parameters: 4, axis: 1),
    evaluate: { x, attributes, _ in
      let parts = x.dropFirst().map { along(1, $0, x[0]) }
      let scale = parts[3].map { 1 / ($0 + attributes[float: "eps"]).squareRoot() }
      return x[0].zip(parts[2], -).zip(scale, *).zip(parts[0], *).zip(parts[1], +)
    },
    gradient: .normalization { b, node, wide, g in
      let others = node.type.shape.indices.filter { $0 != 1 }
      let (normal, scale) = batchNormal(&b, node, wide)
      let passed = b.mul(b.mul(g, b.perChannel(wide[1], like: g)), b.perChannel(scale, like: g))
      let variance = b.scale(b.mul(b.sum(b.mul(passed, normal), others), scale), by: -0.5)
      return [passed, b.sum(b.mul(g, normal), others), b.sum(g, others), b.neg(b.sum(passed, others)), variance]
    },
    lowering: .formulaOfNode { b, node, wide in
      let (normal, _) = batchNormal(&b, node, wide)
      return b.add(b.mul(normal, b.perChannel(wide[1], like: normal)), b.perChannel(wide[2], like: normal))
    })
}

private let axisSignature = [OpParameter("x", .tensor), OpParameter("axis", .axis, default: .int(-1))]

private let inferAlongAxis: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 1...1)
  _ = try attributes.requiredAxis(rank: types[0].rank)
  _ = try joinedDType(types, .floats)
  return types[0]
}

/// `x` of any float, parameters of `x`'s dtype or of its accumulator's, one-dimensional along an axis (the last if `nil`).
private func inferNorm(parameters: Int, axis: Int?) -> InferRule {
  { (types, attributes) throws(OpError) in
    try requireCount(types, parameters + 1...parameters + 1)
    try requireRank(types, 0, atLeast: axis.map { $0 + 1 } ?? 1)
    let axis = axis ?? types[0].rank - 1
    let eps = try attributes.required("eps", attributes.float("eps"))
    guard eps >= 0, eps.isFinite else { throw OpError("eps is \(eps), and it is a finite number of 0 or more") }
    _ = try elementCount(types[0].shape)
    let own = try joinedDType([types[0]], .floats)
    for (index, type) in types.enumerated().dropFirst() {
      guard type.shape == [types[0].shape[axis]] else {
        throw OpError(
          "the parameter has shape \(shapeText(type.shape)), not \(shapeText([types[0].shape[axis]]))",
          operands: [(0, axis), (index, nil)])
      }
      guard type.dtype == own || type.dtype == .float || own == .float || type.dtype == own.accumulator,
        type.dtype.isFloating
      else { throw OpError("a parameter is \(type.dtype), the operand \(own)", operands: [(0, nil), (index, nil)]) }
    }
    return types[0].with(types.contains { $0.dtype == .float } ? .float : own)
  }
}

extension GraphBuilder {
  fileprivate mutating func perChannel(_ value: ValueID, like other: ValueID) -> ValueID {
    broadcast(value, to: type(other).shape, axes: [1])
  }
}

extension OpGradient {
  /// The rule of an op of one operand along `axis`, computed wide: operand, unrounded value, axis, gradient.
  fileprivate static func alongAxis(
    _ rule: @escaping @Sendable (inout GraphBuilder, _ x: ValueID, _ y: ValueID, _ axis: Int, _ g: ValueID) -> ValueID
  ) -> OpGradient {
    .rule { b, node, value, gradient in
      let dtype = b.type(node.operands[0]).dtype
      let wide = [node.operands[0], gradient].map { b.cast($0, to: dtype.arithmetic) }
      let unrounded = b.unrounded(value, of: node, [wide[0]])
      return [b.cast(rule(&b, wide[0], unrounded, node.attributes[int: "axis"], wide[1]), to: dtype)]
    }
  }

  /// The rule of a norm, from operands and gradient in wide form.
  fileprivate static func normalization(
    _ rule: @escaping @Sendable (inout GraphBuilder, Node, _ wide: [ValueID], _ g: ValueID) -> [ValueID]
  ) -> OpGradient {
    .rule { b, node, _, gradient in
      let dtype = node.type.dtype.arithmetic
      let wide = node.operands.map { b.cast($0, to: dtype) }
      let parts = rule(&b, node, wide, b.cast(gradient, to: dtype))
      return zip(parts, node.operands).map { b.cast($0, to: b.type($1).dtype) }
    }
  }
}

extension OpLowering {
  fileprivate static func alongAxis(
    _ formula: @escaping @Sendable (inout GraphBuilder, _ x: ValueID, _ axis: Int) -> ValueID
  ) -> OpLowering {
    .formulaOfNode { b, node, wide in formula(&b, wide[0], node.attributes[int: "axis"]) }
  }
}

/// `x` less its maximum along the axis.
private func shifted(_ b: inout GraphBuilder, _ x: ValueID, _ axis: Int) -> ValueID {
  let top = b.make(.max, [x], ["axes": .ints([axis]), "keep": .bool(true)])
  return b.sub(x, b.spread(top, like: x))
}

func logSoftmaxFormula(_ b: inout GraphBuilder, _ x: ValueID, _ axis: Int) -> ValueID {
  let s = shifted(&b, x, axis)
  return b.sub(s, b.spread(logOfSum(&b, s, [axis], keep: true), like: s))
}

/// `log(sum(exp(s)))` over axes along which the largest `s` is 0: `log1p` of what the others add to that one, or a sum next
/// to 1 would lose them.
func logOfSum(_ b: inout GraphBuilder, _ s: ValueID, _ axes: [Int], keep: Bool) -> ValueID {
  let (zero, one) = (b.fill(0, like: s), b.fill(1, like: s))
  let isTop = b.make(.equal, [s, zero])
  let others = b.sum(b.select(isTop, zero, b.exp(s)), axes, keep: keep)
  let ties = b.sum(b.select(isTop, one, zero), axes, keep: keep)
  return b.make(.log1p, [b.add(others, b.offset(ties, by: -1))])
}

/// The reference of one row.
func logSoftmaxRow(_ row: [Double]) -> [Double] {
  let top = row.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
  let rest = logOfSum(row.map { $0 - top })
  return row.map { $0 - top - rest }
}

/// The reference of `logOfSum`.
func logOfSum(_ differences: some Sequence<Double>) -> Double {
  Foundation.log1p(
    differences.reduce(-1) { $0 + ($1 == 0 ? 1 : 0) }
      + differences.reduce(0) { $0 + ($1 == 0 ? 0 : Foundation.exp($1)) })
}

/// A one-dimensional reference spread along `axis` of another.
private func along(_ axis: Int, _ parameter: Reference, _ other: Reference) -> Reference {
  parameter.broadcast(other.shape, [axis])
}

/// The operand with mean 0 (if `centring`) and mean square 1 along an axis, and the factor that did it.
private func standardized(
  _ b: inout GraphBuilder, _ x: ValueID, _ axis: Int, eps: Double, centring: Bool
) -> (normal: ValueID, scale: ValueID) {
  let centred = centring ? b.sub(x, b.spread(b.meanKeeping(x, [axis]), like: x)) : x
  let variance = b.meanKeeping(b.mul(centred, centred), [axis])
  let root = b.make(.sqrt, [b.offset(variance, by: eps)])
  let scale = b.div(b.fill(1, like: root), root)
  return (b.mul(centred, b.spread(scale, like: centred)), scale)
}

/// The gradients for a norm's operand and its weight.
private func normGradient(
  _ b: inout GraphBuilder, _ normal: ValueID, _ scale: ValueID, _ weight: ValueID, _ g: ValueID, centring: Bool
) -> (operand: ValueID, weight: ValueID) {
  let axis = b.type(g).rank - 1
  let weighted = b.mul(g, b.spread(weight, like: g))
  let along = b.spread(b.meanKeeping(b.mul(weighted, normal), [axis]), like: g)
  var slope = b.sub(weighted, b.mul(normal, along))
  if centring { slope = b.sub(slope, b.spread(b.meanKeeping(weighted, [axis]), like: g)) }
  return (b.mul(slope, b.spread(scale, like: g)), b.sum(b.mul(g, normal), Array(0..<axis)))
}

private func batchNormal(
  _ b: inout GraphBuilder, _ node: Node, _ wide: [ValueID]
) -> (normal: ValueID, scale: ValueID) {
  let root = b.make(.sqrt, [b.offset(wide[4], by: node.attributes[float: "eps"])])
  let scale = b.div(b.fill(1, like: root), root)
  let centred = b.sub(wide[0], b.perChannel(wide[3], like: wide[0]))
  return (b.mul(centred, b.perChannel(scale, like: centred)), scale)
}
