// Rows: sums up to each place of an axis. Half operands accumulate in f32, and each result is rounded once.

extension OpDefinition {
  static let cumsum = OpDefinition(
    "The sum of the elements of an axis up to and with each (`reversed`: from each on); integers count as in `sum`.",
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("reversed", .bool, default: .bool(false)),
    ], precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      _ = try attributes.requiredAxis(rank: types[0].rank)
      _ = try attributes.required("reversed", attributes.bool("reversed"))
      return types[0].with(types[0].dtype.isFloating ? types[0].dtype : types[0].dtype.accumulator)
    },
    evaluate: { x, attributes, _ in
      x[0].rows(along: attributes[int: "axis"]) { row in
        let isReversed = attributes[bool: "reversed"]
        var sums: [Double] = []
        for element in isReversed ? row.reversed() : row { sums.append((sums.last ?? 0) + element) }
        return isReversed ? sums.reversed() : sums
      }
    },
    gradient: .rule { b, node, _, g in
      guard b.type(node.operands[0]).dtype.isFloating else { return [nil] }
      var attributes = node.attributes
      attributes["reversed"] = .bool(!node.attributes[bool: "reversed"])
      return [b.make(.cumsum, [g], attributes)]
    },
    lowering: .structural { attributes, _ in
      .line(.prefix(.add, isReversed: attributes[bool: "reversed"]), axis: attributes[int: "axis"])
    },
    examples: [
      OpExample([([3, 7], .any)], ["axis": .int(1), "reversed": .bool(false)]),
      OpExample([([2, 37], .any)], ["axis": .int(1), "reversed": .bool(true)]),
      OpExample([([5, 3], .any)], ["axis": .int(0), "reversed": .bool(false)]),
      OpExample([([2, 5], .bools)], ["axis": .int(1), "reversed": .bool(false)]),
    ])

  static let cumprod = OpDefinition(
    "The product of the elements of an axis up to and with each; integers count as in `prod`.",
    signature: [OpParameter("x", .tensor), OpParameter("axis", .axis)], precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      _ = try attributes.requiredAxis(rank: types[0].rank)
      let dtype = try joinedDType(types, .numbers)
      return types[0].with(dtype.isFloating ? dtype : dtype.accumulator)
    },
    evaluate: { x, attributes, _ in
      x[0].rows(along: attributes[int: "axis"]) { row in
        var product = 1.0
        return row.map { element in
          product *= element
          return product
        }
      }
    },
    gradient: .rule { b, node, _, g in
      let dtype = b.type(node.operands[0]).dtype
      guard dtype.isFloating else { return [nil] }
      return [b.cast(productGradient(&b, b.wide(node.operands[0]), node.attributes, b.wide(g)), to: dtype)]
    },
    lowering: .structural { attributes, _ in
      .line(.prefix(.multiply, isReversed: false), axis: attributes[int: "axis"])
    },
    examples: [
      OpExample([([3, 7], .positive)], ["axis": .int(1)]), OpExample([([5, 3], .any)], ["axis": .int(0)]),
      OpExample([([2, 37], .positive)], ["axis": .int(1)]),
    ])
}

/// By division up to the first 0. At the first 0 the products go on without it, and behind it nothing has a gradient.
private func productGradient(
  _ b: inout GraphBuilder, _ x: ValueID, _ attributes: Attributes, _ g: ValueID
) -> ValueID {
  let axis = attributes[int: "axis"]
  func sums(_ value: ValueID, reversed: Bool) -> ValueID {
    b.make(.cumsum, [value], ["axis": .int(axis), "reversed": .bool(reversed)])
  }
  let (zero, one) = (b.fill(0, like: x), b.fill(1, like: x))
  let isZero = b.compare(.equal, x, 0)
  let zeros = sums(b.cast(isZero, to: .i32), reversed: false)
  let isFirst = b.make(.and, [isZero, b.compare(.equal, zeros, 1)])
  let isBefore = b.compare(.equal, zeros, 0)
  let without = b.select(isFirst, one, x)
  let products = b.make(.cumprod, [without], attributes)
  let flowing = b.mul(g, products)
  let before = b.div(sums(b.select(isBefore, flowing, zero), reversed: true), without)
  let at = sums(b.select(isBefore, zero, flowing), reversed: true)
  return b.select(isBefore, before, b.select(isFirst, at, zero))
}
