import LTMIR

// Normalisations and softmax.

extension OperatorTable {
  static let normalizations: [String: OperatorRow] = [
    "Softmax": .one { call throws in try call.softmax(.softmax) },
    "LogSoftmax": .one { call throws in try call.softmax(.logSoftmax) },
    "BatchNormalization": OperatorRow { call throws in
      var operands = try call.operands()
      let attributes: Attributes = ["eps": .float(call.float("epsilon", 1e-5))]
      guard call.flag("training_mode") else { return [try call.apply(.batchNorm, operands, attributes)] }
      let (x, momentum) = (call.named(operands[0]), call.float("momentum", 0.9))
      let axes = Attribute.ints(x.shape.indices.filter { $0 != 1 })
      let mean = call.named(try call.apply(.mean, [x], ["axes": axes]))
      let variance = call.named(try call.apply(.variance, [x], ["axes": axes, "correction": .int(0)]))
      let running = try zip([mean, variance], operands[3...]).map { new, old in
        try call.add(try call.mul(old, momentum), try call.mul(new, 1 - momentum))
      }
      operands = [x, operands[1], operands[2], mean, variance]
      return [try call.apply(.batchNorm, operands, attributes)] + running
    },
    "InstanceNormalization": .one { call throws in
      let x = try call.input(0)
      guard x.rank >= 3, let channels = x.shape[1].constant else { throw ImportProblem("its channels are not known") }
      return try call.apply(
        .groupNorm, try call.operands(), ["groups": .int(channels), "eps": .float(call.float("epsilon", 1e-5))])
    },
    "GroupNormalization": .one(since: 18) { call throws in
      let operands = try call.operands()
      guard call.opset >= 21 else { throw ImportProblem("its scale has one number for each group before opset 21") }
      return try call.apply(
        .groupNorm, operands, ["groups": .int(call.int("num_groups", 1)), "eps": .float(call.float("epsilon", 1e-5))])
    },
    "LayerNormalization": OperatorRow(since: 17) { call throws in try call.layerNorm() },
    "RMSNormalization": .one { call throws in
      let (x, weight) = (call.named(try call.input(0)), try call.input(1))
      let axis = try call.axis(call.int("axis", -1), rank: x.rank)
      let eps = call.float("epsilon", 1e-5)
      if axis == x.rank - 1, weight.shape == [x.shape[axis]] {
        return try call.apply(.rmsNorm, [x, weight], ["eps": .float(eps)])
      }
      let axes = Attribute.ints(Array(axis..<x.rank))
      let mean = try call.apply(.mean, [try call.unary(.square, x)], ["axes": axes, "keep": .bool(true)])
      return try call.mul(try call.mul(x, try call.unary(.rsqrt, try call.add(mean, eps))), weight)
    },
    "LpNormalization": .one { call throws in
      let x = try call.named(0)
      let axis = try call.axis(call.int("axis", -1), rank: x.rank)
      let attributes: Attributes = ["axes": .ints([axis]), "keep": .bool(true)]
      let isFirst = call.int("p", 2) == 1
      let sum = try call.apply(.sum, [try call.unary(isFirst ? .abs : .square, x)], attributes)
      let norm = call.named(isFirst ? sum : try call.unary(.sqrt, sum))
      // A row of zeros stays one.
      return try call.div(x, try call.choose(try call.compare(.equal, norm, 0), call.number(1, like: norm), norm))
    },
    "MeanVarianceNormalization": .one { call throws in
      let x = try call.named(0)
      let axes = Attribute.ints(try call.axes(call.ints("axes") ?? [0, 2, 3], rank: x.rank))
      let centred = call.named(
        try call.sub(x, try call.apply(.mean, [x], ["axes": axes, "keep": .bool(true)])))
      let variance = try call.apply(.mean, [try call.unary(.square, centred)], ["axes": axes, "keep": .bool(true)])
      return try call.div(centred, try call.add(try call.unary(.sqrt, variance), 1e-9))
    },
    "LRN": .one { call throws in
      let x = try call.named(0)
      let size = call.int("size", 1)
      guard x.rank >= 2, (1...1024).contains(size) else { throw ImportProblem("its size is \(size)") }
      let before = (size - 1) / 2
      let square = call.named(
        try call.apply(
          .pad, [try call.unary(.square, x)],
          ["axis": .int(1), "low": .int(before), "high": .int(size - 1 - before), "value": .float(0)]))
      var parts: [Value] = []
      for index in 0..<size {
        let limit = try call.dim(x.shape[1].adding(Dim(index)))
        parts.append(try call.slice(square, axis: 1, from: Dim(index), to: limit))
      }
      let sum = try call.mul(try call.combined(.add, parts), call.float("alpha", 1e-4) / Double(size))
      let base = try call.add(sum, call.float("bias", 1))
      return try call.div(x, try call.power(base, call.number(call.float("beta", 0.75), like: base)))
    },
  ]
}

extension NodeCall {
  /// Up to opset 12 the axes from `axis` on are one.
  fileprivate func softmax(_ op: Op) throws -> Value {
    let x = try input(0)
    let axis = try axis(int("axis", opset < 13 ? 1 : -1), rank: x.rank)
    guard opset < 13, axis < x.rank - 1 else { return try apply(op, [x], ["axis": .int(axis)]) }
    let flat = try reshape(x, [try product(x.shape[..<axis]), try product(x.shape[axis...])])
    return try reshape(try apply(op, [flat], ["axis": .int(1)]), x.shape)
  }

  fileprivate func layerNorm() throws -> [Value] {
    let (x, weight) = (named(try input(0)), try input(1))
    let axis = try axis(int("axis", -1), rank: x.rank)
    let eps = float("epsilon", 1e-5)
    let isPlain = axis == x.rank - 1 && weight.shape == [x.shape[axis]] && node.outputs.count == 1
    if isPlain {
      let bias = try optional(2) ?? full(weight.shape, 0, like: weight)
      return [try apply(.layerNorm, [x, weight, bias], ["eps": .float(eps)])]
    }
    let axes = Attribute.ints(Array(axis..<x.rank))
    let mean = named(try apply(.mean, [x], ["axes": axes, "keep": .bool(true)]))
    let centred = named(try sub(x, mean))
    let variance = try apply(.mean, [try unary(.square, centred)], ["axes": axes, "keep": .bool(true)])
    let inverse = named(try unary(.rsqrt, try add(variance, eps)))
    let scaled = try mul(try mul(centred, inverse), weight)
    return [try optional(2).map { try add(scaled, $0) } ?? scaled, mean, inverse]
  }
}
