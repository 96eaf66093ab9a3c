import LTMIR

// Convolutions, pools and what changes the size of images.

extension OperatorTable {
  static let windows: [String: OperatorRow] = [
    "Conv": .one { call throws in try call.convolution() },
    "ConvTranspose": .one { call throws in try call.transposedConvolution() },
    "MaxPool": .one { call throws in
      guard call.node.outputs.count < 2 || call.node.outputs[1].isEmpty else {
        throw ImportProblem("the indices of a pool are not imported")
      }
      return try call.pool(isMax: true)
    },
    "AveragePool": .one { call throws in try call.pool(isMax: false) },
    "GlobalAveragePool": .one { call throws in try call.globalPool(.mean) },
    "GlobalMaxPool": .one { call throws in try call.globalPool(.max) },
    "LpPool": .one { call throws in
      let (x, p) = (try call.input(0), Double(call.int("p", 2)))
      let kernel = call.ints("kernel_shape") ?? []
      let powers = try call.power(try call.unary(.abs, x), call.number(p, like: x))
      let sum = try call.mul(
        try call.pool(isMax: false, of: powers, countsPadding: true), kernel.reduce(1.0) { $0 * Double($1) })
      return try call.power(sum, call.number(1 / p, like: sum))
    },
    "GlobalLpPool": .one { call throws in
      guard call.int("p", 2) == 2 else { throw ImportProblem("a pool by another norm than 2 is not imported") }
      let x = try call.input(0)
      let axes = Attribute.ints(Array(2..<max(x.rank, 2)))
      return try call.unary(
        .sqrt, try call.apply(.sum, [try call.unary(.square, x)], ["axes": axes, "keep": .bool(true)]))
    },
    "Resize": .one { call throws in try call.resized() },
    "Upsample": .one { call throws in try call.resized() },
  ]
}

/// How windows lie on the spatial axes of an operator.
struct WindowArguments {
  var kernel: [Int]
  var stride: [Int]
  var dilation: [Int]
  /// Padding before and after each axis.
  var low: [Int]
  var high: [Int]

  var isEven: Bool { low == high }

  /// As an op of the language has it: a number for each axis, or one before and one after each.
  var padding: [Int] { isEven ? low : zip(low, high).flatMap { [$0, $1] } }
}

extension NodeCall {
  func window(_ x: Value, _ kernel: [Int]) throws -> WindowArguments {
    let rank = x.rank - 2
    guard rank >= 1, kernel.count == rank, kernel.allSatisfy({ $0 > 0 }) else {
      throw ImportProblem("its kernel is \(kernel) for \(shapeText(x.shape))")
    }
    let ones = [Int](repeating: 1, count: rank)
    var form = WindowArguments(
      kernel: kernel, stride: ints("strides") ?? ones, dilation: ints("dilations") ?? ones, low: ones, high: ones)
    let pads = ints("pads") ?? [Int](repeating: 0, count: 2 * rank)
    guard pads.count == 2 * rank, form.stride.count == rank, form.dilation.count == rank else {
      throw ImportProblem("its strides, dilations and pads are not those of \(rank) axes")
    }
    let all = form.kernel + form.stride + form.dilation + pads
    guard all.allSatisfy({ (0..<1 << 31).contains($0) }), (form.stride + form.dilation).allSatisfy({ $0 > 0 }) else {
      throw ImportProblem("its strides, dilations or pads are none that windows have")
    }
    (form.low, form.high) = (Array(pads[..<rank]), Array(pads[rank...]))
    let mode = string("auto_pad", "NOTSET")
    if mode == "VALID" { (form.low, form.high) = (ones.map { _ in 0 }, ones.map { _ in 0 }) }
    if mode == "SAME_UPPER" || mode == "SAME_LOWER" {
      for axis in 0..<rank {
        let all = try samePadding(x.shape[axis + 2], form, axis)
        let less = all / 2
        (form.low[axis], form.high[axis]) = mode == "SAME_UPPER" ? (less, all - less) : (all - less, less)
      }
    }
    return form
  }

  private func samePadding(_ size: Dim, _ form: WindowArguments, _ axis: Int) throws -> Int {
    let (stride, reach) = (form.stride[axis], form.dilation[axis] * (form.kernel[axis] - 1) + 1)
    if stride == 1 { return reach - 1 }
    guard let length = size.constant, length < 1 << 31 else {
      throw ImportProblem(
        "padding that keeps the size \(size) with the stride \(stride) is not known; --dim may settle it")
    }
    let count = (length + stride - 1) / stride
    return max(0, (count - 1) * stride + reach - length)
  }

  func convolution() throws -> Value {
    let (x, weight) = (try input(0), try input(1))
    let taps = weight.shape.dropFirst(2).compactMap(\.constant)
    let form = try window(x, ints("kernel_shape") ?? taps)
    let op = try rowOp([.conv1d, .conv2d, .conv3d], x)
    return try apply(
      op, [x, weight] + (optional(2).map { [$0] } ?? []),
      [
        "stride": .ints(form.stride), "padding": .ints(form.padding), "dilation": .ints(form.dilation),
        "groups": .int(int("group", 1)),
      ])
  }

  private func rowOp(_ ops: [Op], _ x: Value) throws -> Op {
    guard ops.indices.contains(x.rank - 3) else {
      throw ImportProblem("it slides over \(x.rank - 2) axes, and that is not imported")
    }
    return ops[x.rank - 3]
  }

  fileprivate func transposedConvolution() throws -> Value {
    let (x, weight) = (try input(0), try input(1))
    var form = try window(x, ints("kernel_shape") ?? weight.shape.dropFirst(2).compactMap(\.constant))
    let rank = form.kernel.count
    var extra = ints("output_padding") ?? [Int](repeating: 0, count: rank)
    let target = ints("output_shape")
    guard extra.count == rank, target.map({ $0.count >= rank }) ?? true,
      (extra + (target ?? [])).allSatisfy({ (0..<1 << 31).contains($0) })
    else { throw ImportProblem("its output_padding or output_shape is none of \(rank) axes") }
    for axis in 0..<rank {
      let reach = form.dilation[axis] * (form.kernel[axis] - 1) + 1
      let mode = string("auto_pad", "NOTSET")
      let isSame = mode == "SAME_UPPER" || mode == "SAME_LOWER"
      guard isSame || target != nil else { continue }
      guard let length = x.shape[axis + 2].constant, length < 1 << 31 else {
        throw ImportProblem("its output_shape asks for a known size; --dim may settle it")
      }
      let wanted = target.map { $0[$0.count - rank + axis] } ?? length * form.stride[axis]
      let all = form.stride[axis] * (length - 1) + extra[axis] + reach - wanted
      if all < 0 {
        extra[axis] -= all
        (form.low[axis], form.high[axis]) = (0, 0)
      } else {
        let less = all / 2
        (form.low[axis], form.high[axis]) = mode == "SAME_UPPER" ? (less, all - less) : (all - less, less)
      }
    }
    return try transposedConvolution(x, weight, form, extra)
  }

  /// Padding that differs before and after: the least of both, and the rest is cut off.
  private func transposedConvolution(
    _ x: Value, _ weight: Value, _ form: WindowArguments, _ extra: [Int]
  ) throws -> Value {
    let op = try rowOp([.convTranspose1d, .convTranspose2d], x)
    let even = zip(form.low, form.high).map { min($0, $1) }
    var result = try apply(
      op, [x, weight] + (optional(2).map { [$0] } ?? []),
      [
        "stride": .ints(form.stride), "padding": .ints(even), "output_padding": .ints(extra),
        "dilation": .ints(form.dilation), "groups": .int(int("group", 1)),
      ])
    for axis in even.indices where !form.isEven {
      let (low, high) = (form.low[axis] - even[axis], form.high[axis] - even[axis])
      let limit = try dim(result.shape[axis + 2].subtracting(Dim(high)))
      result = try slice(result, axis: axis + 2, from: Dim(low), to: limit)
    }
    return result
  }

  // MARK: Pools

  func pool(isMax: Bool) throws -> Value {
    try pool(isMax: isMax, of: try input(0), countsPadding: flag("count_include_pad"))
  }

  /// Padding that differs before and after is laid on first; a mean that does not count it is over a mask.
  func pool(isMax: Bool, of given: Value, countsPadding: Bool) throws -> Value {
    let isWide = given.dtype.isFloating
    let x = isWide ? given : try cast(given, .float)
    let form = try window(x, ints("kernel_shape") ?? [])
    guard form.kernel.count <= 2, isMax || form.dilation.allSatisfy({ $0 == 1 }) else {
      return try wideWindows(x, form, isMax: isMax, countsPadding: countsPadding)
    }
    let ceil = flag("ceil_mode")
    let fits = form.isEven && zip(form.low, form.kernel).allSatisfy { 2 * $0 <= $1 }
    guard fits else {
      guard !ceil || isMax || countsPadding else { throw ImportProblem("this padding with ceil_mode is not imported") }
      return try paddedPool(x, form, isMax: isMax, ceil: ceil, countsPadding: countsPadding)
    }
    let result = try pooled(
      x, form, form.low, isMax: isMax, ceil: ceil, countsPadding: countsPadding || form.low.allSatisfy { $0 == 0 })
    return isWide ? result : try cast(result, given.element)
  }

  private func pooled(
    _ x: Value, _ form: WindowArguments, _ padding: [Int], isMax: Bool, ceil: Bool, countsPadding: Bool
  ) throws -> Value {
    let op: Op = form.kernel.count == 1 ? (isMax ? .maxPool1d : .avgPool1d) : (isMax ? .maxPool2d : .avgPool2d)
    var attributes: Attributes = [
      "kernel": .ints(form.kernel), "stride": .ints(form.stride), "padding": .ints(padding), "ceil_mode": .bool(ceil),
    ]
    if isMax {
      attributes["dilation"] = .ints(form.dilation)
    } else {
      attributes["count_include_pad"] = .bool(countsPadding)
    }
    return try apply(op, [x], attributes)
  }

  private func paddedPool(
    _ x: Value, _ form: WindowArguments, isMax: Bool, ceil: Bool, countsPadding: Bool
  ) throws -> Value {
    func laid(_ x: Value, _ value: Double) throws -> Value {
      var result = x
      for axis in form.kernel.indices where form.low[axis] + form.high[axis] > 0 {
        result = try apply(
          .pad, [result],
          [
            "axis": .int(axis + 2), "low": .int(form.low[axis]), "high": .int(form.high[axis]), "value": .float(value),
          ])
      }
      return result
    }
    let none = form.kernel.map { _ in 0 }
    let wide = try laid(x, isMax ? -.infinity : 0)
    let result = try pooled(wide, form, none, isMax: isMax, ceil: ceil, countsPadding: true)
    if isMax || countsPadding { return result }
    let ones = try full([1, 1] + x.shape[2...], 1, like: x)
    let share = try pooled(try laid(ones, 0), form, none, isMax: false, ceil: ceil, countsPadding: true)
    return try div(result, share)
  }

  /// Windows that the language does not pool: one axis after the other, each place of a window a slice with steps.
  private func wideWindows(
    _ x: Value, _ form: WindowArguments, isMax: Bool, countsPadding: Bool
  ) throws -> Value {
    let wide = try slid(x, form, outside: isMax ? -.infinity : 0, isMax: isMax)
    if isMax { return wide }
    let ones = try full([1, 1] + x.shape[2...], 1, like: x)
    if !countsPadding { return try div(wide, try slid(ones, form, outside: 0, isMax: false)) }
    // What a rounded-up window has beyond the padding is no part of it.
    return try div(wide, try slid(ones, form, outside: 1, beyond: 0, isMax: false))
  }

  private func slid(
    _ x: Value, _ form: WindowArguments, outside: Double, beyond: Double? = nil, isMax: Bool
  ) throws -> Value {
    var result = x
    for axis in form.kernel.indices {
      let (step, reach) = (form.stride[axis], form.dilation[axis] * (form.kernel[axis] - 1) + 1)
      guard let length = result.shape[axis + 2].constant, length < 1 << 31 else {
        throw ImportProblem("this pool over an axis of \(result.shape[axis + 2]) is not imported; --dim may settle it")
      }
      let room = length + form.low[axis] + form.high[axis] - reach
      guard room >= 0, form.kernel[axis] <= 4096 else { throw ImportProblem("its windows are longer than the axis") }
      var count = (flag("ceil_mode") ? (room + step - 1) / step : room / step) + 1
      if flag("ceil_mode"), (count - 1) * step >= length + form.low[axis] { count -= 1 }
      let extra = max(0, (count - 1) * step + reach - (length + form.low[axis] + form.high[axis]))
      func laid(_ x: Value, _ low: Int, _ high: Int, _ value: Double) throws -> Value {
        if low + high == 0 { return x }
        return try apply(
          .pad, [x], ["axis": .int(axis + 2), "low": .int(low), "high": .int(high), "value": .float(value)])
      }
      let padded = named(
        try laid(try laid(result, form.low[axis], form.high[axis], outside), 0, extra, beyond ?? outside))
      let parts = try (0..<form.kernel[axis]).map { place in
        try picked(
          padded, axis: axis + 2, first: Dim(place * form.dilation[axis]), step: step, count: Dim(count))
      }
      result = named(try combined(isMax ? .maximum : .add, parts))
    }
    return result
  }

  fileprivate func globalPool(_ op: Op) throws -> Value {
    let x = try input(0)
    guard x.rank >= 3 else { throw ImportProblem("its operand is \(shapeText(x.shape))") }
    return try apply(op, [x], ["axes": .ints(Array(2..<x.rank)), "keep": .bool(true)])
  }
}
