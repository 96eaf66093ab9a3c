import Foundation

// Rows: activations of several pieces, by PyTorch's formulas. At a border the slope is that of PyTorch's side.

extension OpDefinition {
  static let elu = exponentialUnit(
    "`x` where it is positive, `alpha * (exp(x) - 1)` elsewhere.", [("alpha", 1)]
  ) { (scale: 1, alpha: $0[0], inverse: 1) }

  static let selu = exponentialUnit("`elu` of the slopes that keep mean and variance.", []) { _ in
    (scale: 1.0507009873554805, alpha: 1.6732632423543772, inverse: 1)
  }

  static let celu = exponentialUnit(
    "`x` where it is positive, `alpha * (exp(x / alpha) - 1)` elsewhere.", [("alpha", 1)],
    requires: { $0[0] == 0 ? "alpha is 0, and x is divided by it" : nil }
  ) { (scale: 1, alpha: $0[0], inverse: 1 / $0[0]) }

  static let hardtanh = shaped(
    "`x` within `min_val` and `max_val`, the nearer of them elsewhere; flat at the borders.",
    [("min_val", -1), ("max_val", 1)],
    requires: { $0[0] <= $0[1] ? nil : "min_val \($0[0]) is above max_val \($0[1])" },
    gradient: { b, x, g, p in whereWithin(&b, x, (p[0], p[1]), g) },
    formula: { b, x, p in held(&b, x, p[0], p[1]) }, { held($0, $1[0], $1[1]) })

  static let relu6 = shaped(
    "`min(max(x, 0), 6)`", gradient: { b, x, g, _ in whereWithin(&b, x, (0, 6), g) },
    formula: { b, x, _ in held(&b, x, 0, 6) }, { x, _ in held(x, 0, 6) })

  static let hardsigmoid = shaped(
    "`min(max(x + 3, 0), 6) / 6`",
    gradient: { b, x, g, _ in whereWithin(&b, x, (-3, 3), b.scale(g, by: 1.0 / 6)) },
    formula: { b, x, _ in b.div(held(&b, b.offset(x, by: 3), 0, 6), b.fill(6, like: x)) },
    { x, _ in held(x + 3, 0, 6) / 6 })

  static let hardswish = shaped(
    "`x * hardsigmoid(x)`",
    gradient: { b, x, g, _ in
      let middle = b.mul(g, b.offset(b.div(x, b.fill(3, like: x)), by: 0.5))
      let above = b.select(b.compare(.less, x, 3), middle, g)
      return b.select(b.compare(.lessEqual, x, -3), b.fill(0, like: x), above)
    },
    // An infinity meets no 0.
    formula: { b, x, _ in
      let low = b.make(.maximum, [x, b.fill(-3, like: x)])
      return b.mul(low, b.div(held(&b, b.offset(x, by: 3), 0, 6), b.fill(6, like: x)))
    }, { x, _ in x.isNaN ? x : Swift.max(x, -3) * (held(x + 3, 0, 6) / 6) })

  static let threshold = shaped(
    "`x` where it is above the threshold, `value` elsewhere.", [("threshold", 0), ("value", 0)],
    gradient: { b, x, g, p in b.select(b.compare(.lessEqual, x, p[0]), b.fill(0, like: g), g) },
    formula: { b, x, p in b.select(b.compare(.lessEqual, x, p[0]), b.fill(p[1], like: x), x) },
    { $0 <= $1[0] ? $1[1] : $0 })

  // As in PyTorch 2.15, what lies on a border has no gradient.
  static let clamp = OpDefinition(
    "`x` not below `min` and not above `max`.",
    signature: [
      OpParameter("x", .tensor), OpParameter("min", .float, default: .float(-.infinity)),
      OpParameter("max", .float, default: .float(.infinity)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      for name in ["min", "max"] {
        let number = try attributes.required(name, attributes.float(name))
        guard let dtype = types.first?.dtype, !dtype.isFloating, number.isFinite, !dtype.holds(number) else { continue }
        throw OpError("\(name) is \(number), which does not fit \(dtype)", operands: [(0, nil)])
      }
      return try elementwise(1, .numbers)(types, attributes)
    },
    evaluate: { x, attributes, _ in
      x[0].map { held($0, attributes[float: "min"], attributes[float: "max"]) }
    },
    gradient: .rule { b, node, _, g in
      guard b.type(g).dtype.isFloating else { return [nil] }
      let x = node.operands[0]
      let high = b.compare(.less, x, node.attributes[float: "max"])
      let low = b.compare(.greater, x, node.attributes[float: "min"])
      return [b.select(b.make(.and, [low, high]), g, b.fill(0, like: g))]
    },
    lowering: .decompose { b, node in
      let (low, high) = (node.attributes[float: "min"], node.attributes[float: "max"])
      var y = node.operands[0]
      if low > -.infinity { y = b.make(.maximum, [y, b.fill(low, like: y)]) }
      if high < .infinity { y = b.make(.minimum, [y, b.fill(high, like: y)]) }
      return y
    },
    examples: [
      OpExample([([2, 3], .any)], ["min": .float(-0.5), "max": .float(0.75)]),
      OpExample([([2, 3], .integers(9))], ["min": .float(2), "max": .float(.infinity)]),
    ])

  static let prelu = OpDefinition.composed(
    "`x` where it is positive, `weight * x` elsewhere; one weight, or one for each channel (axis 1).",
    signature: [OpParameter("x", .tensor), OpParameter("weight", .tensor)], precision: .half,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 2...2)
      let dtype = try joinedDType(types, .floats)
      let channels: Dim = types[0].rank > 1 ? types[0].shape[1] : 1
      guard types[1].shape.isEmpty || types[1].shape == [1] || types[1].shape == [channels] else {
        throw OpError(
          "a weight of shape \(shapeText(types[1].shape)) does not fit \(shapeText(types[0].shape))",
          operands: [(0, nil), (1, nil)], note: "its shape is [1], or [\(channels)]: one for each channel (axis 1)")
      }
      return types[0].with(dtype)
    },
    examples: [
      OpExample([([2, 3, 2], .any), ([3], .any)]), OpExample([([4], .any), ([1], .any)]),
      OpExample([([2, 2], .any), ([], .any)]),
    ]
  ) { b, x, _, result in
    let wide = x.map { b.wide($0) }
    let shape = b.type(wide[0]).shape
    let weight = b.reshape(wide[1], to: b.type(wide[1]).shape == [1] ? [] : b.type(wide[1]).shape)
    let slope = b.broadcast(weight, to: shape, axes: b.type(weight).shape.isEmpty ? [] : [1])
    let y = b.select(b.compare(.greater, wide[0], 0), wide[0], b.mul(slope, wide[0]))
    return b.cast(y, to: result.dtype)
  }
}

extension OpDefinition {
  private static func exponentialUnit(
    _ summary: String, _ numbers: [(name: String, value: Double)],
    requires: @escaping @Sendable ([Double]) -> String? = { _ in nil },
    _ parts: @escaping @Sendable ([Double]) -> (scale: Double, alpha: Double, inverse: Double)
  ) -> OpDefinition {
    shaped(
      summary, numbers, requires: requires,
      gradient: { b, x, g, p in
        let (scale, alpha, inverse) = parts(p)
        let below = b.scale(b.mul(g, b.exp(b.scale(x, by: inverse))), by: scale * alpha * inverse)
        return b.select(b.compare(.lessEqual, x, 0), below, b.scale(g, by: scale))
      },
      formula: { b, x, p in
        let (scale, alpha, inverse) = parts(p)
        let below = b.scale(b.make(.expm1, [b.scale(x, by: inverse)]), by: scale * alpha)
        return b.select(b.compare(.greater, x, 0), b.scale(x, by: scale), below)
      },
      {
        let (scale, alpha, inverse) = parts($1)
        return $0 > 0 ? scale * $0 : scale * alpha * Foundation.expm1($0 * inverse)
      })
  }
}

private func held(_ x: Double, _ low: Double, _ high: Double) -> Double {
  x < low ? low : x > high ? high : x
}

private func held(_ b: inout GraphBuilder, _ x: ValueID, _ low: Double, _ high: Double) -> ValueID {
  b.make(.minimum, [b.make(.maximum, [x, b.fill(low, like: x)]), b.fill(high, like: x)])
}

/// `g` strictly within bounds, and where `x` is NaN; 0 elsewhere.
private func whereWithin(
  _ b: inout GraphBuilder, _ x: ValueID, _ bounds: (Double, Double), _ g: ValueID
) -> ValueID {
  let outside = b.make(.or, [b.compare(.lessEqual, x, bounds.0), b.compare(.greaterEqual, x, bounds.1)])
  return b.select(outside, b.fill(0, like: g), g)
}
