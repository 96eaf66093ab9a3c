// Rows: a value with a part of it replaced, at a place that is known when it runs. A start beyond the last place where the
// part fits is clamped, on every target, so that nothing else is written; the runtime reports such starts.

extension OpDefinition {
  static let writeAt = OpDefinition(
    "`data` with `value` in place of what lies along an axis from `start` on: one for all, or one for each index of the "
      + "first axis. With `wraps`, places count modulo the axis; else starts are clamped.",
    isCallable: false,
    signature: [
      OpParameter("data", .tensor), OpParameter("value", .tensor), OpParameter("start", .tensor),
      OpParameter("axis", .axis), OpParameter("wraps", .bool, default: .bool(false)),
    ], precision: .follow, infer: inferWriteAt,
    evaluate: { x, attributes, _ in
      var result = x[0]
      for (place, value) in zip(writtenPlaces(x, attributes), x[1].data) { result.data[place] = value }
      return result
    },
    gradient: .rule { b, node, _, g in
      let (value, start, axis) = (node.operands[1], node.operands[2], node.attributes[int: "axis"])
      let places = writtenIndices(&b, node)
      return [
        b.make(.writeAt, [g, b.zeros(b.type(value)), start], node.attributes),
        b.make(.takeAlongAxis, [g, places], ["axis": .int(axis)]), nil,
      ]
    },
    lowering: .structural { attributes, _ in
      .writeAt(axis: attributes[int: "axis"], wraps: attributes[bool: "wraps"])
    },
    examples: [
      OpExample(
        [([2, 5, 3], .any), ([2, 2, 3], .any), ([], .integers(4))], ["axis": .int(1), "wraps": .bool(false)]),
      OpExample(
        [([2, 3, 5, 2], .any), ([2, 3, 2, 2], .any), ([2], .integers(4))],
        ["axis": .int(2), "wraps": .bool(false)]),
      OpExample(
        [([2, 2, 5, 3], .any), ([2, 2, 3, 3], .any), ([2], .integers(12))],
        ["axis": .int(2), "wraps": .bool(true)]),
      OpExample([([4, 3], .any), ([1, 3], .any), ([], .integers(4))], ["axis": .int(0), "wraps": .bool(false)]),
    ])
}

@Sendable private func inferWriteAt(
  _ types: [TensorType], _ attributes: Attributes
) throws(OpError) -> TensorType {
  try requireCount(types, 3...3)
  let axis = try attributes.requiredAxis(rank: types[0].rank)
  _ = try attributes.required("wraps", attributes.bool("wraps"))
  let (data, value, start) = (types[0], types[1], types[2])
  guard value.dtype == data.dtype || value.dtype.isFloating && data.dtype.isFloating else {
    throw OpError("the value is \(value.dtype), the data \(data.dtype)", operands: [(0, nil), (1, nil)])
  }
  guard value.rank == data.rank else {
    throw OpError(
      "shapes \(shapeText(data.shape)) and \(shapeText(value.shape)) differ in rank", operands: [(0, nil), (1, nil)])
  }
  for other in data.shape.indices where other != axis && data.shape[other] != value.shape[other] {
    throw OpError(
      "shapes \(shapeText(data.shape)) and \(shapeText(value.shape)) differ in dimension \(other)",
      operands: [(0, other), (1, other)])
  }
  if let rest = data.shape[axis].subtracting(value.shape[axis])?.constant, rest < 0 {
    throw OpError(
      "\(value.shape[axis]) places are written of an axis of \(data.shape[axis])", operands: [(0, axis), (1, axis)])
  }
  try requireIndices(types, 2)
  guard start.rank == 0 || start.rank == 1 && axis > 0 && start.shape[0] == data.shape[0] else {
    throw OpError(
      "a start of shape \(shapeText(start.shape)) is no scalar, nor one for each index of the first axis",
      operands: [(2, nil)])
  }
  return data
}

/// For each element of the value, the place in the data that it goes to.
private func writtenPlaces(_ x: [Reference], _ attributes: Attributes) -> [Int] {
  let (data, value, starts) = (x[0].shape, x[1].shape, x[2])
  let (axis, wraps) = (attributes[int: "axis"], attributes[bool: "wraps"])
  let (size, count) = (data[axis], value[axis])
  let (outer, inner) = (data[..<axis].reduce(1, *), data[(axis + 1)...].reduce(1, *))
  let perStart = starts.shape.isEmpty ? outer : outer / max(1, data[0])
  func place(_ start: Double, _ step: Int) -> Int {
    guard wraps else { return Int(max(0, min(start, Double(size - count)))) + step }
    let rest = (start + Double(step)).truncatingRemainder(dividingBy: Double(size))
    return Int(rest < 0 ? rest + Double(size) : rest)
  }
  return (0..<outer).flatMap { o in
    let start = starts.data[o / perStart]
    return (0..<count).flatMap { step in
      (0..<inner).map { (o * size + place(start, step)) * inner + $0 }
    }
  }
}

/// The index along the axis that each element of the value goes to, in the value's shape.
private func writtenIndices(_ b: inout GraphBuilder, _ node: Node) -> ValueID {
  let (data, value) = (b.type(node.operands[0]).shape, b.type(node.operands[1]).shape)
  let axis = node.attributes[int: "axis"]
  let start = b.cast(node.operands[2], to: .i32)
  let type = TensorType(.i32, value)
  func everywhere(_ dim: Dim?) -> ValueID { b.broadcast(b.dimension(dim ?? 0, .i32), to: value) }
  let step = b.make(.iota, [], ["shape": .dims(value), "axis": .int(axis), "dtype": .dtype(.i32)])
  let first = b.broadcast(start, to: value, axes: Array(0..<b.type(start).rank))
  guard node.attributes[bool: "wraps"] else {
    let least = b.make(.maximum, [first, b.constant(0, type)])
    return b.add(b.make(.minimum, [least, everywhere(data[axis].subtracting(value[axis]))]), step)
  }
  let (place, size) = (b.add(first, step), everywhere(data[axis]))
  let rounds = b.make(.floor, [b.div(b.cast(place, to: .f64), b.cast(size, to: .f64))])
  return b.make(.sub, [place, b.mul(b.cast(rounds, to: .i32), size)])
}
