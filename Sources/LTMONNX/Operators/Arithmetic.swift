import LTMIR

// Elementwise operators of two operands or more, comparisons, and what changes the dtype.

extension OperatorTable {
  static let arithmetic: [String: OperatorRow] = [
    "Add": .one { call throws in
      let (a, b) = (try call.input(0), try call.input(1))
      if let linear = try call.linear(a, b) ?? call.linear(b, a) { return linear }
      return try OperatorRow.binary(.add).translate(call)[0]
    },
    "Sub": .binary(.sub), "Mul": .binary(.mul),
    "Div": .one { call throws in try call.quotient(try call.input(0), try call.input(1)) },
    "Pow": .one { call throws in try call.power(try call.input(0), try call.input(1)) },
    "Mod": .one { call throws in try call.remainder(try call.named(0), try call.named(1)) },
    "Sum": .several(.add), "Max": .several(.maximum), "Min": .several(.minimum),
    "Mean": .one { call throws in
      let operands = try call.operands()
      return try call.div(try call.combined(.add, operands), Double(operands.count))
    },
    "Cast": .one { call throws in
      guard let element = ElementType(rawValue: Int32(clamping: call.int("to", 0))) else {
        throw ImportProblem("the element type \(call.int("to", 0)) is not imported")
      }
      return try call.converted(try call.input(0), element)
    },
    "CastLike": .one { call throws in
      try call.converted(try call.input(0), try call.input(1).element)
    },
  ]

  static let logic: [String: OperatorRow] = [
    "Equal": .binary(.equal), "Less": .binary(.less), "LessOrEqual": .binary(.lessEqual),
    "Greater": .binary(.greater), "GreaterOrEqual": .binary(.greaterEqual),
    "And": .binary(.and), "Or": .binary(.or), "Not": .same(.not), "Xor": .binary(.notEqual),
    "IsNaN": .one { call throws in
      let x = try call.named(0)
      return try call.apply(.notEqual, [x, x])
    },
    "IsInf": .one { call throws in
      let x = try call.named(0)
      let (low, high) = (call.flag("detect_negative", true), call.flag("detect_positive", true))
      if low, high { return try call.compare(.equal, try call.unary(.abs, x), .infinity) }
      if low || high { return try call.compare(.equal, x, high ? .infinity : -.infinity) }
      return try call.apply(.less, [x, x])
    },
    "Where": .one { call throws in
      try call.choose(try call.input(0), try call.input(1), try call.input(2))
    },
  ]
}

extension OperatorRow {
  /// An op of two operands, with the broadcasting that both have.
  static func binary(_ op: Op) -> OperatorRow {
    one { call throws in
      let (a, b) = (try call.input(0), try call.input(1))
      guard !call.flag("broadcast") else { throw ImportProblem("broadcasting as before opset 7 is not imported") }
      if a.dtype == .bool, b.dtype == .bool, op == .equal || op == .notEqual {
        // Bools are compared as numbers.
        return try call.apply(op, [try call.cast(a, .int32), try call.cast(b, .int32)])
      }
      return try call.apply(op, [a, b])
    }
  }

  /// One or more operands, the one combined with the other.
  static func several(_ op: Op) -> OperatorRow {
    one { call throws in try call.combined(op, try call.operands()) }
  }
}

extension NodeCall {
  func combined(_ op: Op, _ operands: [Value]) throws -> Value {
    guard var result = operands.first else { throw ImportProblem("it has no operand") }
    for (index, operand) in operands.dropFirst().enumerated() {
      // No chain is longer than what people read.
      if index % 16 == 15 { result = named(result) }
      result = try apply(op, [result, operand])
    }
    return result
  }

  /// Of integers the quotient toward zero.
  func quotient(_ a: Value, _ b: Value) throws -> Value {
    if a.dtype.isFloating { return try div(a, b) }
    if let x = a.sizes, let y = b.sizes, y.count == 1 || y.count == x.count, a.rank >= b.rank,
      let shape = a.staticShape
    {
      let divided = x.indices.compactMap { x[$0].dividedDown(by: y[y.count == 1 ? 0 : $0]) }
      if divided.count == x.count { return Value(sizes: divided, shape: shape, a.element).settled }
    }
    let exact = try div(try cast(a, .double), try cast(b, .double))
    return try cast(exact, a.element)
  }

  func power(_ a: Value, _ b: Value) throws -> Value {
    if a.dtype.isFloating, b.rank <= a.rank, let exponent = b.uniform {
      if exponent == 2 { return try unary(.square, a) }
      if exponent == 0.5 { return try unary(.sqrt, a) }
      return try apply(.pow, [a, Value(exponent, like: Value(TensorType(a.dtype, []), a.element, a.content))])
    }
    if a.dtype.isFloating { return try apply(.pow, [a, try cast(b, a.element)]) }
    let wide = try apply(.pow, [try cast(a, .double), try cast(b, .double)])
    return try cast(try unary(.round, wide), a.element)
  }

  /// With `fmod` the remainder has the sign of the dividend, else that of the divisor.
  func remainder(_ a: Value, _ b: Value) throws -> Value {
    let isWide = !a.dtype.isFloating
    let (x, y) = isWide ? (named(try cast(a, .double)), named(try cast(b, .double))) : (a, b)
    let ratio = named(try div(x, y))
    let down = try unary(.floor, ratio)
    let whole =
      flag("fmod")
      ? try choose(try compare(.less, ratio, 0), try unary(.ceil, ratio), down) : down
    let rest = try sub(x, try mul(whole, y))
    if isWide { return try cast(rest, a.element) }
    // A number is its own remainder by an infinity.
    if y.numbers?.allSatisfy(\.isFinite) ?? false { return rest }
    let isOwn = try apply(
      .and, [try unary(.isFinite, x), try compare(.equal, try unary(.abs, y), .infinity)], element: .bool)
    return try choose(isOwn, x, rest)
  }

  /// `Cast`: to an integer that is narrower than what carries it, its bits that fit.
  func converted(_ x: Value, _ element: ElementType) throws -> Value {
    guard let range = element.range, element.carrier != .u8, element != .int32, x.element != element,
      x.element.range.map({ !(range.lowerBound <= $0.lowerBound && $0.upperBound <= range.upperBound) }) ?? true,
      x.dtype != .bool
    else { return try cast(x, element) }
    let span = range.upperBound - range.lowerBound + 1
    let wide = try cast(x.dtype.isFloating ? try cast(x, .int64) : x, .double)
    let moved = named(try sub(wide, range.lowerBound))
    let wrapped = try sub(moved, try mul(try unary(.floor, try div(moved, span)), span))
    return try cast(try add(wrapped, range.lowerBound), element)
  }
}
