import Foundation

// Rows: smooth activations, gated ones among them.

extension OpDefinition {
  // With n = e (e + 2) for e = exp(x), tanh(log(1 + e)) is n / (n + 2): nothing cancels. Beyond 20 it is 1.
  static let mish = shaped(
    "`x * tanh(softplus(x))`",
    gradient: { b, x, g, _ in
      let (e, n) = mishParts(&b, x)
      let sum = b.offset(n, by: 2)
      let near = b.make(.maximum, [b.make(.minimum, [x, b.fill(20, like: x)]), b.fill(-1000, like: x)])
      let rest = b.div(b.scale(b.mul(near, b.mul(e, b.offset(e, by: 1))), by: 4), b.mul(sum, sum))
      return b.mul(g, b.add(b.div(n, sum), rest))
    },
    formula: { b, x, _ in
      let (_, n) = mishParts(&b, x)
      return b.mul(b.make(.maximum, [x, b.fill(-1000, like: x)]), b.div(n, b.offset(n, by: 2)))
    },
    { x, _ in
      let e = Foundation.exp(Swift.min(x, 20))
      let n = e * (e + 2)
      return x.isNaN ? x : Swift.max(x, -1000) * (n / (n + 2))
    })

  static let softsign = shaped(
    "`x / (1 + |x|)`",
    gradient: { b, x, g, _ in
      let sum = b.offset(b.make(.abs, [x]), by: 1)
      return b.div(b.div(g, sum), sum)
    },
    // An infinity is not divided by one.
    formula: { b, x, _ in
      let near = b.make(.minimum, [b.make(.maximum, [x, b.fill(-1e30, like: x)]), b.fill(1e30, like: x)])
      return b.div(near, b.offset(b.make(.abs, [near]), by: 1))
    },
    { x, _ in x.isInfinite ? Double(signOf: x, magnitudeOf: 1) : x / (1 + Swift.abs(x)) })

  static let logSigmoid = shaped(
    "`log(sigmoid(x))`", gradient: { b, x, g, _ in b.mul(g, logistic(&b, b.neg(x))) },
    formula: { b, x, _ in b.sub(b.make(.minimum, [x, b.fill(0, like: x)]), softplusTail(&b, x)) },
    { x, _ in x.isNaN ? x : Swift.min(x, 0) - Foundation.log1p(Foundation.exp(-Swift.abs(x))) })

  static let glu = gated("The first half of an axis times the `sigmoid` of the second.") { b, a, gate in
    b.make(.timesSigmoid, [a, gate])
  }

  static let swiglu = gated("The `silu` of the first half of an axis times the second.") { b, gate, a in
    b.mul(b.make(.timesSigmoid, [gate, gate]), a)
  }
}

extension OpDefinition {
  private static func gated(
    _ summary: String, _ gate: @escaping @Sendable (inout GraphBuilder, ValueID, ValueID) -> ValueID
  ) -> OpDefinition {
    .composed(
      summary, signature: [OpParameter("x", .tensor), OpParameter("axis", .axis, default: .int(-1))],
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        let dtype = try joinedDType(types, .floats)
        let axis = try attributes.requiredAxis(rank: types[0].rank)
        guard let half = types[0].shape[axis].dividedExactly(by: 2) else {
          throw OpError(
            "axis \(axis) of \(shapeText(types[0].shape)) has \(types[0].shape[axis]) elements, which have no halves",
            operands: [(0, axis)])
        }
        var shape = types[0].shape
        shape[axis] = half
        return TensorType(dtype, shape)
      },
      examples: [
        OpExample([([2, 6], .any)], ["axis": .int(1)]), OpExample([([4, 3], .any)], ["axis": .int(0)]),
      ]
    ) { b, x, attributes, result in
      let axis = attributes[int: "axis"]
      let (wide, half) = (b.wide(x[0]), result.shape[axis])
      let parts = [(Dim(0), half), (half, b.type(wide).shape[axis])].map {
        b.slice(wide, axis: axis, from: $0.0, to: $0.1)
      }
      return b.cast(gate(&b, parts[0], parts[1]), to: result.dtype)
    }
  }
}

private func mishParts(_ b: inout GraphBuilder, _ x: ValueID) -> (e: ValueID, n: ValueID) {
  let e = b.exp(b.make(.minimum, [x, b.fill(20, like: x)]))
  return (e, b.mul(e, b.offset(e, by: 2)))
}
