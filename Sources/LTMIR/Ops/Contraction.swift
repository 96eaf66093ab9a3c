import LTMSupport

// Rows: products of matrices. Half operands accumulate in f32; the result is rounded once.

extension OpDefinition {
  static let contract = OpDefinition(
    "Multiplies and sums over paired axes: batch axes first, then what is free in `lhs`, then in `rhs`. With `dtype`, the "
      + "result keeps that wider dtype.", isCallable: false,
    signature: [
      OpParameter("lhs", .tensor), OpParameter("rhs", .tensor), OpParameter("lhs_batch", .ints),
      OpParameter("rhs_batch", .ints), OpParameter("lhs_contract", .ints), OpParameter("rhs_contract", .ints),
      OpParameter("dtype", .dtype, isOptional: true),
    ], precision: .half,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      let axes = try ContractionAxes(attributes, ranks: (types[0].rank, types[1].rank))
      let dtype = try joinedDType(types, .floats)
      for (left, right) in zip(axes.lhsBatch + axes.lhsContract, axes.rhsBatch + axes.rhsContract)
      where types[0].shape[left] != types[1].shape[right] { throw contractionMismatch(types, left, right) }
      let result = attributes.dtype("dtype") ?? dtype
      guard result == dtype || result == dtype.accumulator else {
        throw OpError("a contraction of \(dtype) gives \(dtype) or \(dtype.accumulator), not \(result)")
      }
      let shape =
        axes.lhsBatch.map { types[0].shape[$0] } + axes.lhsFree.map { types[0].shape[$0] }
        + axes.rhsFree.map { types[1].shape[$0] }
      return TensorType(result, shape)
    },
    evaluate: { x, attributes, result in
      let axes = ContractionAxes(proved: attributes, ranks: (x[0].rank, x[1].rank))
      return contracted(x[0], x[1], axes, to: result.boundShape)
    },
    gradient: .rule { b, node, _, g in
      let (lhs, rhs) = (node.operands[0], node.operands[1])
      let axes = ContractionAxes(proved: node.attributes, ranks: (b.type(lhs).rank, b.type(rhs).rank))
      return [contractionGradient(&b, lhs, rhs, g, axes), contractionGradient(&b, rhs, lhs, g, axes.swapped)]
    },
    lowering: .structural { attributes, types in
      .contract(ContractionAxes(proved: attributes, ranks: (types[0].rank, types[1].rank)))
    })

  static let matmul = OpDefinition(
    "The product of matrices `[..., m, k]` and `[..., k, n]`; leading dimensions are equal.",
    signature: [OpParameter("a", .tensor), OpParameter("b", .tensor)], precision: .half,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 2...2)
      for index in 0...1 { try requireRank(types, index, atLeast: 2) }
      let dtype = try joinedDType(types, .floats)
      let (a, b) = (types[0].shape, types[1].shape)
      guard a[a.count - 1] == b[b.count - 2] else { throw contractionMismatch(types, a.count - 1, b.count - 2) }
      guard a.dropLast(2) == b.dropLast(2) else {
        throw OpError(
          "leading dimensions differ: \(shapeText(a)) and \(shapeText(b))", operands: [(0, nil), (1, nil)])
      }
      return TensorType(dtype, a.dropLast() + b.suffix(1))
    },
    evaluate: { x, _, result in contracted(x[0], x[1], .matmul(rank: x[0].rank), to: result.boundShape) },
    gradient: .rule { b, node, _, g in
      let rank = node.type.rank
      let leading = Array(0..<rank - 2)
      let left = b.contract(g, node.operands[1], batch: leading, [rank - 1], [rank - 1])
      let right = b.contract(node.operands[0], g, batch: leading, [rank - 2], [rank - 2])
      return [left, right]
    },
    lowering: .decompose { b, node in
      let axes = ContractionAxes.matmul(rank: node.type.rank)
      return b.contract(node.operands[0], node.operands[1], batch: axes.lhsBatch, axes.lhsContract, axes.rhsContract)
    })

  static let linear = OpDefinition(
    "`x` times the transpose of `weight` `[outputs, inputs]`, plus `bias`; the bias is added before the one rounding.",
    signature: [OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("bias", .optionalTensor)],
    precision: .half, infer: inferLinear,
    evaluate: { x, _, result in
      let shape = result.boundShape
      let product = contracted(x[0], x[1], .linear(rank: x[0].rank), to: shape)
      return x.count == 3 ? product.zip(x[2].broadcast(shape, [shape.count - 1]), +) : product
    },
    gradient: .rule { b, node, _, g in
      let last = node.type.rank - 1
      let leading = Array(0..<last)
      let x = b.contract(g, node.operands[1], [last], [0])
      let weight = b.contract(g, node.operands[0], leading, leading)
      return node.operands.count == 3 ? [x, weight, b.sum(g, leading)] : [x, weight]
    },
    lowering: .decompose { b, node in
      let (x, weight, last) = (node.operands[0], node.operands[1], node.type.rank - 1)
      guard node.operands.count == 3 else { return b.contract(x, weight, [last], [1]) }
      let wide = node.type.dtype.arithmetic
      let product = b.contract(x, weight, [last], [1], dtype: wide == node.type.dtype ? nil : wide)
      let bias = b.broadcast(b.cast(node.operands[2], to: wide), to: node.type.shape, axes: [last])
      return b.cast(b.add(product, bias), to: node.type.dtype)
    })
}

/// Which axes of two operands a contraction pairs.
package struct ContractionAxes: Sendable {
  /// Paired and kept.
  package var lhsBatch: [Int], rhsBatch: [Int]
  /// Paired and summed over.
  package var lhsContract: [Int], rhsContract: [Int]
  /// The others, in order.
  package var lhsFree: [Int], rhsFree: [Int]

  /// Reads the attributes of a `contract`.
  package init(_ attributes: Attributes, ranks: (Int, Int)) throws(OpError) {
    lhsBatch = try attributes.requiredAxes("lhs_batch", rank: ranks.0)
    rhsBatch = try attributes.requiredAxes("rhs_batch", rank: ranks.1)
    lhsContract = try attributes.requiredAxes("lhs_contract", rank: ranks.0)
    rhsContract = try attributes.requiredAxes("rhs_contract", rank: ranks.1)
    let (left, right) = (lhsBatch + lhsContract, rhsBatch + rhsContract)
    guard lhsBatch.count == rhsBatch.count, lhsContract.count == rhsContract.count,
      Set(left).count == left.count, Set(right).count == right.count
    else { throw OpError("the axes \(left) and \(right) do not pair") }
    lhsFree = (0..<ranks.0).filter { !left.contains($0) }
    rhsFree = (0..<ranks.1).filter { !right.contains($0) }
  }

  /// Reads the attributes of a `contract` that the verifier has seen.
  package init(proved attributes: Attributes, ranks: (Int, Int)) {
    do {
      self = try ContractionAxes(attributes, ranks: ranks)
    } catch {
      internalFailure("graph", "contract: \(error.message)")
    }
  }

  private init(
    lhsBatch: [Int], rhsBatch: [Int], _ lhsContract: [Int], _ rhsContract: [Int], free: [Int], _ other: [Int]
  ) {
    (self.lhsBatch, self.rhsBatch, self.lhsContract, self.rhsContract) = (lhsBatch, rhsBatch, lhsContract, rhsContract)
    (lhsFree, rhsFree) = (free, other)
  }

  static func matmul(rank: Int) -> ContractionAxes {
    let leading = Array(0..<rank - 2)
    return ContractionAxes(
      lhsBatch: leading, rhsBatch: leading, [rank - 1], [rank - 2], free: [rank - 2], [rank - 1])
  }

  static func linear(rank: Int) -> ContractionAxes {
    ContractionAxes(lhsBatch: [], rhsBatch: [], [rank - 1], [1], free: Array(0..<rank - 1), [0])
  }

  /// The axes seen from the other operand; the result's free axes then come in the other order.
  var swapped: SwappedContraction { SwappedContraction(axes: self) }
}

/// A contraction whose gradient is wanted for `rhs`.
struct SwappedContraction { let axes: ContractionAxes }

extension GraphBuilder {
  /// A contraction; `batch` axes are the same in both.
  package mutating func contract(
    _ lhs: ValueID, _ rhs: ValueID, batch: [Int] = [], _ lhsContract: [Int], _ rhsContract: [Int], dtype: DType? = nil
  ) -> ValueID {
    var attributes: Attributes = [
      "lhs_batch": .ints(batch), "rhs_batch": .ints(batch), "lhs_contract": .ints(lhsContract),
      "rhs_contract": .ints(rhsContract),
    ]
    attributes["dtype"] = dtype.map { .dtype($0) }
    return make(.contract, [lhs, rhs], attributes)
  }
}

private func contractionMismatch(_ types: [TensorType], _ left: Int, _ right: Int) -> OpError {
  OpError(
    "shapes \(shapeText(types[0].shape)) and \(shapeText(types[1].shape)) do not multiply: dimension \(left) is "
      + "\(types[0].shape[left]), dimension \(right) is \(types[1].shape[right])", operands: [(0, left), (1, right)])
}

private let inferLinear: InferRule = { (types, _) throws(OpError) in
  try requireCount(types, 2...3)
  try requireRank(types, 0, atLeast: 1)
  let dtype = try joinedDType(types, .floats)
  let (x, weight) = (types[0].shape, types[1].shape)
  guard weight.count == 2 else {
    throw OpError("the weight is [outputs, inputs], not \(shapeText(weight))", operands: [(1, nil)])
  }
  guard x[x.count - 1] == weight[1] else { throw contractionMismatch(types, x.count - 1, 1) }
  if types.count == 3, types[2].shape != [weight[0]] {
    throw OpError(
      "the bias has shape \(shapeText(types[2].shape)), not \(shapeText([weight[0]]))", operands: [(1, 0), (2, nil)])
  }
  return TensorType(dtype, x.dropLast() + [weight[0]])
}
