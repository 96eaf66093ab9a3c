// Rows: lengths and angles of vectors along axes. Where a root is 0 its gradient is 0, as in PyTorch.

extension OpDefinition {
  static let std = measure(
    "The standard deviation over axes, the root of `variance`.",
    [OpParameter("correction", .int, default: .int(1))], [["correction": .int(1)], ["correction": .int(0)]]
  ) { b, x, axes, keep, attributes in
    let parts: Attributes = [
      "axes": .ints(axes), "keep": .bool(keep), "correction": .int(attributes[int: "correction"]),
    ]
    return safely(&b, b.make(.variance, [x], parts)) { b, v in b.make(.sqrt, [v]) }
  }

  static let norm = measure(
    "The `p`-norm over axes: the root of the sum of squares, and `(sum |x|^p)^(1/p)` of other numbers; of `inf` the largest "
      + "magnitude, of `-inf` the least, of 0 the count of what is not 0.",
    [OpParameter("p", .float, default: .float(2))],
    [["p": .float(2)], ["p": .float(1)], ["p": .float(.infinity)], ["p": .float(3)]]
  ) { b, x, axes, keep, attributes in
    let p = attributes[float: "p"]
    let reduction: Attributes = ["axes": .ints(axes), "keep": .bool(keep)]
    if p == 0 { return b.make(.sum, [b.cast(b.compare(.notEqual, x, 0), to: b.type(x).dtype)], reduction) }
    if p == 2 { return safely(&b, b.make(.sum, [b.mul(x, x)], reduction)) { b, v in b.make(.sqrt, [v]) } }
    let size = b.make(.abs, [x])
    if p == 1 { return b.make(.sum, [size], reduction) }
    if p.isInfinite { return b.make(p > 0 ? .max : .min, [size], reduction) }
    let powers = safely(&b, size) { b, v in b.make(.pow, [v, b.fill(p, like: v)]) }
    return safely(&b, b.make(.sum, [powers], reduction)) { b, v in b.make(.pow, [v, b.fill(1 / p, like: v)]) }
  }

  static let cosineSimilarity = composed(
    "The cosine of the angle between vectors along an axis: `sum(x1 * x2)` over the product of their lengths, each `eps` at "
      + "least.",
    signature: [
      OpParameter("x1", .tensor), OpParameter("x2", .tensor), OpParameter("axis", .axis, default: .int(1)),
      OpParameter("eps", .float, default: .float(1e-8)),
    ], precision: .float32, isElementwise: true,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      let dtype = try joinedDType(types, .floats)
      try requireEqualShapes(types)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let eps = try attributes.required("eps", attributes.float("eps"))
      guard eps >= 0 else { throw OpError("eps is \(eps), and it is 0 or more") }
      return TensorType(dtype, reducedShape(types[0].shape, axes: [axis], keep: false))
    }, examples: [OpExample([([2, 3], .any), ([2, 3], .any)], ["axis": .int(1), "eps": .float(1e-8)])]
  ) { b, x, attributes, result in
    let (wide, axis) = (x.map { b.wide($0) }, attributes[int: "axis"])
    let lengths = wide.map { value in
      let length = safely(&b, b.sum(b.mul(value, value), [axis])) { b, v in b.make(.sqrt, [v]) }
      return b.make(.maximum, [length, b.fill(attributes[float: "eps"], like: length)])
    }
    let total = b.sum(b.mul(wide[0], wide[1]), [axis])
    return b.cast(b.div(b.div(total, lengths[0]), lengths[1]), to: result.dtype)
  }
}

/// A root, which is 0 of 0, and whose gradient is then 0.
private func safely(
  _ b: inout GraphBuilder, _ value: ValueID, _ root: (inout GraphBuilder, ValueID) -> ValueID
) -> ValueID {
  let isZero = b.compare(.equal, value, 0)
  let found = root(&b, b.select(isZero, b.fill(1, like: value), value))
  return b.select(isZero, b.fill(0, like: found), found)
}

extension OpDefinition {
  private static func measure(
    _ summary: String, _ extra: [OpParameter], _ examples: [Attributes],
    _ formula:
      @escaping @Sendable (inout GraphBuilder, _ x: ValueID, _ axes: [Int], _ keep: Bool, Attributes) -> ValueID
  ) -> OpDefinition {
    let usual = [OpParameter("axes", .axes), OpParameter("keep", .bool, default: .bool(false))]
    // The number of a norm comes first, as in PyTorch.
    let order = extra.contains { $0.name == "p" } ? extra + usual : usual + extra
    return composed(
      summary, signature: [OpParameter("x", .tensor)] + order, precision: .float32,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        let dtype = try joinedDType(types, .floats)
        let axes = try attributes.requiredAxes(rank: types[0].rank)
        let keep = try attributes.required("keep", attributes.bool("keep"))
        if let correction = attributes.int("correction"), correction < 0 {
          throw OpError("correction is \(correction), and it is 0 or more")
        }
        _ = try elementCount(types[0].shape)
        return TensorType(dtype, reducedShape(types[0].shape, axes: axes, keep: keep))
      },
      examples: examples.enumerated().map { index, attributes in
        var attributes = attributes
        attributes["axes"] = .ints([index % 2])
        attributes["keep"] = .bool(index % 2 == 1)
        return OpExample([([3, 4], .any)], attributes)
      }
    ) { b, x, attributes, result in
      let axes = attributes[ints: "axes"]
      return b.cast(formula(&b, b.wide(x[0]), axes, attributes[bool: "keep"], attributes), to: result.dtype)
    }
  }
}
