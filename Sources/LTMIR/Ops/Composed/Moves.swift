// Rows: elements in other places, made of views: nothing is computed.

extension OpDefinition {
  static let flip = composed(
    "The elements in reverse along axes.", signature: [OpParameter("x", .tensor), OpParameter("axes", .axes)],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      _ = try attributes.requiredAxes(rank: types[0].rank)
      return types[0]
    },
    examples: [
      OpExample([([2, 3], .any)], ["axes": .ints([0, 1])]), OpExample([([2, 3, 4], .any)], ["axes": .ints([1])]),
    ], gradient: .rule { b, node, _, g in [b.make(.flip, [g], node.attributes)] }
  ) { b, x, attributes, _ in
    attributes[ints: "axes"].reduce(x[0]) { b.reversed($0, axis: $1) }
  }

  static let roll = composed(
    "The elements moved on by `shifts` along an axis, those that leave it at the end first.",
    signature: [OpParameter("x", .tensor), OpParameter("shifts", .int), OpParameter("axis", .axis)],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      _ = try attributes.requiredAxis(rank: types[0].rank)
      _ = try attributes.required("shifts", attributes.int("shifts"))
      return types[0]
    },
    examples: [
      OpExample([([2, 5], .any)], ["axis": .int(1), "shifts": .int(2)]),
      OpExample([([4, 3], .any)], ["axis": .int(0), "shifts": .int(-5)]),
    ],
    gradient: .rule { b, node, _, g in
      let (axis, shift) = (node.attributes[int: "axis"], node.attributes[int: "shifts"])
      // The least Int has no opposite, and this many steps more or less change nothing.
      let size = b.type(g).shape[axis].constant ?? 1
      return [b.make(.roll, [g], ["axis": .int(axis), "shifts": .int(-(shift % size))])]
    }
  ) { b, x, attributes, result in
    let axis = attributes[int: "axis"]
    let size = result.boundShape[axis]
    let first = ((attributes[int: "shifts"] % size) + size) % size
    if first == 0 { return x[0] }
    let end = b.slice(x[0], axis: axis, from: Dim(size - first), to: Dim(size))
    return b.make(.concat, [end, b.slice(x[0], axis: axis, from: 0, to: Dim(size - first))], ["axis": .int(axis)])
  }

  static let tril = triangle(
    "The elements of matrices on and below a diagonal, 0 elsewhere: `diagonal` above the main one.", .greaterEqual)
  static let triu = triangle(
    "The elements of matrices on and above a diagonal, 0 elsewhere: `diagonal` above the main one.", .lessEqual)

  static let expand = composed(
    "The value spread over a shape, its axes aligned at the end; -1 is the size that is there.",
    signature: [OpParameter("x", .tensor), OpParameter("shape", .dims)],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      guard shape.count >= types[0].rank else {
        throw OpError(
          "shape \(shapeText(types[0].shape)) has more dimensions than \(shapeText(shape))", operands: [(0, nil)])
      }
      let axes = Array(shape.count - types[0].rank..<shape.count)
      return try broadcast.infer(types, ["shape": .dims(shape), "axes": .ints(axes)])
    }, examples: [OpExample([([3, 1], .any)], ["shape": .dims([2, 3, 4])])]
  ) { b, x, _, result in b.broadcast(x[0], to: result.shape) }

  static let `repeat` = composed(
    "Copies side by side: as many along each axis as `repeats` says, whose numbers are aligned at the end.",
    signature: [OpParameter("x", .tensor), OpParameter("repeats", .ints)],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let repeats = try attributes.required("repeats", attributes.ints("repeats"))
      guard repeats.count >= types[0].rank, repeats.allSatisfy({ $0 >= 1 }) else {
        throw OpError(
          "\(repeats) are no repeats of \(shapeText(types[0].shape)): one for each axis, 1 or more",
          operands: [(0, nil)])
      }
      var shape = [Dim](repeating: 1, count: repeats.count - types[0].rank) + types[0].shape
      for axis in shape.indices { shape[axis] = try checkedDim(shape[axis].multiplied(by: Dim(repeats[axis]))) }
      return TensorType(types[0].dtype, shape)
    },
    examples: [
      OpExample([([2, 3], .any)], ["repeats": .ints([2, 1, 3])]), OpExample([([3], .any)], ["repeats": .ints([2])]),
    ]
  ) { b, x, attributes, _ in
    let repeats = attributes[ints: "repeats"]
    let shape = [Dim](repeating: 1, count: repeats.count - b.type(x[0]).rank) + b.type(x[0]).shape
    return repeats.indices.reduce(b.reshape(x[0], to: shape)) { value, axis in
      b.copied(value, repeats[axis], axis: axis, at: axis)
    }
  }

  static let repeatInterleave = composed(
    "Each element of an axis `repeats` times.",
    signature: [OpParameter("x", .tensor), OpParameter("repeats", .int), OpParameter("axis", .axis)],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let repeats = try attributes.required("repeats", attributes.int("repeats"))
      guard repeats >= 1 else { throw OpError("repeats is \(repeats), and it is 1 or more") }
      var shape = types[0].shape
      shape[axis] = try checkedDim(shape[axis].multiplied(by: Dim(repeats)))
      return TensorType(types[0].dtype, shape)
    }, examples: [OpExample([([2, 3], .any)], ["axis": .int(1), "repeats": .int(2)])]
  ) { b, x, attributes, _ in
    let axis = attributes[int: "axis"]
    return b.copied(x[0], attributes[int: "repeats"], axis: axis, at: axis + 1)
  }

  // What `pad` with another mode than "constant" is.
  static let padAround = composed(
    "An axis made longer by what is there: reflected without its border, its border repeated, or from the other end.",
    isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("low", .int, default: .int(0)),
      OpParameter("high", .int, default: .int(0)), OpParameter("mode", .word(paddings)),
    ], infer: inferPadding,
    examples: paddings.map {
      OpExample([([2, 4], .any)], ["axis": .int(1), "low": .int(2), "high": .int(3), "mode": .word($0)])
    }
  ) { b, x, attributes, result in
    let (axis, low, high) = (attributes[int: "axis"], attributes[int: "low"], attributes[int: "high"])
    let size = b.type(x[0]).shape[axis].constant ?? 1
    func part(_ range: Range<Int>) -> ValueID {
      b.slice(x[0], axis: axis, from: Dim(range.lowerBound), to: Dim(range.upperBound))
    }
    func border(_ place: Int, _ count: Int) -> ValueID {
      var shape = result.shape
      shape[axis] = Dim(count)
      return b.broadcast(part(place..<place + 1), to: shape)
    }
    var parts = [x[0]]
    switch attributes[word: "mode"] {
    case "reflect":
      if low > 0 { parts.insert(b.reversed(part(1..<low + 1), axis: axis), at: 0) }
      if high > 0 { parts.append(b.reversed(part(size - 1 - high..<size - 1), axis: axis)) }
    case "replicate":
      if low > 0 { parts.insert(border(0, low), at: 0) }
      if high > 0 { parts.append(border(size - 1, high)) }
    default:
      if low > 0 { parts.insert(part(size - low..<size), at: 0) }
      if high > 0 { parts.append(part(0..<high)) }
    }
    return parts.count == 1 ? x[0] : b.make(.concat, parts, ["axis": .int(axis)])
  }
}

/// The modes of `pad` beside "constant".
private let paddings = ["reflect", "replicate", "circular"]

private let inferPadding: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 1...1)
  let axis = try attributes.requiredAxis(rank: types[0].rank)
  let low = try attributes.required("low", attributes.int("low"))
  let high = try attributes.required("high", attributes.int("high"))
  let mode = try attributes.required("mode", attributes.word("mode"))
  guard low >= 0, high >= 0 else { throw OpError("padding is negative", note: "slice it instead") }
  let room = types[0].shape[axis].constant.map { mode == "reflect" ? $0 - 1 : mode == "circular" ? $0 : Int.max }
  guard max(low, high) <= room ?? Int.max else {
    throw OpError(
      "axis \(axis) has \(types[0].shape[axis]) elements, and \(max(low, high)) more are no \(mode) padding of them",
      operands: [(0, axis)])
  }
  var shape = types[0].shape
  shape[axis] = try checkedDim(shape[axis].adding(Dim(low))?.adding(Dim(high)))
  return TensorType(types[0].dtype, shape)
}

extension OpDefinition {
  private static func triangle(_ summary: String, _ keeps: Op) -> OpDefinition {
    .composed(
      summary, signature: [OpParameter("x", .tensor), OpParameter("diagonal", .int, default: .int(0))],
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        try requireRank(types, 0, atLeast: 2)
        let diagonal = try attributes.required("diagonal", attributes.int("diagonal"))
        guard Swift.abs(diagonal) < 1 << 30 else { throw OpError("there is no diagonal \(diagonal)") }
        return types[0]
      },
      examples: [
        OpExample([([3, 4], .any)], ["diagonal": .int(0)]), OpExample([([2, 3, 3], .any)], ["diagonal": .int(-1)]),
      ]
    ) { b, x, attributes, result in
      let matrix = Array(result.shape.suffix(2))
      let (row, column) = (b.numbers(matrix, axis: 0, .i32), b.numbers(matrix, axis: 1, .i32))
      let kept = b.make(keeps, [b.offset(row, by: Double(attributes[int: "diagonal"])), column])
      return b.select(b.broadcast(kept, to: result.shape), x[0], b.fill(0, like: x[0]))
    }
  }
}

extension GraphBuilder {
  /// An axis backwards, as a view.
  mutating func reversed(_ x: ValueID, axis: Int) -> ValueID {
    let shape = type(x).shape
    let size = shape[axis].constant ?? 1
    if size == 1 { return x }
    let form = WindowForm(size: size, dilation: -1, low: 1 - size)
    return reshape(make(.window, [x], form.attributes(axis: axis, count: 1, outside: 0)), to: shape)
  }

  /// Copies along an axis: of all of it (`at` the axis), or of each element (`at` the next).
  mutating func copied(_ x: ValueID, _ count: Int, axis: Int, at place: Int) -> ValueID {
    if count == 1 { return x }
    var shape = type(x).shape
    let whole = checked(shape[axis].multiplied(by: Dim(count)))
    let axes = shape.indices.map { $0 < place ? $0 : $0 + 1 }
    shape.insert(Dim(count), at: place)
    let spread = broadcast(x, to: shape, axes: Array(axes))
    shape.replaceSubrange(axis...axis + 1, with: [whole])
    return reshape(spread, to: shape)
  }

  /// The index along an axis.
  mutating func numbers(_ shape: [Dim], axis: Int, _ dtype: DType) -> ValueID {
    make(.iota, [], ["shape": .dims(shape), "axis": .int(axis), "dtype": .dtype(dtype)])
  }
}
