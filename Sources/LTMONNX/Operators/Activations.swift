import LTMIR

// Elementwise functions of one operand.

extension OperatorTable {
  static let activations: [String: OperatorRow] = [
    "Abs": .same(.abs), "Neg": .same(.neg), "Sign": .same(.sign),
    "Sqrt": .same(.sqrt), "Exp": .same(.exp), "Log": .same(.log), "Sin": .same(.sin), "Cos": .same(.cos),
    "Tanh": .same(.tanh), "Erf": .same(.erf), "Floor": .same(.floor), "Ceil": .same(.ceil), "Round": .same(.round),
    "Tan": .same(.tan), "Asin": .same(.asin), "Acos": .same(.acos), "Atan": .same(.atan), "Sinh": .same(.sinh),
    "Cosh": .same(.cosh), "Asinh": .same(.asinh), "Acosh": .same(.acosh), "Atanh": .same(.atanh),
    "Mish": .same(.mish), "HardSwish": .same(.hardswish), "Softsign": .same(.softsign),
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
    "Elu": .one { call throws in
      try call.apply(.elu, [try call.input(0)], ["alpha": .float(call.float("alpha", 1))])
    },
    "Celu": .one { call throws in
      try call.apply(.celu, [try call.input(0)], ["alpha": .float(call.float("alpha", 1))])
    },
    "Selu": .one { call throws in
      guard call.float("alpha") == nil, call.float("gamma") == nil else {
        return try call.scaledElu(
          try call.named(0), call.float("alpha", 1.67326319217681884765625),
          call.float("gamma", 1.05070102214813232421875))
      }
      return try call.unary(.selu, try call.input(0))
    },
    "HardSigmoid": .one { call throws in
      try call.hardSigmoid(try call.input(0), call.float("alpha", 0.2), call.float("beta", 0.5))
    },
    "ThresholdedRelu": .one { call throws in
      try call.apply(
        .threshold, [try call.input(0)], ["threshold": .float(call.float("alpha", 1)), "value": .float(0)])
    },
    "Clip": .one { call throws in try call.clip() },
    "Gelu": .one { call throws in
      try call.unary(call.string("approximate", "none") == "tanh" ? .geluTanh : .gelu, try call.input(0))
    },
    "Swish": .one { call throws in
      let x = try call.named(0)
      let alpha = call.float("alpha", 1)
      return alpha == 1
        ? try call.unary(.silu, x) : try call.mul(x, try call.unary(.sigmoid, try call.mul(x, alpha)))
    },
    "Shrink": .one { call throws in
      let x = try call.named(0)
      let (bias, lambda) = (call.float("bias", 0), call.float("lambd", 0.5))
      let high = try call.choose(
        try call.compare(.greater, x, lambda), try call.sub(x, bias), call.number(0, like: x))
      return try call.choose(try call.compare(.less, x, -lambda), try call.add(x, bias), high)
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
  fileprivate func scaledElu(_ x: Value, _ alpha: Double, _ scale: Double) throws -> Value {
    let low = try mul(try unary(.expm1, x), alpha * scale)
    return try choose(try compare(.less, x, 0), low, try mul(x, scale))
  }

  /// The one of the table where it is that one.
  func hardSigmoid(_ x: Value, _ alpha: Double, _ beta: Double) throws -> Value {
    if Float(alpha) == Float(1.0 / 6), beta == 0.5 { return try unary(.hardsigmoid, x) }
    let line = try add(try mul(x, alpha), beta)
    return try apply(.clamp, [line], ["min": .float(0), "max": .float(1)])
  }

  /// Its bounds were attributes up to opset 6, and operands from 11 on.
  fileprivate func clip() throws -> Value {
    var x = try input(0)
    let low = optional(1) ?? float("min").map { number($0, like: x) }
    let high = optional(2) ?? float("max").map { number($0, like: x) }
    let least: Double? = low.map(\.uniform) ?? .some(-Double.infinity)
    let most: Double? = high.map(\.uniform) ?? .some(Double.infinity)
    if x.dtype.isFloating, let least, let most, least <= most {
      if least == 0, most == 6 { return try unary(.relu6, x) }
      return try apply(.clamp, [x], ["min": .float(least), "max": .float(most)])
    }
    if let low { x = try apply(.maximum, [x, low]) }
    if let high { x = try apply(.minimum, [x, high]) }
    return x
  }
}
