// Convolutions as contractions over windows. Operands are seen with their channels last, which is how results are made and stay
// in memory; only their users see the channels first, and take the other order where they can (pass `sink-transposes`).
//
// Where a group has one input channel, there is nothing to contract: products with each tap are summed.

extension GraphBuilder {
  /// `x` `[n, c, sizes...]` with `weight` `[outputs, c / groups, taps...]`, in the dtype `wide`.
  mutating func lowered(
    convolution form: ConvolutionForm, _ x: ValueID, _ weight: ValueID, wide: DType
  ) -> ValueID {
    let channels = ConvolutionChannels(form, weight: type(weight).shape)
    let sizes = type(weight).shape[2...].map { $0.constant ?? 1 }
    let slides = form.slides(sizes) { axis, size in checked(form.count(type(x).shape[axis + 2], axis, size: size)) }
    let (windows, places) = slideInside(channelsLast(x), slides)
    if channels.isNarrow, !places.inner.isEmpty {
      let lines = inLines(windows, places)
      let taps = reshape(weight, to: [type(weight).shape[0], type(lines).shape[slides.count + 1]])
      return channelsFirst(contract(lines, taps, batch: ([], []), [slides.count + 1], [1], wide))
    }
    let taps = split(withoutUnits(weight), at: 0, channels.weightSplit, channels)
    let last = type(windows).rank - 1
    let product: ValueID
    switch channels.kind {
    case .joined:
      product = contract(
        windows, taps, batch: ([], []), places.inner + [last], (0..<places.inner.count).map { 2 + $0 } + [1], wide)
    case .grouped:
      let parts = split(windows, at: last, [channels.groups, channels.inputs], channels)
      product = contract(
        parts, taps, batch: ([last], [0]), places.inner + [last + 1], (0..<places.inner.count).map { 3 + $0 } + [2],
        wide)
    case .depthwise:
      let many = channels.outputs == 1 ? [] : [1]
      let rank = type(taps).rank
      product = summedProducts(
        transpose(windows, [0] + places.outer + places.inner + [last]), leading: 1 + slides.count,
        summed: places.inner.count, transpose(taps, Array(many.count + 1..<rank) + [0] + many), wide: wide)
    }
    return channelsFirst(joined(product, channels, channels.outputs, spatial: slides.count))
  }

  /// The adjoint for a weight of these taps.
  mutating func lowered(
    weight form: ConvolutionForm, _ x: ValueID, _ g: ValueID, _ taps: [Int], wide: DType
  ) -> ValueID {
    let (inputs, outputs) = (type(x).shape[1], type(g).shape[1])
    let shape = [outputs, checked(inputs.dividedExactly(by: Dim(form.groups)))] + taps.map { Dim($0) }
    let channels = ConvolutionChannels(form, weight: shape)
    let slides = form.slides(taps) { axis, _ in type(g).shape[axis + 2] }
    let (windows, places) = slideInside(channelsLast(x), slides)
    let spatial = Array(0...taps.count)
    let gradient = channelsLast(g)
    let last = type(windows).rank - 1
    if channels.isNarrow, !places.inner.isEmpty {
      let product = contract(inLines(windows, places), gradient, batch: ([], []), spatial, spatial, wide)
      return reshape(transpose(product, [1, 0]), to: shape)
    }
    let ordered = transpose(windows, [0] + places.outer + places.inner + [last])
    var product: ValueID
    switch channels.kind {
    case .joined:
      // [output, taps..., input]
      product = contract(gradient, ordered, batch: ([], []), spatial, spatial, wide)
      let rank = type(product).rank
      product = transpose(product, [0, rank - 1] + Array(1..<rank - 1))
    case .grouped:
      let parts = split(ordered, at: last, [channels.groups, channels.inputs], channels)
      let group = taps.count + 1
      product = contract(
        split(gradient, at: group, [channels.groups, channels.outputs], channels), parts, batch: ([group], [last]),
        spatial, spatial, wide)
      let rank = type(product).rank
      product = transpose(product, [0, 1, rank - 1] + Array(2..<rank - 1))
    case .depthwise:
      let split = split(gradient, at: taps.count + 1, [channels.groups, channels.outputs], channels)
      let many = channels.outputs == 1 ? 0 : 1
      let all = type(ordered).shape + (many == 1 ? [Dim(channels.outputs)] : [])
      let a = broadcast(passed(ordered, to: wide), to: all, axes: Array(0..<type(ordered).rank))
      let tail = Array(all.count - 1 - many..<all.count)
      let b = broadcast(passed(split, to: wide), to: all, axes: spatial + tail)
      product = sum(mul(a, b), spatial)
      let rank = type(product).rank
      product = transpose(product, Array(rank - 1 - many..<rank) + Array(0..<rank - 1 - many))
    }
    return reshape(product, to: shape)
  }
}

extension ConvolutionForm {
  /// The windows of kernels of these sizes.
  fileprivate func slides(_ sizes: [Int], _ count: (_ axis: Int, _ size: Int) -> Dim) -> [Slide] {
    sizes.enumerated().map { axis, size in
      Slide(
        WindowForm(size: size, stride: stride[axis], dilation: dilation[axis], low: low[axis]),
        count: count(axis, size))
    }
  }
}

/// How the channels of a convolution pair.
struct ConvolutionChannels {
  enum Kind { case joined, grouped, depthwise }
  let groups: Int
  /// Of a group.
  let inputs: Int
  let outputs: Int
  let kind: Kind
  /// So few channels that windows are better copied, all taps of one side by side, than visited tap by tap.
  var isNarrow: Bool { kind == .joined && inputs < 16 }

  init(_ form: ConvolutionForm, weight: [Dim]) {
    groups = form.groups
    inputs = weight[1].constant ?? 1
    outputs = (weight[0].constant ?? 1) / groups
    kind = groups == 1 ? .joined : inputs == 1 ? .depthwise : .grouped
  }

  /// What a weight's outputs are split into.
  var weightSplit: [Int] { [groups, outputs] }
}

extension GraphBuilder {
  mutating func channelsLast(_ x: ValueID) -> ValueID {
    transpose(x, [0] + Array(2..<type(x).rank) + [1])
  }

  /// `[n, sizes..., channels]` seen with the channels first.
  mutating func channelsFirst(_ value: ValueID) -> ValueID {
    let rank = type(value).rank
    return make(
      .transpose, [value],
      ["permutation": .ints([0, rank - 1] + Array(1..<rank - 1)), "sinks": .bool(true)])
  }

  /// The windows of `[n, sizes..., channels]`, whose padding is part of the operand: no window reaches beyond it.
  mutating func slideInside(
    _ x: ValueID, _ slides: [Slide]
  ) -> (value: ValueID, places: (outer: [Int], inner: [Int])) {
    var (value, inside): (ValueID, [Slide]) = (x, [])
    for (axis, slide) in slides.enumerated() {
      let form = slide.window
      guard let count = slide.count.constant, let length = type(x).shape[axis + 1].constant else {
        inside.append(slide)
        continue
      }
      let reach = (form.size - 1) * form.dilation
      let low = max(0, form.low - min(0, reach))
      let high = max(0, (count - 1) * form.stride + max(0, reach) - form.low - (length - 1))
      if low > 0 || high > 0 {
        value = make(
          .pad, [value], ["axis": .int(axis + 1), "low": .int(low), "high": .int(high), "value": .float(0)])
      }
      var moved = form
      moved.low -= low
      inside.append(Slide(moved, count: slide.count))
    }
    return slide(value, 1, inside)
  }

  /// Windows with all that a convolution's sum takes side by side, in a weight's order: `[n, counts..., channels * taps...]`.
  fileprivate mutating func inLines(_ windows: ValueID, _ places: (outer: [Int], inner: [Int])) -> ValueID {
    let last = type(windows).rank - 1
    let ordered = transpose(windows, [0] + places.outer + [last] + places.inner)
    let shape = type(ordered).shape
    let size = shape[(places.outer.count + 1)...].reduce(Dim(1)) { checked($0.multiplied(by: $1)) }
    return reshape(ordered, to: shape[...places.outer.count] + [size])
  }

  /// Splits an axis of channels in groups and their own, where both are more than one.
  mutating func split(_ x: ValueID, at axis: Int, _ parts: [Int], _ channels: ConvolutionChannels) -> ValueID {
    var shape = type(x).shape
    switch channels.kind {
    case .joined: return x
    case .grouped: shape.replaceSubrange(axis...axis, with: parts.map { Dim($0) })
    case .depthwise:
      shape.replaceSubrange(axis...axis, with: [Dim(parts[0])] + parts[1...].filter { $0 > 1 }.map { Dim($0) })
      // A weight's one input.
      if axis == 0 { shape.remove(at: parts[1] > 1 ? 2 : 1) }
    }
    return reshape(x, to: shape)
  }

  /// A weight without spatial axes of one tap.
  fileprivate mutating func withoutUnits(_ weight: ValueID) -> ValueID {
    let shape = type(weight).shape
    return reshape(weight, to: shape[..<2] + shape[2...].filter { $0 != 1 })
  }

  mutating func contract(
    _ lhs: ValueID, _ rhs: ValueID, batch: ([Int], [Int]), _ lhsContract: [Int], _ rhsContract: [Int], _ wide: DType
  ) -> ValueID {
    var attributes: Attributes = [
      "lhs_batch": .ints(batch.0), "rhs_batch": .ints(batch.1), "lhs_contract": .ints(lhsContract),
      "rhs_contract": .ints(rhsContract),
    ]
    if type(lhs).dtype != wide { attributes["dtype"] = .dtype(wide) }
    return make(.contract, [lhs, rhs], attributes)
  }

  /// `left` `[leading..., summed..., channel]` times `right` `[residues..., summed..., channel, more...]`, for each residue and
  /// whatever more there is.
  mutating func summedProducts(
    _ left: ValueID, leading: Int, residues: Int = 0, summed: Int, _ right: ValueID, wide: DType
  ) -> ValueID {
    let (a, b) = (type(left).shape, type(right).shape)
    let all = a[..<leading] + b[..<residues] + a[leading...] + b[(residues + summed + 1)...]
    let shared = leading + residues..<leading + residues + summed + 1
    let spreadA = broadcast(passed(left, to: wide), to: Array(all), axes: Array(0..<leading) + shared)
    let spreadB = broadcast(passed(right, to: wide), to: Array(all), axes: Array(leading..<all.count))
    return sum(mul(spreadA, spreadB), Array(shared.dropLast()))
  }

  /// A product with its groups' channels side by side, the innermost axis.
  fileprivate mutating func joined(_ product: ValueID, _ channels: ConvolutionChannels, _ count: Int, spatial: Int)
    -> ValueID
  {
    var value = product
    if channels.kind == .grouped {
      // [group, n, sizes..., channel]
      let rank = type(value).rank
      value = transpose(value, Array(1..<rank - 1) + [0, rank - 1])
    }
    let shape = type(value).shape
    guard shape.count > spatial + 2 else { return value }
    return reshape(value, to: shape[...spatial] + [Dim(channels.groups * count)])
  }
}
