import LTMIR

// Elementwise functions of one operand.

extension OperatorTable {
  static let activations: [String: OperatorRow] = [
    "Abs": .same(.abs), "Neg": .same(.neg), "Sign": .same(.sign),
    "Sqrt": .same(.sqrt), "Exp": .same(.exp), "Log": .same(.log), "Sin": .same(.sin), "Cos": .same(.cos),
    "Tanh": .same(.tanh), "Erf": .same(.erf), "Floor": .same(.floor), "Ceil": .same(.ceil), "Round": .same(.round),
    "Sigmoid": .same(.sigmoid), "Softplus": .same(.softplus), "Reciprocal": .same(.reciprocal),
    "Relu": .one { call throws in
      let x = try call.input(0)
      return x.dtype.isFloating
        ? try call.unary(.relu, x) : try call.apply(.maximum, [x, call.number(0, like: x)])
    },
    "LeakyRelu": .one { call throws in
      try call.apply(.leakyRelu, [try call.input(0)], ["slope": .float(call.float("alpha", 0.01))])
    },
    "PRelu": .one { call throws in
      let x = try call.named(0)
      let slope = try call.input(1)
      return try call.choose(try call.compare(.less, x, 0), try call.mul(slope, x), x)
    },
    "Elu": .one { call throws in try call.elu(try call.named(0), call.float("alpha", 1), 1) },
    "Celu": .one { call throws in
      let x = try call.named(0)
      let alpha = call.float("alpha", 1)
      let low = try call.mul(try call.unary(.expm1, try call.div(x, alpha)), alpha)
      return try call.choose(try call.compare(.less, x, 0), low, x)
    },
    "Selu": .one { call throws in
      try call.elu(
        try call.named(0), call.float("alpha", 1.67326319217681884765625),
        call.float("gamma", 1.05070102214813232421875))
    },
    "Gelu": .one { call throws in
      try call.unary(call.string("approximate", "none") == "tanh" ? .geluTanh : .gelu, try call.input(0))
    },
    "HardSigmoid": .one { call throws in
      try call.hardSigmoid(try call.input(0), call.float("alpha", 0.2), call.float("beta", 0.5))
    },
    "HardSwish": .one { call throws in
      let x = try call.named(0)
      return try call.mul(x, try call.hardSigmoid(x, 1.0 / 6, 0.5))
    },
    "Mish": .one { call throws in
      let x = try call.named(0)
      return try call.mul(x, try call.unary(.tanh, try call.unary(.softplus, x)))
    },
    "Swish": .one { call throws in
      let x = try call.named(0)
      let alpha = call.float("alpha", 1)
      return alpha == 1
        ? try call.unary(.silu, x) : try call.mul(x, try call.unary(.sigmoid, try call.mul(x, alpha)))
    },
    "Softsign": .one { call throws in
      let x = try call.named(0)
      return try call.div(x, try call.add(try call.unary(.abs, x), 1))
    },
    "ThresholdedRelu": .one { call throws in
      let x = try call.named(0)
      return try call.choose(
        try call.compare(.greater, x, call.float("alpha", 1)), x, call.number(0, like: x))
    },
    "Shrink": .one { call throws in
      let x = try call.named(0)
      let (bias, lambda) = (call.float("bias", 0), call.float("lambd", 0.5))
      let high = try call.choose(
        try call.compare(.greater, x, lambda), try call.sub(x, bias), call.number(0, like: x))
      return try call.choose(try call.compare(.less, x, -lambda), try call.add(x, bias), high)
    },
    "Tan": .one { call throws in
      let x = try call.named(0)
      return try call.div(try call.unary(.sin, x), try call.unary(.cos, x))
    },
    "Sinh": .one { call throws in
      // By expm1, exact near 0.
      let e = call.named(try call.unary(.expm1, try call.input(0)))
      return try call.mul(try call.add(e, try call.div(e, try call.add(e, 1))), 0.5)
    },
    "Cosh": .one { call throws in
      let x = try call.named(0)
      return try call.mul(try call.add(try call.unary(.exp, x), try call.unary(.exp, try call.unary(.neg, x))), 0.5)
    },
    "Asinh": .one { call throws in
      let x = try call.named(0)
      let size = call.named(try call.unary(.abs, x))
      let root = try call.unary(.sqrt, try call.add(try call.unary(.square, size), 1))
      let ratio = try call.div(try call.unary(.square, size), try call.add(root, 1))
      return try call.mul(try call.unary(.sign, x), try call.unary(.log1p, try call.add(size, ratio)))
    },
    "Acosh": .one { call throws in
      let x = try call.named(0)
      let root = try call.unary(.sqrt, try call.sub(try call.unary(.square, x), 1))
      return try call.unary(.log, try call.add(x, root))
    },
    "Atanh": .one { call throws in
      let x = try call.named(0)
      let sum = try call.unary(.log1p, x)
      return try call.mul(try call.sub(sum, try call.unary(.log1p, try call.unary(.neg, x))), 0.5)
    },
    "Clip": .one { call throws in
      var x = try call.input(0)
      // The bounds were attributes up to opset 6, and operands from 11 on.
      let low = call.optional(1) ?? call.float("min").map { call.number($0, like: x) }
      let high = call.optional(2) ?? call.float("max").map { call.number($0, like: x) }
      if let low { x = try call.apply(.maximum, [x, low]) }
      if let high { x = try call.apply(.minimum, [x, high]) }
      return x
    },
    "Identity": .one { call throws in try call.input(0) },
    "Dropout": OperatorRow { call throws in
      let x = try call.input(0)
      guard call.optional(2)?.uniform ?? 0 == 0 else { throw ImportProblem("dropout in training is not imported") }
      guard call.node.outputs.count > 1 else { return [x] }
      let yes = Value(TensorType(.bool, []), .bool, .expression(.word("true")))
      return [x, try call.full(x.shape, 1, like: yes)]
    },
  ]
}

extension NodeCall {
  /// `scale * x` where it is positive, `scale * alpha * (exp(x) - 1)` elsewhere.
  fileprivate func elu(_ x: Value, _ alpha: Double, _ scale: Double) throws -> Value {
    var low = try unary(.expm1, x)
    if alpha * scale != 1 { low = try mul(low, alpha * scale) }
    return try choose(try compare(.less, x, 0), low, scale == 1 ? x : try mul(x, scale))
  }

  func hardSigmoid(_ x: Value, _ alpha: Double, _ beta: Double) throws -> Value {
    let line = try add(try mul(x, alpha), beta)
    let above = try apply(.maximum, [line, number(0, like: line)])
    return try apply(.minimum, [above, number(1, like: line)])
  }
}
