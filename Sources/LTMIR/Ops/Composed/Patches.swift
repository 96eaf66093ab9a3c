// Rows: images as columns of patches and back, and channels as places. Views, and sums where patches overlap.

extension OpDefinition {
  static let unfold = composed(
    "The patches of images `[batch, channels, height, width]` as columns: `[batch, channels * kernel, patches]`.",
    signature: [OpParameter("x", .tensor)] + patchParameters,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      try requireImages(types)
      let form = try PatchForm(attributes)
      let counts = try form.counts([types[0].shape[2], types[0].shape[3]])
      let rows = try checkedDim(types[0].shape[1].multiplied(by: Dim(form.kernel[0] * form.kernel[1])))
      return TensorType(types[0].dtype, [types[0].shape[0], rows, try elementCount(counts)])
    },
    examples: [
      OpExample([([2, 2, 4, 5], .any)], patches([2, 3], stride: [1, 2])),
      OpExample([([1, 2, 4, 4], .any)], patches([2, 2], padding: [1, 0], dilation: [2, 1])),
    ]
  ) { b, x, attributes, result in
    let form = PatchForm(proved: attributes)
    let shape = b.type(x[0]).shape
    let slides = form.slides([shape[2], shape[3]])
    // A window of one element keeps its axis.
    let columns = b.windows(x[0], axis: 3, slides[1].window, count: slides[1].count)
    let both = b.windows(columns, axis: 2, slides[0].window, count: slides[0].count)
    let spread = b.reshape(
      both,
      to: [shape[0], shape[1], slides[0].count, Dim(form.kernel[0]), slides[1].count, Dim(form.kernel[1])])
    return b.reshape(b.transpose(spread, [0, 1, 3, 5, 2, 4]), to: result.shape)
  }

  static let fold = composed(
    "The adjoint of `unfold`, which makes images of `output_size` of columns: what lies in several patches is summed.",
    signature: [OpParameter("x", .tensor), OpParameter("output_size", .sizes(2))] + patchParameters,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let dtype = try joinedDType(types, .floats)
      let form = try PatchForm(attributes)
      let size = try attributes.required("output_size", attributes.ints("output_size")).map { Dim($0) }
      guard types[0].rank == 3,
        let channels = types[0].shape[1].dividedExactly(by: Dim(form.kernel[0] * form.kernel[1]))
      else {
        throw OpError(
          "\(shapeText(types[0].shape)) are no columns of patches of \(form.kernel[0]) by \(form.kernel[1])",
          operands: [(0, nil)], note: "they are [batch, channels * kernel, patches]")
      }
      let count = try elementCount(try form.counts(size))
      guard types[0].shape[2] == count else {
        throw OpError(
          "images of \(shapeText(size)) have \(count) patches, and here are \(types[0].shape[2])", operands: [(0, 2)])
      }
      return TensorType(dtype, [types[0].shape[0], channels] + size)
    },
    examples: [
      OpExample([([2, 6, 4], .any)], patches([2, 3], stride: [2, 2], outputSize: [4, 5])),
      OpExample([([1, 8, 15], .any)], patches([2, 2], padding: [1, 0], dilation: [1, 2], outputSize: [4, 5])),
    ]
  ) { b, x, attributes, result in
    let form = PatchForm(proved: attributes)
    let size = Array(result.shape.suffix(2))
    let slides = form.slides(size)
    let spread = b.reshape(
      b.wide(x[0]),
      to: Array(result.shape.prefix(2))
        + [Dim(form.kernel[0]), Dim(form.kernel[1]), slides[0].count, slides[1].count])
    let windows = b.transpose(spread, [0, 1, 4, 2, 5, 3])
    let columns = b.overlapping(windows, axis: 4, slides[1].window, length: size[1])
    return b.cast(b.overlapping(columns, axis: 2, slides[0].window, length: size[0]), to: result.dtype)
  }

  static let pixelShuffle = pixels(
    "Channels become places: `[..., channels * f * f, height, width]` to `[..., channels, height * f, width * f]`.",
    "upscale_factor",
    shape: { channels, height, width, f throws(OpError) in
      guard let fewer = channels.dividedExactly(by: Dim(f * f)) else {
        throw OpError("\(channels) channels do not divide by \(f * f)", operands: [(0, nil)])
      }
      return (fewer, try checkedDim(height.multiplied(by: Dim(f))), try checkedDim(width.multiplied(by: Dim(f))))
    }, parts: { shape, f in Array(shape.prefix(1)) + [Dim(f), Dim(f)] + shape.suffix(2) }, [0, 3, 1, 4, 2], [4, 3, 2])

  static let pixelUnshuffle = pixels(
    "Places become channels, the inverse of `pixel_shuffle`.", "downscale_factor",
    shape: { channels, height, width, f throws(OpError) in
      guard let rows = height.dividedExactly(by: Dim(f)), let columns = width.dividedExactly(by: Dim(f)) else {
        throw OpError("\(height) by \(width) places do not divide by \(f)", operands: [(0, nil)])
      }
      return (try checkedDim(channels.multiplied(by: Dim(f * f))), rows, columns)
    }, parts: { shape, f in [shape[0], shape[1], Dim(f), shape[2], Dim(f)] }, [0, 2, 4, 1, 3], [1, 4, 4])
}

extension OpDefinition {
  private static func pixels(
    _ summary: String, _ factor: String,
    shape: @escaping @Sendable (Dim, Dim, Dim, Int) throws(OpError) -> (Dim, Dim, Dim),
    parts: @escaping @Sendable (_ image: [Dim], _ factor: Int) -> [Dim], _ permutation: [Int], _ example: [Int]
  ) -> OpDefinition {
    .composed(
      summary, signature: [OpParameter("x", .tensor), OpParameter(factor, .int)],
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        try requireRank(types, 0, atLeast: 3)
        let f = try attributes.required(factor, attributes.int(factor))
        guard 1...(1 << 15) ~= f else { throw OpError("\(factor) is \(f), and it is 1 or more") }
        let image = Array(types[0].shape.suffix(3))
        let (channels, height, width) = try shape(image[0], image[1], image[2], f)
        return TensorType(types[0].dtype, types[0].shape.dropLast(3) + [channels, height, width])
      },
      examples: [
        OpExample([([2] + example, .any)], [factor: .int(2)]), OpExample([(example, .any)], [factor: .int(2)]),
      ]
    ) { b, x, attributes, result in
      let f = attributes[int: factor]
      let given = b.type(x[0]).shape
      // The channels that there are least of, and the factors beside what they belong to.
      let image =
        Array((factor == "upscale_factor" ? result.shape.suffix(3).prefix(1) : given.suffix(3).prefix(1)))
        + (factor == "upscale_factor" ? given.suffix(2) : result.shape.suffix(2))
      let rows = (try? elementCount(Array(given.dropLast(3)))) ?? 1
      let spread = b.reshape(x[0], to: [rows] + parts(image, f))
      let moved = [0] + permutation.map { $0 + 1 }
      return b.reshape(b.transpose(spread, moved), to: result.shape)
    }
  }
}

private let patchParameters = [
  OpParameter("kernel", .sizes(2)), OpParameter("dilation", .sizes(2), default: .ints([1, 1])),
  OpParameter("padding", .sizes(2), default: .ints([0, 0])), OpParameter("stride", .sizes(2), default: .ints([1, 1])),
]

private func patches(
  _ kernel: [Int], stride: [Int] = [1, 1], padding: [Int] = [0, 0], dilation: [Int] = [1, 1], outputSize: [Int]? = nil
) -> Attributes {
  var attributes: Attributes = [
    "kernel": .ints(kernel), "stride": .ints(stride), "padding": .ints(padding), "dilation": .ints(dilation),
  ]
  if let outputSize { attributes["output_size"] = .ints(outputSize) }
  return attributes
}

private func requireImages(_ types: [TensorType]) throws(OpError) {
  guard types[0].rank == 4 else {
    throw OpError(
      "\(shapeText(types[0].shape)) are no images", operands: [(0, nil)],
      note: "they are [batch, channels, height, width]")
  }
}

/// How patches lie in an image.
private struct PatchForm {
  let kernel, stride, padding, dilation: [Int]

  init(proved attributes: Attributes) {
    kernel = attributes[ints: "kernel"]
    stride = attributes[ints: "stride"]
    padding = attributes[ints: "padding"]
    dilation = attributes[ints: "dilation"]
  }

  init(_ attributes: Attributes) throws(OpError) {
    for (name, least) in [("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)] {
      let numbers = try attributes.required(name, attributes.ints(name))
      guard numbers.count == 2, numbers.allSatisfy({ least...(1 << 15) ~= $0 }) else {
        throw OpError("\(name) is \(numbers), and its two numbers are from \(least) to 32768")
      }
    }
    self.init(proved: attributes)
  }

  /// How many patches lie along each axis.
  func counts(_ size: [Dim]) throws(OpError) -> [Dim] {
    var counts: [Dim] = []
    for axis in 0..<2 {
      let room = try checkedDim(size[axis].adding(Dim(2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1)))
      guard (room.constant ?? 0) >= 0 else {
        throw OpError("a patch of \(kernel[axis]) does not fit in \(size[axis]) places", operands: [(0, nil)])
      }
      counts.append(try checkedDim(room.dividedDown(by: Dim(stride[axis]))?.adding(1)))
    }
    return counts
  }

  func slides(_ size: [Dim]) -> [Slide] {
    let counts = (try? counts(size)) ?? [1, 1]
    return (0..<2).map { axis in
      Slide(
        WindowForm(size: kernel[axis], stride: stride[axis], dilation: dilation[axis], low: padding[axis]),
        count: counts[axis])
    }
  }
}
