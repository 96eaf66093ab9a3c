// Pools whose windows follow from how many there shall be: window `o` of `count` begins at `floor(o * size / count)` and ends before
// `ceil((o + 1) * size / count)`. With one window along each axis they are global pools.

extension OpDefinition {
  static let adaptiveAvgPool1d = adaptivePool(rank: 1, isMax: false)
  static let adaptiveAvgPool2d = adaptivePool(rank: 2, isMax: false)
  static let adaptiveMaxPool1d = adaptivePool(rank: 1, isMax: true)
  static let adaptiveMaxPool2d = adaptivePool(rank: 2, isMax: true)

  private static func adaptivePool(rank: Int, isMax: Bool) -> OpDefinition {
    OpDefinition(
      "The \(isMax ? "largest" : "mean") of each of `output` windows that cover an axis evenly; with 1, of the whole axis.",
      signature: [OpParameter("x", .tensor), OpParameter("output", .sizes(rank))], precision: .follow,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 1...1)
        let dtype = try joinedDType(types, .floats)
        try requirePooled(types[0].shape, rank)
        let output = try attributes.required("output", attributes.ints("output"))
        guard output.count == rank, output.allSatisfy({ $0 >= 1 && $0 < 1 << 31 }) else {
          throw OpError("output is \(output), and it is a number of 1 or more for each of \(rank) axes")
        }
        return TensorType(dtype, types[0].shape[..<2] + output.map { Dim($0) })
      },
      evaluate: { x, attributes, result in
        let members = attributes[ints: "output"].enumerated().map { axis, count in
          covering(x[0].shape[axis + 2], count).map(Array.init)
        }
        return x[0].pooled(members) { values, _ in
          isMax ? largest(values) : pairwiseSum(values[...]) / Double(values.count)
        }
      },
      gradient: .rule { b, node, value, g in [adaptiveGradient(&b, node, value, g, isMax: isMax)] },
      lowering: .decompose { b, node in
        if let form = evenForm(b.type(node.operands[0]).shape, node) {
          return b.make(isMax ? .maxPool(rank) : .avgPool(rank), [node.operands[0]], form.poolAttributes(isMax: isMax))
        }
        var value = b.passed(node.operands[0], to: isMax ? node.type.dtype : node.type.dtype.arithmetic)
        for axis in (2..<node.type.rank).reversed() {
          value =
            isMax
            ? b.coveringMax(value, axis, node.type.shape[axis]) : b.coveringMean(value, axis, node.type.shape[axis])
        }
        return b.passed(value, to: node.type.dtype)
      },
      examples: [([4, 6], [2, 3]), ([5, 7], [3, 4]), ([3, 2], [5, 1])].map { (sizes: [Int], output: [Int]) in
        OpExample([([2, 2] + sizes.prefix(rank), .any)], ["output": .ints(Array(output.prefix(rank)))])
      })
  }
}

/// The elements of each window.
private func covering(_ length: Int, _ count: Int) -> [Range<Int>] {
  (0..<count).map { $0 * length / count..<(($0 + 1) * length + count - 1) / count }
}

/// The pool that it is where all windows are equal; `nil` where they are not.
private func evenForm(_ x: [Dim], _ node: Node) -> PoolForm? {
  let lengths = zip(x[2...], node.attributes[ints: "output"]).map { $0.dividedExactly(by: Dim($1))?.constant }
  let even = lengths.compactMap { $0 }
  return even.count == lengths.count ? PoolForm(sideBySide: even) : nil
}

private func adaptiveGradient(
  _ b: inout GraphBuilder, _ node: Node, _ value: ValueID, _ g: ValueID, isMax: Bool
) -> ValueID {
  let x = node.operands[0]
  let (shape, dtype) = (b.type(x).shape, b.type(x).dtype)
  if let form = evenForm(shape, node) {
    if isMax { return b.maxPoolGradient(form, x, value, g) }
    let wide = b.cast(g, to: dtype.arithmetic)
    let scaled = b.dividedByWindows(wide, form, form.poolAttributes(isMax: false), shape)
    return b.cast(b.spread(scaled, over: form, shape), to: dtype)
  }
  // The pools of each axis, the last first, and their gradients the other way.
  var steps = [isMax ? x : b.cast(x, to: dtype.arithmetic)]
  for axis in (2..<shape.count).reversed() where isMax {
    steps.append(b.coveringMax(steps[steps.count - 1], axis, node.type.shape[axis]))
  }
  var gradient = b.cast(g, to: dtype.arithmetic)
  for axis in 2..<shape.count {
    let step = shape.count - 1 - axis
    gradient =
      isMax
      ? b.coveringMaxGradient(steps[step], steps[step + 1], axis, gradient)
      : b.coveringMeanGradient(gradient, axis, shape[axis])
  }
  return b.cast(gradient, to: dtype)
}

extension Op {
  fileprivate static func maxPool(_ rank: Int) -> Op { rank == 1 ? .maxPool1d : .maxPool2d }
  fileprivate static func avgPool(_ rank: Int) -> Op { rank == 1 ? .avgPool1d : .avgPool2d }
}

extension PoolForm {
  fileprivate func poolAttributes(isMax: Bool) -> Attributes {
    var attributes: Attributes = [
      "kernel": .ints(kernel), "stride": .ints(stride), "padding": .ints(padding), "ceil_mode": .bool(false),
    ]
    attributes[isMax ? "dilation" : "count_include_pad"] = isMax ? .ints(dilation) : .bool(true)
    return attributes
  }
}

extension GraphBuilder {
  /// Whether window `o` holds element `i`, spread over `shape`: `o` and `i` are its axes from `axis` on.
  private mutating func isCovered(_ shape: [Dim], _ axis: Int) -> ValueID {
    let (count, length) = (shape[axis], shape[axis + 1])
    func product(_ of: Int, _ plus: Double, _ factor: Dim, _ b: inout GraphBuilder) -> ValueID {
      let type = TensorType(.i64, [count, length])
      let index = b.make(.iota, [], ["shape": .dims(type.shape), "axis": .int(of), "dtype": .dtype(.i64)])
      let start = plus == 0 ? index : b.add(index, b.constant(plus, type))
      return b.mul(start, b.broadcast(b.dimension(factor, .i64), to: type.shape))
    }
    let hasBegun = make(.less, [product(0, 0, length, &self), product(1, 1, count, &self)])
    let goesOn = make(.less, [product(1, 0, count, &self), product(0, 1, length, &self)])
    return broadcast(make(.and, [hasBegun, goesOn]), to: shape, axes: [axis, axis + 1])
  }

  /// `x` for each window of an axis, a number where the window does not hold an element; and the shape `[..., o, i, ...]`.
  private mutating func covered(_ x: ValueID, _ axis: Int, _ count: Dim, outside: Double) -> ValueID {
    var shape = type(x).shape
    shape.insert(count, at: axis)
    let spread = broadcast(x, to: shape, axes: shape.indices.filter { $0 != axis })
    return select(isCovered(shape, axis), spread, fill(outside, like: spread))
  }

  fileprivate mutating func coveringMax(_ x: ValueID, _ axis: Int, _ count: Dim) -> ValueID {
    make(.max, [covered(x, axis, count, outside: -.infinity)], ["axes": .ints([axis + 1]), "keep": .bool(false)])
  }

  /// How many elements each window has, spread over a shape.
  private mutating func coverCounts(_ dtype: DType, _ shape: [Dim], _ axis: Int, of length: Dim) -> ValueID {
    let inside = cast(isCovered([shape[axis], length], 0), to: dtype)
    return broadcast(sum(inside, [1]), to: shape, axes: [axis])
  }

  fileprivate mutating func coveringMean(_ x: ValueID, _ axis: Int, _ count: Dim) -> ValueID {
    let total = sum(covered(x, axis, count, outside: 0), [axis + 1])
    return div(total, coverCounts(type(x).dtype, type(total).shape, axis, of: type(x).shape[axis]))
  }

  /// What a window's result has, given to each of its elements, `where` a value over `[..., o, i, ...]` says so.
  private mutating func given(_ g: ValueID, _ axis: Int, _ length: Dim, where holds: ValueID) -> ValueID {
    var shape = type(g).shape
    shape.insert(length, at: axis + 1)
    let spread = broadcast(g, to: shape, axes: shape.indices.filter { $0 != axis + 1 })
    return sum(select(holds, spread, zeros(type(spread))), [axis])
  }

  fileprivate mutating func coveringMeanGradient(_ g: ValueID, _ axis: Int, _ length: Dim) -> ValueID {
    let shape = type(g).shape
    let shares = div(g, coverCounts(type(g).dtype, shape, axis, of: length))
    var all = shape
    all.insert(length, at: axis + 1)
    return given(shares, axis, length, where: isCovered(all, axis))
  }

  fileprivate mutating func coveringMaxGradient(_ x: ValueID, _ y: ValueID, _ axis: Int, _ g: ValueID) -> ValueID {
    let (count, length) = (type(y).shape[axis], type(x).shape[axis])
    let values = covered(x, axis, count, outside: -.infinity)
    let shape = type(values).shape
    let kept = shape.indices.filter { $0 != axis + 1 }
    let isTop = make(
      .or, [make(.equal, [values, broadcast(y, to: shape, axes: kept)]), make(.notEqual, [values, values])])
    let number = make(.iota, [], ["shape": .dims(shape), "axis": .int(axis + 1), "dtype": .dtype(.i32)])
    let none = broadcast(dimension(length, .i32), to: shape, axes: [])
    let found = make(.and, [isTop, isCovered(shape, axis)])
    let first = make(.min, [select(found, number, none)], ["axes": .ints([axis + 1]), "keep": .bool(false)])
    let isFirst = make(.equal, [number, broadcast(first, to: shape, axes: kept)])
    return given(g, axis, length, where: isFirst)
  }
}
