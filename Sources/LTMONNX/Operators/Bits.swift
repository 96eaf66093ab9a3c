import LTMIR

// Shifts, and products up to each element.

extension OperatorTable {
  static let bits: [String: OperatorRow] = [
    "BitShift": .one { call throws in
      let (a, given) = (try call.input(0), call.named(try call.input(1)))
      // By a negative number every bit falls out, as by too large a one.
      let isSigned = given.element.range.map { $0.lowerBound < 0 } ?? false
      let b = isSigned ? try call.choose(try call.compare(.less, given, 0), call.number(64, like: given), given) : given
      let power = try call.unary(.round, try call.apply(.pow, [try call.wide(2), try call.cast(b, .double)]))
      let wide = try call.cast(a, .double)
      guard call.string("direction", "LEFT") == "LEFT" else {
        return try call.cast(try call.unary(.floor, try call.div(wide, power)), a.element)
      }
      let shifted = call.named(try call.mul(wide, power))
      guard let range = a.element.range else { return try call.cast(shifted, a.element) }
      // Bits that do not fit fall out.
      let span = range.upperBound - range.lowerBound + 1
      let over = try call.mul(
        try call.unary(.floor, try call.div(try call.sub(shifted, range.lowerBound), span)), span)
      return try call.cast(try call.sub(shifted, over), a.element)
    },
    "CumProd": .one { call throws in
      let x = call.named(try call.input(0))
      let axis = try call.axis(try call.integers(1, "axis")?.first ?? 0, rank: x.rank)
      guard let count = x.shape[axis].constant, count <= 256 else {
        throw ImportProblem("a product along an axis of \(x.shape[axis]) is not imported")
      }
      let isReversed = call.flag("reverse")
      var parts: [Value] = []
      for place in isReversed ? Array((0..<count).reversed()) : Array(0..<count) {
        let one = try call.slice(x, axis: axis, from: Dim(place), to: Dim(place + 1))
        parts.append(call.named(try parts.last.map { try call.mul($0, one) } ?? one))
      }
      if call.flag("exclusive") {
        parts = [try call.full(parts[0].shape, 1, like: x)] + parts.dropLast()
      }
      return try call.apply(.concat, isReversed ? parts.reversed() : parts, ["axis": .int(axis)])
    },
  ]
}

extension NodeCall {
  /// A number in f64, where integers of 53 bits are exact.
  fileprivate func wide(_ number: Double) throws -> Value {
    guard let constant = Constant(name: "", .double, [number], shape: []) else {
      throw ImportProblem("a number cannot be made")
    }
    return Value(constant)
  }
}
