import LTMIR

// Element by element.

extension ExportTable {
  static let elementwise: [Op: ExportRow] = [
    .neg: .named("Neg"), .abs: .named("Abs"), .sign: .named("Sign"), .exp: .named("Exp"), .log: .named("Log"),
    .sqrt: .named("Sqrt"), .reciprocal: .named("Reciprocal"), .sin: .named("Sin"), .cos: .named("Cos"),
    .tan: .named("Tan"), .asin: .named("Asin"), .acos: .named("Acos"), .atan: .named("Atan"), .sinh: .named("Sinh"),
    .cosh: .named("Cosh"), .asinh: .named("Asinh"), .acosh: .named("Acosh"), .atanh: .named("Atanh"),
    .tanh: .named("Tanh"), .erf: .named("Erf"), .floor: .named("Floor"), .ceil: .named("Ceil"), .round: .named("Round"),
    .relu: .named("Relu"), .sigmoid: .named("Sigmoid"), .softplus: .named("Softplus"), .mish: .named("Mish"),
    .softsign: .named("Softsign"), .hardswish: .named("HardSwish"), .not: .named("Not"),
    .leakyRelu: .named("LeakyRelu", "alpha", "slope"), .elu: .named("Elu", "alpha", "alpha"),
    .celu: .named("Celu", "alpha", "alpha"), .selu: .named("Selu"),
    .pow: .named("Pow"), .equal: .named("Equal"), .less: .named("Less"), .lessEqual: .named("LessOrEqual"),
    .greater: .named("Greater"), .greaterEqual: .named("GreaterOrEqual"), .and: .named("And"), .or: .named("Or"),
    .where: .named("Where"),
    .add: .arithmetic("Add"), .sub: .arithmetic("Sub"), .mul: .arithmetic("Mul"), .div: .arithmetic("Div"),
    .minimum: .named("Min"), .maximum: .named("Max"),
    .notEqual: .elementwise { x, _, names in x.emit("Not", [x.emit("Equal", names)]) },
    .gelu: .elementwise { x, _, names in x.emit("Gelu", names) },
    .geluTanh: .elementwise { x, _, names in x.emit("Gelu", names, [("approximate", .string("tanh"))]) },
    .hardsigmoid: .elementwise { x, _, names in
      x.emit("HardSigmoid", names, [("alpha", .float(1.0 / 6)), ("beta", .float(0.5))])
    },
    .relu6: .elementwise { x, node, names in x.clip(names[0], node.type.dtype, 0, 6) },
    .hardtanh: .elementwise { x, node, names in
      x.clip(names[0], node.type.dtype, node.attributes[float: "min_val"], node.attributes[float: "max_val"])
    },
    .clamp: .elementwise { x, node, names in
      x.clip(names[0], node.type.dtype, node.attributes[float: "min"], node.attributes[float: "max"])
    },
    .cast: .elementwise { x, node, names in
      x.cast(names[0], from: x.graph[node.operands[0]].type.dtype, to: node.type.dtype)
    },
  ]

  /// What is made of several operators.
  static let formulas: [Op: ExportRow] = [
    .silu: .elementwise { x, _, names in x.emit("Mul", [names[0], x.emit("Sigmoid", names)]) },
    .logSigmoid: .elementwise { x, _, names in
      x.emit("Neg", [x.emit("Softplus", [x.emit("Neg", names)])])
    },
    .isFinite: .elementwise { x, _, names in
      x.emit("Not", [x.emit("Or", [x.emit("IsInf", names), x.emit("IsNaN", names)])])
    },
    .log2: .elementwise { x, node, names in
      x.emit("Mul", [x.emit("Log", names), x.number(1.4426950408889634, node)])
    },
    // tanh(x / 2) (exp(x) + 1), which keeps the digits near 0.
    .expm1: .elementwise { x, node, names in
      let half = x.emit("Tanh", [x.emit("Mul", [names[0], x.number(0.5, node)])])
      return x.emit("Mul", [half, x.emit("Add", [x.emit("Exp", names), x.number(1, node)])])
    },
    // 2 atanh(x / (x + 2)) near 0, for the same reason.
    .log1p: .elementwise { x, node, names in
      let ratio = x.emit("Div", [names[0], x.emit("Add", [names[0], x.number(2, node)])])
      let near = x.emit("Mul", [x.emit("Atanh", [ratio]), x.number(2, node)])
      let far = x.emit("Log", [x.emit("Add", [names[0], x.number(1, node)])])
      let isNear = x.emit("Less", [x.emit("Abs", [names[0]]), x.number(0.5, node)])
      return x.emit("Where", [isNear, near, far])
    },
    .timesSigmoid: .elementwise { x, _, names in x.emit("Mul", [names[0], x.emit("Sigmoid", [names[1]])]) },
    .timesNormalCDF: .elementwise { x, node, names in
      let erf = x.emit("Erf", [x.emit("Mul", [names[1], x.number(0.7071067811865476, node)])])
      let half = x.emit("Mul", [names[0], x.number(0.5, node)])
      return x.emit("Mul", [half, x.emit("Add", [erf, x.number(1, node)])])
    },
    .timesGaussian: .elementwise { x, node, names in
      let square = x.emit("Mul", [names[1], names[1]])
      return x.emit("Mul", [names[0], x.emit("Exp", [x.emit("Mul", [square, x.number(-0.5, node)])])])
    },
    .stopGradient: .elementwise { _, _, names in names[0] },
    .after: .elementwise { _, _, names in names[0] },
  ]
}

extension ExportRow {
  /// Arithmetic; that of bytes saturates, as everywhere in ltm.
  fileprivate static func arithmetic(_ op: String) -> ExportRow {
    .elementwise { x, node, names in
      guard node.type.dtype == .u8 else { return x.emit(op, names) }
      let wide = names.map { x.cast($0, from: .u8, to: .i32) }
      return x.cast(x.emit(op, wide), from: .i32, to: .u8)
    }
  }
}

extension GraphExporter {
  /// A number of the node's dtype.
  func number(_ value: Double, _ node: Node) -> String { store.constant([value], node.type.dtype, shape: []) }

  mutating func clip(_ name: String, _ dtype: DType, _ low: Double, _ high: Double) -> String {
    let limits = [low, high].map { $0.isInfinite ? "" : store.constant([$0], dtype, shape: []) }
    return emit("Clip", [name] + (limits[1].isEmpty ? limits.dropLast() : limits))
  }

  /// A cast; to a byte it saturates.
  mutating func cast(_ name: String, from old: DType, to new: DType) -> String {
    if old == new { return name }
    let value = new == .u8 && old != .bool ? clip(name, old, 0, 255) : name
    return emit("Cast", [value], [("to", .int(Int(ElementType(new).rawValue)))])
  }
}
