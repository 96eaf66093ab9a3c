// Rows: the same elements in another arrangement.

extension OpDefinition {
  static let broadcast = OpDefinition(
    "Spreads a value over a shape: operand axis `i` becomes axis `axes[i]`, size 1 stretches.", isCallable: false,
    signature: [OpParameter("x", .tensor), OpParameter("shape", .dims), OpParameter("axes", .ints)], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      let axes = try attributes.requiredAxes(rank: shape.count)
      guard axes.count == types[0].rank, axes == axes.sorted() else {
        throw OpError(
          "axes \(axes) do not place \(shapeText(types[0].shape)) in \(shapeText(shape))", operands: [(0, nil)])
      }
      for (axis, target) in axes.enumerated() where types[0].shape[axis] != shape[target] && types[0].shape[axis] != 1 {
        throw OpError(
          "shape \(shapeText(types[0].shape)) cannot be spread over \(shapeText(shape)): "
            + "\(types[0].shape[axis]) is not \(shape[target])", operands: [(0, axis)])
      }
      return TensorType(types[0].dtype, shape)
    },
    evaluate: { x, attributes, result in x[0].broadcast(result.boundShape, attributes[ints: "axes"]) },
    gradient: .rule { b, node, _, g in
      let operand = b.type(node.operands[0])
      let axes = node.attributes[ints: "axes"]
      let spread = node.type.shape.indices.filter { target in
        axes.firstIndex(of: target).map { operand.shape[$0] != node.type.shape[target] } ?? true
      }
      return [b.reshape(b.sum(g, spread), to: operand.shape)]
    }, lowering: .structural { attributes, _ in .broadcast(axes: attributes[ints: "axes"]) })

  static let reshape = OpDefinition(
    "The same elements, in row-major order, under another shape.",
    signature: [OpParameter("x", .tensor), OpParameter("shape", .dims)], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      let (before, after) = (try elementCount(types[0].shape), try elementCount(shape))
      guard before == after else {
        throw OpError(
          "shape \(shapeText(types[0].shape)) has \(before) elements, \(shapeText(shape)) has \(after)",
          operands: [(0, nil)])
      }
      return TensorType(types[0].dtype, shape)
    }, evaluate: { x, _, result in Reference(shape: result.boundShape, data: x[0].data) },
    gradient: .rule { b, node, _, g in [b.reshape(g, to: b.type(node.operands[0]).shape)] },
    lowering: .structural { _, _ in .reshape })

  static let transpose = OpDefinition(
    "The axes in another order: axis `i` of the result is axis `permutation[i]` of the operand.",
    signature: [
      OpParameter("x", .tensor), OpParameter("permutation", .ints),
      // Whether what reads it may as well be computed in the operand's order (`sink-transposes`).
      OpParameter("sinks", .bool, isOptional: true, isInternal: true),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let permutation = try attributes.required("permutation", attributes.ints("permutation"))
      guard permutation.sorted() == Array(types[0].shape.indices) else {
        throw OpError(
          "\(permutation) is no permutation of the \(types[0].rank) axes of \(shapeText(types[0].shape))",
          operands: [(0, nil)])
      }
      return TensorType(types[0].dtype, permutation.map { types[0].shape[$0] })
    }, evaluate: { x, attributes, _ in x[0].transposed(attributes[ints: "permutation"]) },
    gradient: .rule { b, node, _, g in
      let permutation = node.attributes[ints: "permutation"]
      return [b.transpose(g, inverse(permutation))]
    }, lowering: .structural { attributes, _ in .transpose(attributes[ints: "permutation"]) })

  static let slice = OpDefinition(
    "Every `stride`-th element from `start` up to `limit` along one axis.", isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("start", .dim), OpParameter("limit", .dim),
      OpParameter("stride", .int, default: .int(1)),
    ], precision: .follow, infer: inferSlice,
    evaluate: { x, attributes, result in
      let axis = attributes[int: "axis"]
      var strides = x[0].strides
      let start = attributes[bound: "start"] * strides[axis]
      strides[axis] *= attributes[int: "stride"]
      return x[0].strided(result.boundShape, strides, offset: start)
    }, gradient: .rule { b, node, _, g in [sliceGradient(&b, node, g)] },
    lowering: .structural { attributes, _ in
      .slice(
        axis: attributes[int: "axis"], start: attributes[bound: "start"], limit: attributes[bound: "limit"],
        stride: attributes[int: "stride"])
    })

  static let concat = OpDefinition(
    "Values one after the other along an axis.",
    signature: [OpParameter("values", .tensors), OpParameter("axis", .axis)],
    precision: .widest, infer: inferConcat,
    evaluate: { x, attributes, result in
      let axis = attributes[int: "axis"]
      let shape = result.boundShape
      // Seen as rows: what precedes the axis counts rows, the rest of each operand is one run.
      let runs = x.map { $0.shape[axis...].reduce(1, *) }
      let rows = shape[..<axis].reduce(1, *)
      let data = (0..<rows).flatMap { row in
        x.indices.flatMap { x[$0].data[row * runs[$0]..<(row + 1) * runs[$0]] }
      }
      return Reference(shape: shape, data: data)
    },
    gradient: .rule { b, node, _, g in
      let axis = node.attributes[int: "axis"]
      var start: Dim = 0
      return node.operands.map { operand in
        let type = b.type(operand)
        let limit = start.adding(type.shape[axis]) ?? start
        defer { start = limit }
        return b.cast(b.slice(g, axis: axis, from: start, to: limit), to: type.dtype)
      }
    }, lowering: .structural { attributes, _ in .concat(axis: attributes[int: "axis"]) })

  static let pad = OpDefinition(
    "`low` elements before and `high` after, along an axis: of a value, or with another `mode` of what is there.",
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("low", .int, default: .int(0)),
      OpParameter("high", .int, default: .int(0)), OpParameter("value", .float, default: .float(0)),
      // A call with another mode is a `pad_around`.
      OpParameter("mode", .word(["constant", "reflect", "replicate", "circular"]), isOptional: true),
    ], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let axis = try attributes.requiredAxis(rank: types[0].rank)
      let (low, high) = (
        try attributes.required("low", attributes.int("low")), try attributes.required("high", attributes.int("high"))
      )
      let value = try attributes.required("value", attributes.float("value"))
      guard types[0].dtype.isFloating || types[0].dtype.holds(value) else {
        throw OpError("\(value) does not fit \(types[0].dtype)", operands: [(0, nil)])
      }
      guard low >= 0, high >= 0 else { throw OpError("padding is negative", note: "slice it instead") }
      var shape = types[0].shape
      shape[axis] = try checkedDim(shape[axis].adding(Dim(low))?.adding(Dim(high)))
      return TensorType(types[0].dtype, shape)
    },
    evaluate: { x, attributes, result in
      let axis = attributes[int: "axis"]
      var padded = Reference.filled(result.boundShape, attributes[float: "value"])
      let strides = padded.strides
      var position = 0
      forEachOffset(x[0].shape, strides, from: attributes[int: "low"] * strides[axis]) { offset in
        padded.data[offset] = x[0].data[position]
        position += 1
      }
      return padded
    },
    gradient: .rule { b, node, _, g in
      let axis = node.attributes[int: "axis"]
      let low = Dim(node.attributes[int: "low"])
      let size = b.type(node.operands[0]).shape[axis]
      return [b.slice(g, axis: axis, from: low, to: low.adding(size) ?? size)]
    },
    lowering: .structural { attributes, _ in
      .pad(
        axis: attributes[int: "axis"], low: attributes[int: "low"], high: attributes[int: "high"],
        value: attributes[float: "value"])
    })
}

private let inferSlice: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 1...1)
  let axis = try attributes.requiredAxis(rank: types[0].rank)
  let start = try attributes.required("start", attributes.dim("start"))
  let limit = try attributes.required("limit", attributes.dim("limit"))
  let stride = try attributes.required("stride", attributes.int("stride"))
  let size = types[0].shape[axis]
  let length = try checkedDim(limit.subtracting(start))
  let rest = try checkedDim(size.subtracting(limit))
  guard stride >= 1 else { throw OpError("stride \(stride) is not positive") }
  guard (start.constant ?? 0) >= 0, (length.constant ?? 1) >= 1, (rest.constant ?? 0) >= 0 else {
    throw OpError("\(start)..<\(limit) is empty or outside of a dimension of size \(size)", operands: [(0, axis)])
  }
  var shape = types[0].shape
  if stride == 1 {
    shape[axis] = length
  } else {
    shape[axis] = try checkedDim(length.adding(Dim(stride - 1))?.dividedDown(by: Dim(stride)))
  }
  return TensorType(types[0].dtype, shape)
}

private let inferConcat: InferRule = { (types, attributes) throws(OpError) in
  guard let first = types.first else { throw OpError("at least one operand is needed") }
  let axis = try attributes.requiredAxis(rank: first.rank)
  let dtype = try joinedDType(types, .anything)
  var shape = first.shape
  for (index, type) in types.enumerated().dropFirst() {
    guard type.rank == first.rank else {
      throw OpError(
        "shapes \(shapeText(first.shape)) and \(shapeText(type.shape)) differ in rank",
        operands: [(0, nil), (index, nil)])
    }
    for other in first.shape.indices where other != axis && first.shape[other] != type.shape[other] {
      throw OpError(
        "shapes \(shapeText(first.shape)) and \(shapeText(type.shape)) differ in dimension \(other), which is not the axis",
        operands: [(0, other), (index, other)])
    }
    shape[axis] = try checkedDim(shape[axis].adding(type.shape[axis]))
  }
  return TensorType(dtype, shape)
}

/// Zeros with the gradient written into the places that the slice has read.
private func sliceGradient(_ b: inout GraphBuilder, _ node: Node, _ g: ValueID) -> ValueID {
  let type = b.type(node.operands[0])
  let axis = node.attributes[int: "axis"]
  let start = node.attributes[dim: "start"]
  let stride = node.attributes[int: "stride"]
  let high = node.attributes[dim: "limit"].subtractedFrom(type.shape[axis])?.constant
  if stride == 1, let low = start.constant, let high {
    return low == 0 && high == 0
      ? g
      : b.make(.pad, [g], ["axis": .int(axis), "low": .int(low), "high": .int(high), "value": .float(0)])
  }
  if let start = start.constant, let size = type.shape[axis].constant, let count = node.type.shape[axis].constant {
    return spreadOut(&b, g, axis: axis, stride: stride, start: start, count: count, size: size)
  }
  let indexType = TensorType(.i32, [node.type.shape[axis]])
  let count = b.make(.iota, [], ["shape": .dims(indexType.shape), "axis": .int(0), "dtype": .dtype(.i32)])
  let first = b.broadcast(b.dimension(start, .i32), to: indexType.shape)
  let indices = b.add(b.mul(count, b.constant(Double(stride), indexType)), first)
  return b.make(.scatterAdd, [b.zeros(type), indices, g], ["axis": .int(axis)])
}

/// The elements of an axis `stride` apart among zeros, as views.
private func spreadOut(
  _ b: inout GraphBuilder, _ g: ValueID, axis: Int, stride: Int, start: Int, count: Int, size: Int
) -> ValueID {
  var shape = b.type(g).shape
  shape.insert(1, at: axis + 1)
  let apart = b.padded(b.reshape(g, to: shape), axis: axis + 1, low: 0, to: stride)
  shape.replaceSubrange(axis...axis + 1, with: [Dim(count * stride)])
  let line = b.slice(b.reshape(apart, to: shape), axis: axis, from: 0, to: Dim(min(count * stride, size - start)))
  let high = size - start - min(count * stride, size - start)
  if start == 0, high == 0 { return line }
  return b.make(.pad, [line], ["axis": .int(axis), "low": .int(start), "high": .int(high), "value": .float(0)])
}

extension Dim {
  fileprivate func subtractedFrom(_ other: Dim) -> Dim? { other.subtracting(self) }
}

/// The permutation that undoes another.
package func inverse(_ permutation: [Int]) -> [Int] {
  permutation.indices.sorted { permutation[$0] < permutation[$1] }
}

extension GraphBuilder {
  /// The value under another shape; itself when it has it.
  package mutating func reshape(_ value: ValueID, to shape: [Dim]) -> ValueID {
    type(value).shape == shape ? value : make(.reshape, [value], ["shape": .dims(shape)])
  }

  /// The value with its axes in another order; itself when that is their order.
  package mutating func transpose(_ value: ValueID, _ permutation: [Int]) -> ValueID {
    permutation == Array(permutation.indices) ? value : make(.transpose, [value], ["permutation": .ints(permutation)])
  }

  /// Elements `start ..< limit` along an axis; the value itself when that is all of it.
  package mutating func slice(_ value: ValueID, axis: Int, from start: Dim, to limit: Dim) -> ValueID {
    if start == 0, limit == type(value).shape[axis] { return value }
    return make(
      .slice, [value], ["axis": .int(axis), "start": .dim(start), "limit": .dim(limit), "stride": .int(1)])
  }
}
