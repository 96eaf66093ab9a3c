import LTMIR

// Reductions, losses excepted.

extension OperatorTable {
  static let reductions: [String: OperatorRow] = [
    "ReduceSum": .reduction { call, x, axes throws in try call.reduced(.sum, x, axes) },
    "ReduceMean": .reduction { call, x, axes throws in try call.reduced(.mean, x, axes) },
    "ReduceMax": .reduction { call, x, axes throws in try call.reduced(.max, x, axes) },
    "ReduceMin": .reduction { call, x, axes throws in try call.reduced(.min, x, axes) },
    "ReduceProd": .reduction { call, x, axes throws in try call.reduced(.prod, x, axes) },
    "ReduceL1": .reduction { call, x, axes throws in
      try call.reduced(.sum, try call.unary(.abs, x), axes)
    },
    "ReduceL2": .reduction { call, x, axes throws in
      let sum = try call.reduced(.sum, try call.unary(.square, x), axes)
      return sum.dtype.isFloating
        ? try call.unary(.sqrt, sum) : try call.cast(try call.unary(.sqrt, try call.cast(sum, .double)), x.element)
    },
    "ReduceSumSquare": .reduction { call, x, axes throws in
      try call.reduced(.sum, try call.unary(.square, x), axes)
    },
    "ReduceLogSum": .reduction { call, x, axes throws in
      try call.unary(.log, try call.reduced(.sum, x, axes))
    },
    "ReduceLogSumExp": .reduction { call, x, axes throws in try call.reduced(.logsumexp, x, axes) },
  ]
}

extension OperatorRow {
  /// A reduction over axes, which are an attribute or an operand; without any, over all, or none where that is asked for.
  static func reduction(
    _ body: @escaping @Sendable (NodeCall, Value, [Int]) throws -> Value
  ) -> OperatorRow {
    one { call throws in
      let x = try call.input(0)
      let axes = try call.ints("axes", orInput: 1) ?? []
      if axes.isEmpty, call.flag("noop_with_empty_axes") {
        return try body(call, x, [])
      }
      return try body(call, x, axes.isEmpty ? Array(0..<x.rank) : try call.axes(axes, rank: x.rank))
    }
  }
}

extension NodeCall {
  func reduced(_ op: Op, _ x: Value, _ axes: [Int]) throws -> Value {
    if axes.isEmpty { return x }
    if x.dtype == .bool {
      let whole = try reduced(op, try cast(x, .int32), axes)
      return try cast(whole, .bool)
    }
    let result = try apply(
      op, [x], ["axes": .ints(axes), "keep": .bool(flag("keepdims", true))], element: x.element)
    return result.dtype == x.dtype ? result : try cast(result, x.element)
  }
}
