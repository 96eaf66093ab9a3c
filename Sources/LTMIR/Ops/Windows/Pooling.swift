// Pools: windows of `[batch, channels, sizes...]`, reduced.

extension OpDefinition {
  static let maxPool1d = maxPool(rank: 1)
  static let maxPool2d = maxPool(rank: 2)
  static let avgPool1d = avgPool(rank: 1)
  static let avgPool2d = avgPool(rank: 2)

  private static func maxPool(rank: Int) -> OpDefinition {
    OpDefinition(
      "The largest of each window of `kernel` elements; `stride` is `kernel` where it is left out. Of equals the first has the "
        + "gradient.",
      signature: poolSignature(
        rank,
        [
          OpParameter("dilation", .sizes(rank), default: .ints(repeated(1, rank))),
          OpParameter("ceil_mode", .bool, default: .bool(false)),
        ]), precision: .follow, infer: inferPool(rank),
      evaluate: { x, attributes, result in
        let form = PoolForm(proved: attributes, rank: rank)
        return x[0].pooled(form.members(x[0].shape, result.boundShape)) { values, _ in largest(values) }
      },
      gradient: .rule { b, node, value, g in
        let form = PoolForm(proved: node.attributes, rank: rank)
        return [b.maxPoolGradient(form, node.operands[0], value, g)]
      },
      lowering: .decompose { b, node in
        let form = PoolForm(proved: node.attributes, rank: rank)
        let counts = Array(node.type.shape[2...])
        let (windows, places) = b.poolWindows(form, node.operands[0], counts, outside: -.infinity)
        return b.make(.max, [windows], ["axes": .ints(places.inner), "keep": .bool(false)])
      }, examples: poolExamples(rank, dilated: true))
  }

  private static func avgPool(rank: Int) -> OpDefinition {
    OpDefinition(
      "The mean of each window of `kernel` elements; `stride` is `kernel` where it is left out. Zeros of the padding count, "
        + "unless `count_include_pad` is false; `divisor_override` divides instead of the count.",
      signature: poolSignature(
        rank,
        [
          OpParameter("ceil_mode", .bool, default: .bool(false)),
          OpParameter("count_include_pad", .bool, default: .bool(true)),
          OpParameter("divisor_override", .int, isOptional: true),
        ]), precision: .follow, infer: inferPool(rank),
      evaluate: { x, attributes, result in
        let form = PoolForm(proved: attributes, rank: rank)
        let (sizes, counts) = (x[0].shape[2...].map { $0 }, result.boundShape[2...].map { $0 })
        let divisors = (0..<rank).map { axis in
          form.divisors(sizes[axis], axis, count: counts[axis], countsPadding: attributes[bool: "count_include_pad"])
        }
        let members = form.members(x[0].shape, result.boundShape)
        return x[0].pooled(members) { values, window in
          let count = window.enumerated().reduce(1) { $0 * divisors[$1.offset][$1.element] }
          return pairwiseSum(values[...]) / Double(attributes.int("divisor_override") ?? count)
        }
      },
      gradient: .rule { b, node, _, g in
        let form = PoolForm(proved: node.attributes, rank: rank)
        let x = node.operands[0]
        let dtype = b.type(x).dtype
        let scaled = b.dividedByWindows(b.cast(g, to: dtype.arithmetic), form, node.attributes, b.type(x).shape)
        return [b.cast(b.spread(scaled, over: form, b.type(x).shape), to: dtype)]
      },
      lowering: .decompose { b, node in
        let form = PoolForm(proved: node.attributes, rank: rank)
        let shape = b.type(node.operands[0]).shape
        let wide = b.passed(node.operands[0], to: node.type.dtype.arithmetic)
        let (windows, places) = b.poolWindows(form, wide, Array(node.type.shape[2...]), outside: 0)
        let mean = b.dividedByWindows(b.sum(windows, places.inner), form, node.attributes, shape)
        return b.passed(mean, to: node.type.dtype)
      }, examples: poolExamples(rank, dilated: false))
  }
}

private func repeated(_ value: Int, _ count: Int) -> [Int] { [Int](repeating: value, count: count) }

private func poolSignature(_ rank: Int, _ more: [OpParameter]) -> [OpParameter] {
  [
    OpParameter("x", .tensor), OpParameter("kernel", .sizes(rank)),
    OpParameter("stride", .sizes(rank), isOptional: true),
    OpParameter("padding", .sizes(rank), default: .ints(repeated(0, rank))),
  ] + more
}

private func inferPool(_ rank: Int) -> InferRule {
  { (types, attributes) throws(OpError) in
    try requireCount(types, 1...1)
    let dtype = try joinedDType(types, .floats)
    if let divisor = attributes.int("divisor_override"), divisor == 0 {
      throw OpError("divisor_override is 0", note: "leave it out to divide by the count")
    }
    return TensorType(dtype, try PoolForm(attributes, rank: rank).shape(types[0].shape))
  }
}

private func poolExamples(_ rank: Int, dilated: Bool) -> [OpExample] {
  func example(
    _ sizes: [Int], kernel: Int, stride: Int?, padding: Int, dilation: Int = 1, ceils: Bool = false, counts: Bool = true
  ) -> OpExample {
    var attributes: Attributes = [
      "kernel": .ints(repeated(kernel, rank)), "padding": .ints(repeated(padding, rank)), "ceil_mode": .bool(ceils),
    ]
    if let stride { attributes["stride"] = .ints(repeated(stride, rank)) }
    attributes[dilated ? "dilation" : "count_include_pad"] = dilated ? .ints(repeated(dilation, rank)) : .bool(counts)
    return OpExample([([2, 2] + sizes.prefix(rank), .any)], attributes)
  }
  return [
    example([4, 6], kernel: 2, stride: nil, padding: 0),
    example([7, 6], kernel: 3, stride: 2, padding: 1, dilation: 2, ceils: true, counts: false),
    example([5, 4], kernel: 2, stride: 1, padding: 1, ceils: true),
    example([5, 7], kernel: 2, stride: 3, padding: 0, ceils: true),
  ]
}

extension PoolForm {
  func members(_ shape: [Int], _ result: [Int]) -> [[[Int]]] {
    (0..<rank).map { members(shape[$0 + 2], $0, count: result[$0 + 2]) }
  }
}

extension GraphBuilder {
  /// A pool's windows, and where their axes are.
  mutating func poolWindows(
    _ form: PoolForm, _ x: ValueID, _ counts: [Dim], outside: Double
  ) -> (value: ValueID, places: (outer: [Int], inner: [Int])) {
    slide(x, 2, (0..<form.rank).map { Slide(form.window($0), count: counts[$0]) }, outside: outside)
  }

  /// The largest elements have the gradient, of equals in a window the first.
  mutating func maxPoolGradient(_ form: PoolForm, _ x: ValueID, _ y: ValueID, _ g: ValueID) -> ValueID {
    let counts = Array(type(y).shape[2...])
    let (windows, places) = poolWindows(form, x, counts, outside: -.infinity)
    let shape = type(windows).shape
    let kept = shape.indices.filter { !places.inner.contains($0) }
    let taps = places.inner.map { shape[$0] }
    let count = form.kernel.reduce(1, *)
    let line = make(.iota, [], ["shape": .dims([Dim(count)]), "axis": .int(0), "dtype": .dtype(.i32)])
    let number = broadcast(reshape(line, to: taps), to: shape, axes: places.inner)
    let top = broadcast(y, to: shape, axes: kept)
    // Only a NaN differs from itself: it is the largest of its window.
    let isTop = make(.or, [make(.equal, [windows, top]), make(.notEqual, [windows, windows])])
    let none = constant(Double(count), TensorType(.i32, shape))
    let first = make(.min, [select(isTop, number, none)], ["axes": .ints(places.inner), "keep": .bool(false)])
    let isFirst = make(.equal, [number, broadcast(first, to: shape, axes: kept)])
    let spread = broadcast(g, to: shape, axes: kept)
    return gathered(select(isFirst, spread, zeros(type(spread))), form, type(x).shape)
  }

  /// A gradient of windows' results, given to each of their elements.
  mutating func spread(_ g: ValueID, over form: PoolForm, _ x: [Dim]) -> ValueID {
    let slides = (0..<form.rank).map { Slide(form.window($0), count: type(g).shape[$0 + 2]) }
    let places = Slide.places(slides, 2)
    var shape = Array(type(g).shape[..<2])
    for slide in slides { shape += slide.window.size > 1 ? [slide.count, Dim(slide.window.size)] : [slide.count] }
    return gathered(broadcast(g, to: shape, axes: [0, 1] + places.outer), form, x)
  }

  /// What windows' elements hold, summed for each element of x.
  private mutating func gathered(_ windows: ValueID, _ form: PoolForm, _ x: [Dim]) -> ValueID {
    let counts = (0..<form.rank).map { Slide(form.window($0), count: 1) }
    let places = Slide.places(counts, 2)
    var value = windows
    for axis in (0..<form.rank).reversed() {
      let (window, place) = (form.window(axis), places.outer[axis])
      var shape = type(value).shape
      if window.size == 1 {
        if window.stride == 1, window.low == 0 { continue }
        shape.insert(1, at: place + 1)
        value = reshape(value, to: shape)
      }
      value = overlapping(value, axis: place, window, length: x[axis + 2])
    }
    return value
  }

  /// Sums of windows, each divided by how many elements count.
  mutating func dividedByWindows(
    _ sums: ValueID, _ form: PoolForm, _ attributes: Attributes, _ x: [Dim]
  ) -> ValueID {
    let type = type(sums)
    if let divisor = attributes.int("divisor_override") { return div(sums, fill(Double(divisor), like: sums)) }
    var (constant, value) = (1.0, sums)
    for axis in 0..<form.rank {
      let count = type.shape[axis + 2].constant ?? 1
      let numbers = form.divisors(
        x[axis + 2].constant ?? 1, axis, count: count, countsPadding: attributes[bool: "count_include_pad"])
      if Set(numbers).count == 1 {
        constant *= Double(numbers[0])
      } else {
        let line = windowCounts(
          form, axis, attributes[bool: "count_include_pad"], x[axis + 2], TensorType(type.dtype, [type.shape[axis + 2]])
        )
        value = div(value, broadcast(line, to: type.shape, axes: [axis + 2]))
      }
    }
    return constant == 1 ? value : div(value, fill(constant, like: value))
  }

  /// ``PoolForm/divisors``, computed from the windows' numbers.
  private mutating func windowCounts(
    _ form: PoolForm, _ axis: Int, _ countsPadding: Bool, _ length: Dim, _ type: TensorType
  ) -> ValueID {
    let border = countsPadding ? form.padding[axis] : 0
    let number = make(.iota, [], ["shape": .dims(type.shape), "axis": .int(0), "dtype": .dtype(type.dtype)])
    let start = offset(scale(number, by: Double(form.stride[axis])), by: -Double(form.padding[axis]))
    let end = broadcast(dimension(checked(length.adding(Dim(border))), type.dtype), to: type.shape)
    let last = make(.minimum, [offset(start, by: Double(form.kernel[axis])), end])
    return sub(last, make(.maximum, [start, fill(-Double(border), like: start)]))
  }
}
