// The adjoint of a convolution for its input, which is what a transposed convolution computes, as a contraction too.

extension GraphBuilder {
  /// The adjoint for an input with these spatial sizes.
  mutating func lowered(
    input form: ConvolutionForm, _ g: ValueID, _ weight: ValueID, _ sizes: [Dim], wide: DType
  ) -> ValueID {
    let channels = ConvolutionChannels(form, weight: type(weight).shape)
    let residues = sizes.enumerated().map { axis, length in
      Residues(form, axis, taps: type(weight).shape[axis + 2].constant ?? 1, length: length, self)
    }
    var g = channelsLast(g)
    for (axis, part) in residues.enumerated() where part.stretch > 1 { g = stretched(g, axis + 1, part.stretch) }
    let (windows, places) = slideInside(g, residues.map(\.slide))
    let last = type(windows).rank - 1
    let (taps, kernel) = kernelByResidue(split(weight, at: 0, channels.weightSplit, channels), channels, residues)
    let product: ValueID
    switch channels.kind {
    case .joined:
      // Columns are the residues and the channels, the innermost.
      product = contract(
        windows, transpose(taps, [0] + kernel.taps + kernel.residues + [1]), batch: ([], []), places.inner + [last],
        (0..<kernel.taps.count).map { 1 + $0 } + [0], wide)
    case .grouped:
      let parts = split(windows, at: last, [channels.groups, channels.outputs], channels)
      product = contract(
        parts, transpose(taps, [0, 1] + kernel.taps + kernel.residues + [2]), batch: ([last], [0]),
        places.inner + [last + 1], (0..<kernel.taps.count).map { 2 + $0 } + [1], wide)
    case .depthwise:
      let many = channels.outputs == 1 ? [] : [1]
      let parts = split(windows, at: last, [channels.groups, channels.outputs], channels)
      product = summedProducts(
        transpose(parts, [0] + places.outer + places.inner + many.map { _ in last + 1 } + [last]),
        leading: 1 + residues.count, residues: kernel.residues.count, summed: places.inner.count + many.count,
        transpose(taps, kernel.residues + kernel.taps + many + [0]), wide: wide)
    }
    return channelsFirst(interleaved(product, channels, residues))
  }
}

/// One spatial axis of an input's gradient. Element `i + low` of the padded input is `stride * q + r`: taps `stride * j + r` meet
/// the result's element `q - j` there, which is a convolution again, with a kernel for each residue.
private struct Residues {
  let slide: Slide
  /// The kernel's windows, `[j, r]`; `nil` where there is one residue.
  let kernel: Slide?
  /// How many there are.
  let count: Int
  /// Elements of the grid before the input's first.
  let before: Int
  let length: Dim
  /// From one of the gradient's elements to the next, zeros in between, where stride and dilation do not go together.
  let stretch: Int

  init(_ form: ConvolutionForm, _ axis: Int, taps: Int, length: Dim, _ b: GraphBuilder) {
    let (stride, dilation, low) = (form.stride[axis], form.dilation[axis], form.low[axis])
    self.length = length
    if stride == 1 || dilation > 1 && taps > 1 {
      stretch = stride
      (kernel, count, before) = (nil, 1, 0)
      slide = Slide(WindowForm(size: taps, dilation: taps == 1 ? 1 : -dilation, low: -low), count: length)
      return
    }
    let first = Int((Double(low) / Double(stride)).rounded(.down))
    let steps = (taps + stride - 1) / stride
    let last = b.checked(length.adding(Dim(low - 1))?.dividedDown(by: Dim(stride)))
    stretch = 1
    kernel = Slide(WindowForm(size: stride, stride: stride), count: Dim(steps))
    (count, before) = (stride, low - first * stride)
    slide = Slide(
      WindowForm(size: steps, dilation: steps == 1 ? 1 : -1, low: -first), count: b.checked(last.adding(Dim(1 - first)))
    )
  }
}

extension GraphBuilder {
  /// A weight's taps by residue, and the axes of both, in the order of the spatial axes.
  fileprivate mutating func kernelByResidue(
    _ weight: ValueID, _ channels: ConvolutionChannels, _ residues: [Residues]
  ) -> (value: ValueID, axes: (taps: [Int], residues: [Int])) {
    let first = type(weight).rank - residues.count
    var value = weight
    var shape = Array(type(weight).shape[..<first])
    for (axis, part) in residues.enumerated().reversed() {
      if let kernel = part.kernel { value = windows(value, axis: first + axis, kernel.window, count: kernel.count) }
    }
    var (taps, rest): ([Int], [Int]) = ([], [])
    for part in residues {
      if part.slide.window.size > 1 {
        taps.append(shape.count)
        shape.append(Dim(part.slide.window.size))
      }
      if part.kernel != nil {
        rest.append(shape.count)
        shape.append(Dim(part.count))
      }
    }
    return (reshape(value, to: shape), (taps, rest))
  }

  /// Zeros after each element of an axis.
  fileprivate mutating func stretched(_ x: ValueID, _ axis: Int, _ factor: Int) -> ValueID {
    var shape = type(x).shape
    let length = shape[axis]
    shape.insert(1, at: axis + 1)
    let spread = padded(reshape(x, to: shape), axis: axis + 1, low: 0, to: factor)
    shape = type(x).shape
    shape[axis] = checked(length.multiplied(by: Dim(factor)))
    return reshape(spread, to: shape)
  }

  /// `[n, q..., r..., channels]` as `[n, sizes..., channels]`.
  fileprivate mutating func interleaved(
    _ product: ValueID, _ channels: ConvolutionChannels, _ residues: [Residues]
  ) -> ValueID {
    let first = channels.kind == .grouped ? 1 : 0
    let spatial = residues.count
    var next = first + 1 + spatial
    var order = [first]
    for (axis, part) in residues.enumerated() {
      order.append(first + 1 + axis)
      if part.kernel != nil {
        order.append(next)
        next += 1
      }
    }
    order += first == 1 ? [0, next] : [next]
    var value = transpose(product, order)
    var shape = [type(value).shape[0]]
    for part in residues { shape.append(checked(part.slide.count.multiplied(by: Dim(part.count)))) }
    shape.append(Dim(channels.groups * channels.inputs))
    value = reshape(value, to: shape)
    for (axis, part) in residues.enumerated() {
      value = windows(value, axis: axis + 1, WindowForm(size: 1, low: -part.before), count: part.length)
    }
    return value
  }
}
