// Rows: what stands where in order. Equal elements keep their order, and a NaN comes after every number (in descending order
// before), as in PyTorch's stable sort; -0 and 0 are equal.

extension OpDefinition {
  static let argsort = OpDefinition(
    "The indices that put an axis in order, with `count` the first of them; equals keep theirs, NaN counts as largest.",
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis, default: .int(-1)),
      OpParameter("descending", .bool, default: .bool(false)), OpParameter("count", .int, isOptional: true),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      _ = try attributes.required("descending", attributes.bool("descending"))
      guard let count = attributes.int("count") else { return types[0].with(.i32) }
      return try first(count, "count", of: types[0], axis).with(.i32)
    },
    evaluate: { x, attributes, _ in
      firstInOrder(x[0], attributes, count: attributes.int("count"), "descending") { _, places in
        places.map(Double.init)
      }
    }, gradient: .none,
    lowering: .structural { attributes, _ in
      .line(.order(isDescending: attributes[bool: "descending"]), axis: attributes[int: "axis"])
    },
    examples: [
      OpExample([([3, 7], .any)], ["axis": .int(1), "descending": .bool(false)]),
      OpExample([([21, 3], .integers(4))], ["axis": .int(0), "descending": .bool(true)]),
      OpExample([([5, 9], .any)], ["axis": .int(1), "descending": .bool(true), "count": .int(2)]),
    ])

  static let sort = OpDefinition(
    "An axis in order, and the indices that `argsort` gives.",
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis, default: .int(-1)),
      OpParameter("descending", .bool, default: .bool(false)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      _ = try attributes.requiredAxis(rank: types[0].rank)
      _ = try attributes.required("descending", attributes.bool("descending"))
      return types[0]
    },
    evaluate: { x, attributes, _ in
      x[0].rows(along: attributes[int: "axis"]) { row in
        ordered(row, descending: attributes[bool: "descending"]).map { row[$0] }
      }
    },
    gradient: .rule { b, node, value, g in
      guard b.type(g).dtype.isFloating else { return [nil] }
      // The indices are a permutation: each place receives what went away from it.
      let axis = node.attributes[int: "axis"]
      let back = b.make(.argsort, [b.result(1, of: value)], ["axis": .int(axis), "descending": .bool(false)])
      return [b.make(.takeAlongAxis, [g, back], ["axis": .int(axis)])]
    },
    lowering: .decompose { b, node in sortParts(&b, node)[0] },
    further: FurtherResults(
      types: { _, first, _ in [first.with(.i32)] },
      evaluate: { x, attributes, _ in [argsort.evaluate(x, attributes, TensorType(.i32, []))] },
      decompose: sortParts),
    examples: [OpExample([([3, 7], .any)], ["axis": .int(1), "descending": .bool(true)])])

  static let topk = OpDefinition(
    "The `k` largest (or smallest) along an axis, in order, and their indices.",
    signature: [
      OpParameter("x", .tensor), OpParameter("k", .int), OpParameter("axis", .axis, default: .int(-1)),
      OpParameter("largest", .bool, default: .bool(true)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let k = try attributes.required("k", attributes.int("k"))
      _ = try attributes.required("largest", attributes.bool("largest"))
      return try first(k, "k", of: types[0], axis)
    },
    evaluate: { x, attributes, _ in
      firstInOrder(x[0], attributes, count: attributes.int("k"), "largest") { row, places in places.map { row[$0] } }
    },
    gradient: .rule { b, node, value, g in
      guard b.type(g).dtype.isFloating else { return [nil] }
      return [scatterAlong(&b, g, b.result(1, of: value), into: b.type(node.operands[0]), node.attributes[int: "axis"])]
    },
    lowering: .decompose { b, node in topParts(&b, node)[0] },
    further: FurtherResults(
      types: { _, first, _ in [first.with(.i32)] },
      evaluate: { x, attributes, _ in
        [
          firstInOrder(x[0], attributes, count: attributes.int("k"), "largest") { _, places in
            places.map(Double.init)
          }
        ]
      }, decompose: topParts),
    examples: [
      OpExample([([3, 7], .any)], ["k": .int(3), "axis": .int(1), "largest": .bool(true)]),
      OpExample([([9, 2], .any)], ["k": .int(9), "axis": .int(0), "largest": .bool(false)]),
    ])

  static let takeAlongAxis = OpDefinition(
    "For each index, the element of its own line along the axis; `take_along_dim`. Indices are clamped.",
    signature: [
      OpParameter("x", .tensor), OpParameter("indices", .tensor), OpParameter("axis", .axis, default: .int(-1)),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      try requireIndices(types, 1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let (x, indices) = (types[0].shape, types[1].shape)
      guard x.count == indices.count, x.indices.allSatisfy({ $0 == axis || x[$0] == indices[$0] }) else {
        throw OpError(
          "shapes \(shapeText(x)) and \(shapeText(indices)) differ in another dimension than axis \(axis)",
          operands: [(0, nil), (1, nil)])
      }
      return TensorType(types[0].dtype, indices)
    },
    evaluate: { x, attributes, result in
      let axis = attributes[int: "axis"]
      var strides = x[0].strides
      let step = strides[axis]
      strides[axis] = 0
      var lines: [Int] = []
      forEachOffset(result.boundShape, strides, from: 0) { lines.append($0) }
      let last = Double(x[0].shape[axis] - 1)
      let data = zip(lines, x[1].data).map { line, index in
        x[0].data[line + Int(Swift.max(0, Swift.min(index, last))) * step]
      }
      return Reference(shape: result.boundShape, data: data)
    },
    gradient: .rule { b, node, _, g in
      guard b.type(g).dtype.isFloating else { return [nil, nil] }
      let type = b.type(node.operands[0])
      return [scatterAlong(&b, g, node.operands[1], into: type, node.attributes[int: "axis"]), nil]
    },
    lowering: .decompose { b, node in
      let type = b.type(node.operands[0])
      let places = flatPlaces(&b, node.operands[1], in: type.shape, node.attributes[int: "axis"])
      let flat = b.reshape(node.operands[0], to: [(try? elementCount(type.shape)) ?? 1])
      return b.make(.gather, [flat, places], ["axis": .int(0)])
    },
    examples: [
      OpExample([([3, 5], .any), ([3, 7], .integers(5))], ["axis": .int(1)]),
      OpExample([([2, 4, 3], .any), ([2, 2, 3], .integers(4))], ["axis": .int(1)]),
    ])

  static let oneHot = OpDefinition(
    "1 at the index of each label along a new last axis, else 0; nothing but 0 for a label outside of the classes.",
    signature: [OpParameter("labels", .tensor), OpParameter("classes", .dim)], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      try requireIndices(types, 0)
      let classes = try attributes.required("classes", attributes.dim("classes"))
      guard (classes.constant ?? 1) >= 1 else {
        throw OpError("there are \(classes) classes, and 1 at least is needed")
      }
      return TensorType(.i32, types[0].shape + [classes])
    },
    evaluate: { x, attributes, result in
      let classes = attributes[bound: "classes"]
      let data = x[0].data.flatMap { label in (0..<classes).map { Double($0) == label ? 1.0 : 0 } }
      return Reference(shape: result.boundShape, data: data)
    }, gradient: .none,
    lowering: .decompose { b, node in
      let hot = isLabel(&b, node.operands[0], node.type.shape)
      return b.cast(hot, to: .i32)
    }, examples: [OpExample([([5], .integers(4))], ["classes": .dim(4)])])
}

// MARK: - Reference

/// The indices of a row's elements in order.
private func ordered(_ row: [Double], descending: Bool) -> [Int] {
  /// Whether one comes before another that is not equal to it.
  func precedes(_ a: Double, _ b: Double) -> Bool {
    if a.isNaN || b.isNaN { return !a.isNaN && b.isNaN }
    return a < b
  }
  return row.indices.sorted { i, j in
    if precedes(row[i], row[j]) { return !descending }
    if precedes(row[j], row[i]) { return descending }
    return i < j
  }
}

/// Something of each line and of the indices that put it in order, or of the first of these.
private func firstInOrder(
  _ x: Reference, _ attributes: Attributes, count: Int?, _ descending: String,
  _ pick: ([Double], ArraySlice<Int>) -> [Double]
) -> Reference {
  let axis = attributes[int: "axis"]
  let (order, length) = (x.shape.indices.filter { $0 != axis } + [axis], x.shape[axis])
  let lines = x.transposed(order)
  let data = stride(from: 0, to: lines.data.count, by: length).flatMap { start in
    let line = Array(lines.data[start..<start + length])
    return pick(line, ordered(line, descending: attributes[bool: descending]).prefix(count ?? length))
  }
  let shape = order.map { $0 == axis ? count ?? length : x.shape[$0] }
  return Reference(shape: shape, data: data).transposed(inverse(order))
}

/// The type of the first elements along an axis.
private func first(_ count: Int, _ name: String, of type: TensorType, _ axis: Int) throws(OpError) -> TensorType {
  guard count >= 1, count <= type.shape[axis].constant ?? count else {
    throw OpError(
      "\(name) is \(count), and axis \(axis) of \(shapeText(type.shape)) has \(type.shape[axis]) elements",
      operands: [(0, axis)], note: "\(name) is from 1 to the size of the axis")
  }
  var shape = type.shape
  shape[axis] = Dim(count)
  return TensorType(type.dtype, shape)
}

// MARK: - Lowering and gradients

private func sortParts(_ b: inout GraphBuilder, _ node: Node) -> [ValueID] {
  let order = b.make(.argsort, node.operands, node.attributes)
  let axis = node.attributes[int: "axis"]
  return [b.make(.takeAlongAxis, [node.operands[0], order], ["axis": .int(axis)]), order]
}

private func topParts(_ b: inout GraphBuilder, _ node: Node) -> [ValueID] {
  let (axis, largest) = (node.attributes[int: "axis"], node.attributes[bool: "largest"])
  let count = node.attributes[int: "k"]
  let first = b.make(
    .argsort, node.operands, ["axis": .int(axis), "descending": .bool(largest), "count": .int(count)])
  return [b.make(.takeAlongAxis, [node.operands[0], first], ["axis": .int(axis)]), first]
}

/// For each index along an axis, the place of its element in row-major order, i32 where that holds it.
func flatPlaces(_ b: inout GraphBuilder, _ indices: ValueID, in shape: [Dim], _ axis: Int) -> ValueID {
  let count = (try? elementCount(shape))?.constant ?? Int.max
  let dtype: DType = count <= Int(Int32.max) ? .i32 : .i64
  let type = b.type(indices).with(dtype)
  let least = b.make(.maximum, [b.cast(indices, to: dtype), b.constant(0, type)])
  let last = b.cast(b.dimension(shape[axis].subtracting(1) ?? 0, dtype), to: dtype)
  let place = b.make(.minimum, [least, b.broadcast(last, to: type.shape)])
  var stride: Dim = 1
  var sum: ValueID?
  for other in shape.indices.reversed() {
    let index =
      other == axis
      ? place : b.make(.iota, [], ["shape": .dims(type.shape), "axis": .int(other), "dtype": .dtype(dtype)])
    let factor = b.broadcast(b.cast(b.dimension(stride, dtype), to: dtype), to: type.shape)
    let part = stride == 1 ? index : b.mul(index, factor)
    sum = sum.map { b.add($0, part) } ?? part
    stride = stride.multiplied(by: shape[other]) ?? stride
  }
  return sum ?? place
}

/// Zeros of a type with updates added at the places that `take_along_axis` would read.
private func scatterAlong(
  _ b: inout GraphBuilder, _ updates: ValueID, _ indices: ValueID, into type: TensorType, _ axis: Int
) -> ValueID {
  let places = flatPlaces(&b, indices, in: type.shape, axis)
  let flat = TensorType(type.dtype, [(try? elementCount(type.shape)) ?? 1])
  let count = (try? elementCount(b.type(updates).shape)) ?? 1
  let sums = b.make(
    .scatterAdd, [b.zeros(flat), b.reshape(places, to: [count]), b.reshape(updates, to: [count])], ["axis": .int(0)])
  return b.reshape(sums, to: type.shape)
}
