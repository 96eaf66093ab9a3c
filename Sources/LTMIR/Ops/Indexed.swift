// Rows: reading and adding at places given by data. An index outside of its axis is clamped to the nearest place inside,
// on every target, so that no index can reach other memory; the runtime reports such indices in its inputs.

extension OpDefinition {
  static let gather = OpDefinition(
    "Slices of `data` along an axis, picked by integers; an embedding is axis 0. Indices are clamped.",
    signature: [
      OpParameter("data", .tensor), OpParameter("indices", .tensor), OpParameter("axis", .axis, default: .int(0)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      try requireIndices(types, 1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      return TensorType(types[0].dtype, gatheredShape(types[0].shape, types[1].shape, axis))
    },
    evaluate: { x, attributes, result in
      let places = gatherPlaces(x[0].shape, x[1], axis: attributes[int: "axis"])
      return Reference(shape: result.boundShape, data: places.map { x[0].data[$0] })
    },
    gradient: .rule { b, node, _, g in
      let zeros = b.zeros(b.type(node.operands[0]))
      return [b.make(.scatterAdd, [zeros, node.operands[1], g], node.attributes), nil]
    }, lowering: .structural { attributes, _ in .gather(axis: attributes[int: "axis"]) })

  static let scatterAdd = OpDefinition(
    "`data` with `updates` added at the slices that `gather` would read; what meets at one place is summed in the "
      + "accumulator's dtype, in index order, and rounded once.",
    signature: [
      OpParameter("data", .tensor), OpParameter("indices", .tensor), OpParameter("updates", .tensor),
      OpParameter("axis", .axis, default: .int(0)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 3...3)
      try requireIndices(types, 1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let expected = gatheredShape(types[0].shape, types[1].shape, axis)
      guard types[2].shape == expected else {
        throw OpError(
          "the updates have shape \(shapeText(types[2].shape)), not \(shapeText(expected))", operands: [(2, nil)])
      }
      guard types[2].dtype == types[0].dtype else {
        throw OpError("the updates are \(types[2].dtype), the data \(types[0].dtype)", operands: [(0, nil), (2, nil)])
      }
      guard types[0].dtype != .bool else {
        throw OpError("bools have no sum", operands: [(0, nil)], note: "convert them first: cast(x, i32)")
      }
      return types[0]
    },
    evaluate: { x, attributes, _ in
      var result = x[0]
      let places = gatherPlaces(x[0].shape, x[1], axis: attributes[int: "axis"])
      for (place, update) in zip(places, x[2].data) { result.data[place] += update }
      return result
    }, gradient: .rule { b, node, _, g in [g, nil, b.make(.gather, [g, node.operands[1]], node.attributes)] },
    lowering: .structural { attributes, _ in .scatterAdd(axis: attributes[int: "axis"]) })
}

func requireIndices(_ types: [TensorType], _ index: Int) throws(OpError) {
  guard types[index].dtype == .i32 || types[index].dtype == .i64 else {
    throw OpError(
      "indices are i32 or i64, not \(types[index].dtype)", operands: [(index, nil)],
      note: "declare them so, as in index: i32[B], or convert them: cast(x, i32)")
  }
}

private func gatheredShape(_ data: [Dim], _ indices: [Dim], _ axis: Int) -> [Dim] {
  data[..<axis] + indices + data[(axis + 1)...]
}

/// For each element that a gather makes, the place in the data that it comes from.
private func gatherPlaces(_ shape: [Int], _ indices: Reference, axis: Int) -> [Int] {
  let outer = shape[..<axis].reduce(1, *)
  let inner = shape[(axis + 1)...].reduce(1, *)
  let rows = indices.data.map { Int(max(0, min($0, Double(shape[axis] - 1)))) }
  return (0..<outer).flatMap { o in
    rows.flatMap { row in (0..<inner).map { (o * shape[axis] + row) * inner + $0 } }
  }
}
