// Normalisation over groups of channels, of which layer norm over everything and instance norm are the ends.

extension OpDefinition {
  static let groupNorm = OpDefinition(
    "For each group of channels (axis 1): less the mean, over the standard deviation, times `weight`, plus `bias`, which have an "
      + "element for each channel. As many groups as channels are instance norm.",
    signature: [
      OpParameter("x", .tensor), OpParameter("weight", .optionalTensor), OpParameter("bias", .optionalTensor),
      OpParameter("groups", .int), OpParameter("eps", .float, default: .float(1e-5)),
    ], precision: .normalization, infer: inferGroupNorm,
    evaluate: { x, attributes, _ in
      let (shape, groups) = (x[0].shape, attributes[int: "groups"])
      let lines = Reference(shape: [shape[0] * groups, x[0].data.count / (shape[0] * groups)], data: x[0].data)
      let normal = lines.rows(along: 1) { row in
        let mean = pairwiseSum(row[...]) / Double(row.count)
        let variance = pairwiseSum(row.map { ($0 - mean) * ($0 - mean) }[...]) / Double(row.count)
        return row.map { ($0 - mean) / (variance + attributes[float: "eps"]).squareRoot() }
      }
      let result = Reference(shape: shape, data: normal.data)
      guard x.count == 3 else { return result }
      return result.zip(x[1].broadcast(shape, [1]), *).zip(x[2].broadcast(shape, [1]), +)
    },
    gradient: .rule { b, node, _, gradient in
      let dtype = node.type.dtype.arithmetic
      let wide = node.operands.map { b.cast($0, to: dtype) }
      let g = b.cast(gradient, to: dtype)
      let shape = node.type.shape
      let (normal, scale) = standardizedGroups(&b, wide[0], node.attributes)
      let lines = b.type(normal).shape
      let weighted = wide.count == 3 ? b.mul(g, b.broadcast(wide[1], to: shape, axes: [1])) : g
      let slope = standardizedGradient(&b, normal, scale, b.reshape(weighted, to: lines))
      var parts = [b.reshape(slope, to: shape)]
      if wide.count == 3 {
        let others = shape.indices.filter { $0 != 1 }
        parts += [b.sum(b.mul(g, b.reshape(normal, to: shape)), others), b.sum(g, others)]
      }
      return zip(parts, node.operands).map { b.cast($0, to: b.type($1).dtype) }
    },
    lowering: .decompose { b, node in
      let dtype = node.type.dtype.arithmetic
      let wide = node.operands.map { b.passed($0, to: dtype) }
      let (normal, _) = standardizedGroups(&b, wide[0], node.attributes)
      var value = b.reshape(normal, to: node.type.shape)
      if wide.count == 3 {
        value = b.mul(value, b.broadcast(wide[1], to: node.type.shape, axes: [1]))
        value = b.add(value, b.broadcast(wide[2], to: node.type.shape, axes: [1]))
      }
      return b.passed(value, to: node.type.dtype)
    },
    examples: [
      OpExample([([2, 4, 3], .any), ([4], .any), ([4], .any)], ["groups": .int(2), "eps": .float(1e-5)]),
      OpExample([([2, 3, 2, 2], .any)], ["groups": .int(3), "eps": .float(1e-5)]),
    ])
}

private let inferGroupNorm: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 1...3)
  guard types.count != 2 else { throw OpError("a weight comes with a bias", operands: [(1, nil)]) }
  try requireRank(types, 0, atLeast: 2)
  let own = try joinedDType([types[0]], .floats)
  let (shape, groups) = (types[0].shape, try attributes.required("groups", attributes.int("groups")))
  let eps = try attributes.required("eps", attributes.float("eps"))
  guard eps >= 0, eps.isFinite else { throw OpError("eps is \(eps), and it is a finite number of 0 or more") }
  guard groups >= 1, shape[1].dividedExactly(by: Dim(groups)) != nil else {
    throw OpError(
      "\(shape[1]) channels cannot be divided into \(groups) groups", operands: [(0, 1)],
      note: "groups divides the channels")
  }
  _ = try elementCount(shape)
  for (index, type) in types.enumerated().dropFirst() {
    guard type.shape == [shape[1]] else {
      throw OpError(
        "the parameter has shape \(shapeText(type.shape)), not \(shapeText([shape[1]]))",
        operands: [(0, 1), (index, nil)])
    }
    guard type.dtype == own || type.dtype == .float || own == .float || type.dtype == own.accumulator,
      type.dtype.isFloating
    else { throw OpError("a parameter is \(type.dtype), the operand \(own)", operands: [(0, nil), (index, nil)]) }
  }
  return types[0].with(types.contains { $0.dtype == .float } ? .float : own)
}

/// `[batch, group, elements]` with mean 0 and mean square 1 along the elements, and the factor that did it.
private func standardizedGroups(
  _ b: inout GraphBuilder, _ x: ValueID, _ attributes: Attributes
) -> (normal: ValueID, scale: ValueID) {
  let shape = b.type(x).shape
  let groups = Dim(attributes[int: "groups"])
  let elements = b.checked((try? elementCount(Array(shape[1...])))?.dividedExactly(by: groups))
  let lines = b.reshape(x, to: [shape[0], groups, elements])
  let centred = b.sub(lines, b.spread(b.meanKeeping(lines, [2]), like: lines))
  let variance = b.meanKeeping(b.mul(centred, centred), [2])
  let root = b.make(.sqrt, [b.offset(variance, by: attributes[float: "eps"])])
  let scale = b.div(b.fill(1, like: root), root)
  return (b.mul(centred, b.spread(scale, like: centred)), scale)
}

private func standardizedGradient(
  _ b: inout GraphBuilder, _ normal: ValueID, _ scale: ValueID, _ g: ValueID
) -> ValueID {
  let along = b.spread(b.meanKeeping(b.mul(g, normal), [2]), like: g)
  let slope = b.sub(b.sub(g, b.mul(normal, along)), b.spread(b.meanKeeping(g, [2]), like: g))
  return b.mul(slope, b.spread(scale, like: g))
}
