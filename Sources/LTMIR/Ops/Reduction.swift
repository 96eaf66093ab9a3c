import Foundation

// Rows: reductions over `axes`. Half operands accumulate in f32, and the result is rounded once.

extension OpDefinition {
  static let sum = reduction(
    "The sum over axes.", .float32, .anything, gradient: .reduction { b, x, _, g in b.spread(g, like: x) },
    lowering: .reduction(.add)
  ) { pairwiseSum($0) }

  static let mean = reduction(
    "The mean over axes, divided in f32 before it narrows; of integers and bools, an f32.", .float32, .anything,
    gradient: .reduction { b, x, axes, g in
      b.spread(b.dividedByCount(g, of: axes.map { b.type(x).shape[$0] }), like: x)
    },
    lowering: .decompose { b, node in
      let (axes, keep) = reductionAttributes(node)
      let wide = b.cast(node.operands[0], to: node.type.dtype.arithmetic)
      let shape = b.type(wide).shape
      let mean = b.dividedByCount(b.sum(wide, axes, keep: keep), of: axes.map { shape[$0] })
      return b.cast(mean, to: node.type.dtype)
    }
  ) { average($0) }

  // Places that tie share the gradient evenly, as in PyTorch's amax: the only choice that does not depend on order.
  static let max = reduction(
    "The largest over axes; NaN wins.", .follow, .numbers, gradient: extremum, lowering: .reduction(.maximum)
  ) {
    $0.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) }
  }

  static let min = reduction(
    "The smallest over axes; NaN wins.", .follow, .numbers, gradient: extremum, lowering: .reduction(.minimum)
  ) {
    $0.reduce(.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) }
  }

  static let prod = reduction(
    "The product over axes.", .float32, .numbers, gradient: .reduction(productGradient), lowering: .reduction(.multiply)
  ) { $0.reduce(1, *) }

  static let all = reduction("Whether all hold.", .never, .bools, gradient: .none, lowering: .reduction(.and)) {
    $0.allSatisfy { $0 != 0 } ? 1 : 0
  }

  static let any = reduction("Whether any holds.", .never, .bools, gradient: .none, lowering: .reduction(.or)) {
    $0.contains { $0 != 0 } ? 1 : 0
  }

  static let variance = parameterizedReduction(
    "The variance over axes: squares of the distance from the mean, over the count less `correction`, which is 0 at least.",
    .float32,
    .floats,
    extra: [OpParameter("correction", .int, default: .int(1))],
    gradient: .rule { b, node, _, g in
      let (axes, keep) = reductionAttributes(node)
      let dtype = b.type(node.operands[0]).dtype
      let x = b.cast(node.operands[0], to: dtype.arithmetic)
      let wide = b.spread(b.cast(g, to: dtype.arithmetic), over: b.type(x).shape, reduced: axes, kept: keep)
      let centred = b.sub(x, b.spread(b.meanKeeping(x, axes), like: x))
      let slope = b.div(b.scale(centred, by: 2), b.broadcast(degrees(&b, node, x), to: b.type(x).shape))
      return [b.cast(b.mul(wide, slope), to: dtype)]
    },
    lowering: .decompose { b, node in
      let (axes, keep) = reductionAttributes(node)
      let x = b.cast(node.operands[0], to: node.type.dtype.arithmetic)
      let centred = b.sub(x, b.spread(b.meanKeeping(x, axes), like: x))
      let total = b.sum(b.mul(centred, centred), axes, keep: keep)
      return b.cast(b.div(total, b.broadcast(degrees(&b, node, x), to: b.type(total).shape)), to: node.type.dtype)
    }
  ) { values, attributes in
    let centre = average(values)
    let total = pairwiseSum(values.map { ($0 - centre) * ($0 - centre) }[...])
    return total / Swift.max(0, Double(values.count) - attributes[float: "correction"])
  }

  static let logsumexp = parameterizedReduction(
    "The logarithm of the sum of exponentials over axes.", .float32, .floats, extra: [],
    gradient: .rule { b, node, _, g in
      let (axes, keep) = reductionAttributes(node)
      let dtype = b.type(node.operands[0]).dtype
      let x = b.cast(node.operands[0], to: dtype.arithmetic)
      let s = shiftedByTop(&b, x, axes).difference
      // Of the differences, not of the value: next to a large maximum its last digit is worth more than the others.
      let rest = finiteOrZero(&b, logOfSum(&b, s, axes, keep: true))
      let slope = b.exp(b.sub(s, b.spread(rest, like: s)))
      let wide = b.spread(b.cast(g, to: dtype.arithmetic), over: b.type(x).shape, reduced: axes, kept: keep)
      return [b.cast(b.mul(wide, slope), to: dtype)]
    },
    lowering: .decompose { b, node in
      let (axes, keep) = reductionAttributes(node)
      let x = b.cast(node.operands[0], to: node.type.dtype.arithmetic)
      let (s, top) = shiftedByTop(&b, x, axes)
      let rest = logOfSum(&b, s, axes, keep: keep)
      return b.cast(b.add(rest, b.reshape(top, to: b.type(rest).shape)), to: node.type.dtype)
    }
  ) { values, _ in
    let top = values.max() ?? 0
    let finite = top.isFinite ? top : 0
    return logOfSum(values.map { $0 - finite }) + finite
  }

  static let argmax = arg(
    "The index of the largest along an axis, the first of equals; NaN wins.", .maximum
  ) { $0 > $1 }
  static let argmin = arg(
    "The index of the smallest along an axis, the first of equals; NaN wins.", .minimum
  ) { $0 < $1 }
}

extension OpDefinition {
  private static func reduction(
    _ summary: String, _ precision: PrecisionClass, _ accepted: Accepted, gradient: OpGradient, lowering: OpLowering,
    _ function: @escaping @Sendable (ArraySlice<Double>) -> Double
  ) -> OpDefinition {
    parameterizedReduction(summary, precision, accepted, extra: [], gradient: gradient, lowering: lowering) {
      values, _ in
      function(values)
    }
  }

  private static func parameterizedReduction(
    _ summary: String, _ precision: PrecisionClass, _ accepted: Accepted, extra: [OpParameter], gradient: OpGradient,
    lowering: OpLowering, _ function: @escaping @Sendable (ArraySlice<Double>, Attributes) -> Double
  ) -> OpDefinition {
    let usual = [
      OpParameter("x", .tensor), OpParameter("axes", .axes), OpParameter("keep", .bool, default: .bool(false)),
    ]
    return OpDefinition(
      summary, signature: usual + extra, precision: precision,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        let axes = try attributes.requiredAxes(rank: types[0].rank)
        let keep = try attributes.required("keep", attributes.bool("keep"))
        for parameter in extra {
          let number = try attributes.required(parameter.name, attributes.int(parameter.name))
          guard number >= 0 else { throw OpError("\(parameter.name) is \(number), and it is 0 or more") }
        }
        _ = try elementCount(types[0].shape)
        let operand = try joinedDType(types, accepted)
        return TensorType(resultDType(operand, lowering), reducedShape(types[0].shape, axes: axes, keep: keep))
      },
      evaluate: { x, attributes, result in
        x[0].reduced(attributes[ints: "axes"], to: result.boundShape) { function($0, attributes) }
      }, gradient: gradient, lowering: lowering)
  }

  private static func arg(
    _ summary: String, _ combiner: Combiner, _ beats: @escaping @Sendable (Double, Double) -> Bool
  ) -> OpDefinition {
    OpDefinition(
      summary,
      signature: [
        OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("keep", .bool, default: .bool(false)),
      ], precision: .follow,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        let axis = try attributes.requiredAxis(rank: types[0].rank)
        let keep = try attributes.required("keep", attributes.bool("keep"))
        _ = try joinedDType(types, .numbers)
        return TensorType(.i32, reducedShape(types[0].shape, axes: [axis], keep: keep))
      },
      evaluate: { x, attributes, result in
        x[0].reduced([attributes[int: "axis"]], to: result.boundShape) { values in
          var best = values.startIndex
          for index in values.indices where !values[best].isNaN {
            if values[index].isNaN || beats(values[index], values[best]) { best = index }
          }
          return Double(best - values.startIndex)
        }
      }, gradient: .none, lowering: .structural { attributes, _ in .argReduce(combiner, axis: attributes[int: "axis"]) }
    )
  }
}

/// Sums of bools and bytes count in i32; what divides makes floats of integers.
private func resultDType(_ operand: DType, _ lowering: OpLowering) -> DType {
  switch lowering {
  case .reduction(.add), .reduction(.multiply): operand.isFloating ? operand : operand.accumulator
  case .reduction(.maximum), .reduction(.minimum), .reduction(.and), .reduction(.or): operand
  case .decompose, .whole, .primitive, .control, .structural: operand.isFloating ? operand : .f32
  }
}

private func average(_ values: ArraySlice<Double>) -> Double { pairwiseSum(values) / Double(values.count) }

/// The attributes that every reduction has.
func reductionAttributes(_ node: Node) -> (axes: [Int], keep: Bool) {
  (node.attributes[ints: "axes"], node.attributes[bool: "keep"])
}

/// A gradient from the operand in wide form, the reduced axes, and the gradient with those axes kept.
typealias ReductionRule = @Sendable (inout GraphBuilder, _ x: ValueID, _ axes: [Int], _ g: ValueID) -> ValueID

extension OpGradient {
  fileprivate static func reduction(_ rule: @escaping ReductionRule) -> OpGradient {
    .rule { b, node, _, g in
      let (axes, _) = reductionAttributes(node)
      let operand = b.type(node.operands[0])
      guard operand.dtype.isFloating else { return [nil] }
      let x = b.cast(node.operands[0], to: operand.dtype.arithmetic)
      let kept = b.reshape(g, to: reducedShape(operand.shape, axes: axes, keep: true))
      return [b.cast(rule(&b, x, axes, b.cast(kept, to: operand.dtype.arithmetic)), to: operand.dtype)]
    }
  }
}

private let extremum = OpGradient.rule { b, node, value, g in
  let (axes, keep) = reductionAttributes(node)
  let x = node.operands[0]
  let operand = b.type(x)
  guard operand.dtype.isFloating else { return [nil] }
  let ties = b.make(.equal, [x, b.spread(value, over: operand.shape, reduced: axes, kept: keep)])
  let wide = b.spread(
    b.cast(g, to: operand.dtype.arithmetic), over: operand.shape, reduced: axes, kept: keep)
  let count = b.sum(b.cast(ties, to: operand.dtype.arithmetic), axes, keep: true)
  let share = b.div(wide, b.spread(count, like: wide))
  return [b.cast(b.select(ties, share, b.fill(0, like: wide)), to: operand.dtype)]
}

/// The product of the others: by division where nothing is 0; where one thing is 0, only it has a gradient.
private let productGradient: ReductionRule = { b, x, axes, g in
  let zero = b.fill(0, like: x)
  let one = b.fill(1, like: x)
  let isZero = b.make(.equal, [x, zero])
  let others = b.make(.prod, [b.select(isZero, one, x)], ["axes": .ints(axes), "keep": .bool(true)])
  let zeros = b.spread(b.sum(b.select(isZero, one, zero), axes, keep: true), like: x)
  let product = b.spread(b.mul(g, others), like: x)
  let elsewhere = b.select(b.make(.equal, [zeros, zero]), b.div(product, x), zero)
  return b.select(isZero, b.select(b.make(.equal, [zeros, one]), product, zero), elsewhere)
}

private func finiteOrZero(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.select(b.make(.isFinite, [x]), x, b.fill(0, like: x))
}

/// `x` less its maximum over axes, and that maximum, which keeps them: 0 where it is not finite.
private func shiftedByTop(
  _ b: inout GraphBuilder, _ x: ValueID, _ axes: [Int]
) -> (difference: ValueID, top: ValueID) {
  let top = finiteOrZero(&b, b.make(.max, [x], ["axes": .ints(axes), "keep": .bool(true)]))
  return (b.sub(x, b.spread(top, like: x)), top)
}

/// The count of the reduced elements less the correction, as a scalar. Where the correction is larger, it is 0: a division
/// by it is then infinite, as PyTorch's is, and never negative.
private func degrees(_ b: inout GraphBuilder, _ node: Node, _ x: ValueID) -> ValueID {
  let (axes, _) = reductionAttributes(node)
  let count = b.count(axes.map { b.type(x).shape[$0] }, b.type(x).dtype)
  let rest = b.offset(count, by: -Double(node.attributes[int: "correction"]))
  return b.make(.maximum, [rest, b.fill(0, like: rest)])
}
