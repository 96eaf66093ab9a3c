// Convolutions, and their adjoints for the input (which is what a transposed convolution computes) and for the weight. The
// channels are axis 1, spatial axes follow, as in PyTorch.

extension OpDefinition {
  static let conv1d = convolution(rank: 1)
  static let conv2d = convolution(rank: 2)
  static let conv3d = convolution(rank: 3)
  static let convTranspose1d = transposedConvolution(rank: 1)
  static let convTranspose2d = transposedConvolution(rank: 2)

  private static func convolution(rank: Int) -> OpDefinition {
    OpDefinition(
      "The convolution of `x` `[batch, channels\(sizes(rank))]` with `weight` `[outputs, channels / groups\(sizes(rank))]`, plus "
        + "`bias`; the bias is added before the one rounding.",
      signature: [
        OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("bias", .optionalTensor),
        sizes("stride", rank, 1), OpParameter("padding", .padding(rank), default: .ints(repeated(0, rank))),
        sizes("dilation", rank, 1), OpParameter("groups", .int, default: .int(1)),
      ], precision: .half,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 2...3)
        let dtype = try joinedDType(types, .floats)
        let form = try ConvolutionForm(attributes, rank: rank)
        let shape = try form.shape(types[0].shape, types[1].shape)
        try requireBias(types, shape[1])
        return TensorType(dtype, shape)
      },
      evaluate: { x, attributes, result in
        let form = ConvolutionForm(proved: attributes, rank: rank)
        return biased(.convolution(x[0], x[1], form, to: result.boundShape), x)
      },
      gradient: .rule { b, node, _, g in
        let form = ConvolutionForm(proved: node.attributes, rank: rank)
        let (x, weight) = (node.operands[0], node.operands[1])
        return [
          b.convolutionInput(g, weight, form, b.type(x).shape), b.convolutionWeight(x, g, form, b.type(weight).shape),
        ]
          + biasGradient(&b, node, g)
      },
      lowering: .decompose { b, node in
        let form = ConvolutionForm(proved: node.attributes, rank: rank)
        let product = b.lowered(convolution: form, node.operands[0], node.operands[1], wide: node.type.dtype.arithmetic)
        return b.finished(product, node)
      }, examples: convolutionExamples(rank))
  }

  private static func transposedConvolution(rank: Int) -> OpDefinition {
    OpDefinition(
      "The adjoint of a convolution, which makes an input of its result: `x` `[batch, channels\(sizes(rank))]` with `weight` "
        + "`[channels, outputs / groups\(sizes(rank))]`, plus `bias`.",
      signature: [
        OpParameter("x", .tensor), OpParameter("weight", .tensor), OpParameter("bias", .optionalTensor),
        sizes("stride", rank, 1), sizes("padding", rank, 0), sizes("output_padding", rank, 0),
        OpParameter("groups", .int, default: .int(1)), sizes("dilation", rank, 1),
      ], precision: .half,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 2...3)
        let dtype = try joinedDType(types, .floats)
        let shape = try transposedShape(types[0].shape, types[1].shape, attributes, rank)
        try requireBias(types, shape[1])
        return TensorType(dtype, shape)
      },
      evaluate: { x, attributes, result in
        let form = ConvolutionForm(proved: attributes, rank: rank)
        return biased(.convolutionInput(x[0], x[1], form, to: result.boundShape), x)
      },
      gradient: .rule { b, node, _, g in
        let form = ConvolutionForm(proved: node.attributes, rank: rank).covering(node)
        let (x, weight) = (node.operands[0], node.operands[1])
        return [b.convolution(g, weight, form), b.convolutionWeight(g, x, form, b.type(weight).shape)]
          + biasGradient(&b, node, g)
      },
      lowering: .decompose { b, node in
        let form = ConvolutionForm(proved: node.attributes, rank: rank)
        let sizes = Array(node.type.shape[2...])
        let product = b.lowered(
          input: form, node.operands[0], node.operands[1], sizes, wide: node.type.dtype.arithmetic)
        return b.finished(product, node)
      }, examples: transposedExamples(rank))
  }

  static let convolutionInput = OpDefinition(
    "The gradient of a convolution for its input, of shape `shape`.", isCallable: false,
    signature: [OpParameter("gradient", .tensor), OpParameter("weight", .tensor), OpParameter("shape", .dims)]
      + adjoint,
    precision: .half,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      let dtype = try joinedDType(types, .floats)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      let form = try ConvolutionForm(attributes, rank: Swift.max(shape.count - 2, 1))
      try requireResult(form.shape(shape, types[1].shape), types[0].shape)
      return TensorType(dtype, shape)
    },
    evaluate: { x, attributes, result in
      let shape = result.boundShape
      return .convolutionInput(x[0], x[1], ConvolutionForm(proved: attributes, rank: shape.count - 2), to: shape)
    },
    gradient: .rule { b, node, _, g in
      let form = ConvolutionForm(proved: node.attributes, rank: node.type.rank - 2)
      return [
        b.convolution(g, node.operands[1], form),
        b.convolutionWeight(g, node.operands[0], form, b.type(node.operands[1]).shape),
      ]
    },
    lowering: .decompose { b, node in
      let form = ConvolutionForm(proved: node.attributes, rank: node.type.rank - 2)
      let product = b.lowered(
        input: form, node.operands[0], node.operands[1], Array(node.type.shape[2...]), wide: node.type.dtype.arithmetic)
      return b.cast(product, to: node.type.dtype)
    },
    examples: adjointExamples {
      [$0.result, $0.weight]
    } shape: {
      $0.x
    })

  static let convolutionWeight = OpDefinition(
    "The gradient of a convolution for its weight, of shape `shape`.", isCallable: false,
    signature: [OpParameter("x", .tensor), OpParameter("gradient", .tensor), OpParameter("shape", .dims)] + adjoint,
    precision: .half,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      let dtype = try joinedDType(types, .floats)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      let form = try ConvolutionForm(attributes, rank: Swift.max(shape.count - 2, 1))
      try requireResult(form.shape(types[0].shape, shape), types[1].shape)
      return TensorType(dtype, shape)
    },
    evaluate: { x, attributes, result in
      let shape = result.boundShape
      return .convolutionWeight(x[0], x[1], ConvolutionForm(proved: attributes, rank: shape.count - 2), to: shape)
    },
    gradient: .rule { b, node, _, g in
      let form = ConvolutionForm(proved: node.attributes, rank: node.type.rank - 2)
      return [
        b.convolutionInput(node.operands[1], g, form, b.type(node.operands[0]).shape),
        b.convolution(node.operands[0], g, form),
      ]
    },
    lowering: .decompose { b, node in
      let form = ConvolutionForm(proved: node.attributes, rank: node.type.rank - 2)
      let taps = node.type.shape[2...].map { $0.constant ?? 1 }
      let product = b.lowered(
        weight: form, node.operands[0], node.operands[1], taps, wide: node.type.dtype.arithmetic)
      return b.cast(product, to: node.type.dtype)
    },
    examples: adjointExamples {
      [$0.x, $0.result]
    } shape: {
      $0.weight
    })

  private static let adjoint = [
    OpParameter("stride", .ints), OpParameter("padding", .ints), OpParameter("dilation", .ints),
    OpParameter("groups", .int, default: .int(1)),
  ]
}

extension GraphBuilder {
  /// A convolution without a bias.
  mutating func convolution(_ x: ValueID, _ weight: ValueID, _ form: ConvolutionForm) -> ValueID {
    let op: Op = form.rank == 1 ? .conv1d : form.rank == 2 ? .conv2d : .conv3d
    return make(op, [x, weight], form.attributes)
  }

  fileprivate mutating func convolutionInput(
    _ g: ValueID, _ weight: ValueID, _ form: ConvolutionForm, _ shape: [Dim]
  ) -> ValueID {
    var attributes = form.attributes
    attributes["shape"] = .dims(shape)
    return make(.convolutionInput, [g, weight], attributes)
  }

  fileprivate mutating func convolutionWeight(
    _ x: ValueID, _ g: ValueID, _ form: ConvolutionForm, _ shape: [Dim]
  ) -> ValueID {
    var attributes = form.attributes
    attributes["shape"] = .dims(shape)
    return make(.convolutionWeight, [x, g], attributes)
  }

  /// The bias, where there is one, and the one rounding.
  fileprivate mutating func finished(_ product: ValueID, _ node: Node) -> ValueID {
    guard node.operands.count == 3 else { return cast(product, to: node.type.dtype) }
    let wide = type(product).dtype
    let bias = broadcast(cast(node.operands[2], to: wide), to: node.type.shape, axes: [1])
    return cast(add(product, bias), to: node.type.dtype)
  }
}

extension ConvolutionForm {
  /// The same with as much padding behind as gives a transposed convolution's input back, whatever `output_padding` added.
  fileprivate func covering(_ node: Node) -> ConvolutionForm {
    var form = self
    let extra = node.attributes.ints("output_padding") ?? repeated(0, rank)
    for axis in 0..<rank where extra[axis] >= stride[axis] { form.high[axis] -= extra[axis] }
    return form
  }
}

private func repeated(_ value: Int, _ count: Int) -> [Int] { [Int](repeating: value, count: count) }

/// `, size, size`
private func sizes(_ rank: Int) -> String { String(repeating: ", size", count: rank) }

private func sizes(_ name: String, _ rank: Int, _ value: Int) -> OpParameter {
  OpParameter(name, .sizes(rank), default: .ints(repeated(value, rank)))
}

private func requireBias(_ types: [TensorType], _ channels: Dim) throws(OpError) {
  guard types.count == 3, types[2].shape != [channels] else { return }
  throw OpError(
    "the bias has shape \(shapeText(types[2].shape)), not \(shapeText([channels]))", operands: [(1, 0), (2, nil)])
}

private func requireResult(_ expected: [Dim], _ found: [Dim]) throws(OpError) {
  guard expected != found else { return }
  throw OpError("the gradient has shape \(shapeText(found)), not \(shapeText(expected))")
}

private func biased(_ product: Reference, _ x: [Reference]) -> Reference {
  x.count == 3 ? product.zip(x[2].broadcast(product.shape, [1]), +) : product
}

private func biasGradient(_ b: inout GraphBuilder, _ node: Node, _ g: ValueID) -> [ValueID] {
  node.operands.count == 3 ? [b.sum(g, node.type.shape.indices.filter { $0 != 1 })] : []
}

private func transposedShape(
  _ x: [Dim], _ weight: [Dim], _ attributes: Attributes, _ rank: Int
) throws(OpError) -> [Dim] {
  let form = try ConvolutionForm(attributes, rank: rank)
  let extra = try attributes.required("output_padding", attributes.ints("output_padding"))
  let taps = try form.taps(x, weight)
  guard x[1] == weight[0] else {
    throw OpError(
      "shapes \(shapeText(x)) and \(shapeText(weight)) do not fit: the input has \(x[1]) channels, the weight takes "
        + "\(weight[0])", operands: [(0, 1), (1, 0)])
  }
  try form.requireGroups(x[1], "channels", operand: 0, dim: 1)
  var shape = [x[0], try checkedDim(weight[1].multiplied(by: Dim(form.groups)))]
  guard extra.count == rank else { throw OpError("output_padding has \(extra.count) numbers, not \(rank)") }
  for (axis, size) in taps.enumerated() {
    guard (0..<max(form.stride[axis], form.dilation[axis])).contains(extra[axis]) else {
      throw OpError(
        "output_padding is \(extra[axis]), and it is less than the stride or the dilation",
        note: "it chooses among the sizes that a convolution of this stride makes equal")
    }
    let steps = try checkedDim(x[axis + 2].subtracting(1)?.multiplied(by: Dim(form.stride[axis])))
    let rest = form.reach(axis, size) + extra[axis] - form.low[axis] - form.high[axis]
    let length = try checkedDim(steps.adding(Dim(rest)))
    if let length = length.constant, length < 1 {
      throw OpError(
        "the padding leaves nothing of dimension \(axis + 2): its size would be \(length)", operands: [(0, axis + 2)],
        note: "pad less: padding takes from the result here")
    }
    shape.append(length)
  }
  return shape
}
