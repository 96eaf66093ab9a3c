import LTMIR

// Quantised operators, by their definition: integers are what a scale and a zero point make of floats.

extension OperatorTable {
  static let quantized: [String: OperatorRow] = [
    "QuantizeLinear": .one { call throws in
      let x = try call.input(0)
      let zero = call.optional(2)
      let asked = call.int("output_dtype").flatMap { ElementType(rawValue: Int32(clamping: $0)) }
      let element = zero?.element ?? asked ?? .uint8
      let axis = call.int("axis", 1)
      let scale = try call.spread(try call.input(1), over: x, axis)
      return try call.quantize(x, scale, try zero.map { try call.spread($0, over: x, axis) }, element)
    },
    "DequantizeLinear": .one { call throws in
      let x = try call.input(0)
      let axis = call.int("axis", 1)
      let scale = try call.spread(try call.input(1), over: x, axis)
      let zero = try call.optional(2).map { try call.spread($0, over: x, axis) }
      return try call.dequantize(x, scale, zero)
    },
    "DynamicQuantizeLinear": OperatorRow { call throws in
      let x = try call.named(0)
      let all = Attributes(dictionaryLiteral: ("axes", .ints(Array(0..<x.rank))), ("keep", .bool(false)))
      let high = try call.apply(.maximum, [try call.apply(.max, [x], all), call.number(0, like: x)])
      let low = call.named(try call.apply(.minimum, [try call.apply(.min, [x], all), call.number(0, like: x)]))
      let width = call.named(try call.sub(high, low))
      let scale = call.named(
        try call.div(try call.choose(try call.compare(.equal, width, 0), call.number(1, like: width), width), 255))
      let point = try call.unary(.round, try call.unary(.neg, try call.div(low, scale)))
      let zero = call.named(try call.cast(try call.clamped(point, 0...255), .uint8))
      return [try call.quantize(x, scale, zero, .uint8), scale, zero]
    },
    "MatMulInteger": .one { call throws in
      let (a, b) = (try call.input(0), try call.input(1))
      let left = try call.shifted(a, call.optional(2), axis: a.rank - 2)
      let right = try call.shifted(b, call.optional(3), axis: b.rank - 1)
      return try call.cast(try call.matmul(left, right), .int32)
    },
    "ConvInteger": .one { call throws in
      let left = try call.shifted(try call.input(0), call.optional(2), axis: 1)
      let right = try call.shifted(try call.input(1), call.optional(3), axis: 0)
      return try call.cast(try call.with([left, right]).convolution(), .int32)
    },
    "QLinearMatMul": .one { call throws in
      let (a, b) = (try call.input(0), try call.input(3))
      let left = try call.shifted(a, call.optional(2), axis: a.rank - 2)
      let right = try call.shifted(b, call.optional(5), axis: b.rank - 1)
      let scale = try call.div(try call.mul(try call.input(1), try call.input(4)), try call.input(6))
      return try call.rescaled(try call.matmul(left, right), scale, try call.input(7))
    },
    "QLinearConv": .one { call throws in
      let left = try call.shifted(try call.input(0), call.optional(2), axis: 1)
      let right = try call.shifted(try call.input(3), call.optional(5), axis: 0)
      let bias = try call.optional(8).map { try call.cast($0, .double) }
      let sum = try call.with([left, right] + (bias.map { [$0] } ?? [])).convolution()
      let ratio = try call.div(try call.mul(try call.input(1), try call.input(4)), try call.input(6))
      return try call.rescaled(sum, try call.spread(ratio, over: sum, 1), try call.input(7))
    },
  ]
}

extension NodeCall {
  /// A scale or a zero point of one number, of one for each index of an axis, or of one for each block along it.
  fileprivate func spread(_ value: Value, over x: Value, _ axis: Int) throws -> Value {
    if value.rank == 0 || value.shape == [1] { return try reshape(value, []) }
    let axis = try self.axis(axis, rank: x.rank)
    if value.rank == 1 {
      return try reshape(value, x.shape.indices.map { $0 == axis ? value.shape[0] : 1 })
    }
    guard value.rank == x.rank, let size = x.shape[axis].constant, let count = value.shape[axis].constant,
      count > 0, int("block_size", 0) > 0, size == count * int("block_size", 0)
    else { throw ImportProblem("its scale is \(shapeText(value.shape)) for \(shapeText(x.shape))") }
    let places = (0..<size).map { Dim($0 / int("block_size", 1)) }
    return try apply(.gather, [value, Value(sizes: places, shape: [size]).settled], ["axis": .int(axis)])
  }

  fileprivate func clamped(_ x: Value, _ range: ClosedRange<Double>) throws -> Value {
    let above = try apply(.maximum, [x, number(range.lowerBound, like: x)])
    return try apply(.minimum, [above, number(range.upperBound, like: x)])
  }

  fileprivate func quantize(_ x: Value, _ scale: Value, _ zero: Value?, _ element: ElementType) throws -> Value {
    guard let range = element.range else { throw ImportProblem("quantising to \(element.name) is not imported") }
    var steps = try unary(.round, try div(try cast(x, scale.element), scale))
    if let zero { steps = try add(steps, try cast(zero, scale.element)) }
    return try cast(try clamped(steps, range), element)
  }

  fileprivate func dequantize(_ x: Value, _ scale: Value, _ zero: Value?) throws -> Value {
    var steps = try cast(x, scale.element)
    if let zero { steps = try sub(steps, try cast(zero, scale.element)) }
    return try mul(steps, scale)
  }

  /// An integer less its zero point, exactly.
  fileprivate func shifted(_ x: Value, _ zero: Value?, axis: Int) throws -> Value {
    let wide = try cast(x, .double)
    guard let zero else { return wide }
    let point = zero.rank == x.rank && zero.rank > 1 ? zero : try spread(zero, over: x, axis)
    return try sub(wide, try cast(point, .double))
  }

  /// The integers of a sum under another scale.
  fileprivate func rescaled(_ sum: Value, _ scale: Value, _ zero: Value) throws -> Value {
    guard let range = zero.element.range else {
      throw ImportProblem("quantising to \(zero.element.name) is not imported")
    }
    let steps = try unary(.round, try mul(sum, try cast(scale, .double)))
    let point = try cast(zero.rank == 1 && zero.shape == [1] ? try reshape(zero, []) : zero, .double)
    return try cast(try clamped(try add(steps, point), range), zero.element)
  }

  /// The same node with other operands.
  fileprivate func with(_ inputs: [Value]) -> NodeCall {
    NodeCall(node: node, opset: opset, inputs: inputs, builder: builder, run: run)
  }
}
