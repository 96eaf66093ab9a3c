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
}
