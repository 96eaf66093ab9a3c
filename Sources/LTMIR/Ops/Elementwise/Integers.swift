import Foundation

// Rows: bits of integers, and divisions with a whole quotient.

extension OpDefinition {
  static let bitwiseAnd = bits("The bits that both have.", .bitAnd) { $0 & $1 }
  static let bitwiseOr = bits("The bits that either has.", .bitOr) { $0 | $1 }
  static let bitwiseXor = bits("The bits that one has and the other has not.", .bitXor) { $0 ^ $1 }
  static let bitwiseLeftShift = bits("`a` with its bits moved up by `b`.", .shiftLeft, on: 5) { $1 < 0 ? 0 : $0 << $1 }
  static let bitwiseRightShift = bits("`a` with its bits moved down by `b`; the sign stays.", .shiftRight, on: 5) {
    $1 < 0 ? $0 >> 63 : $0 >> $1
  }

  static let bitwiseNot = OpDefinition(
    "All bits turned over.", signature: [OpParameter("x", .tensor)], precision: .never, infer: integers(1),
    evaluate: { x, _, result in x[0].map { (result.dtype == .u8 ? 255 : -1) - $0 } }, gradient: .none,
    lowering: .decompose { b, node in
      let x = node.operands[0]
      return b.sub(b.fill(b.type(x).dtype == .u8 ? 255 : -1, like: x), x)
    }, examples: [OpExample([([2, 3], .integers(100))])])

  static let quotient = OpDefinition(
    "`a / b` of integers, towards 0; 0 where `b` is 0.", isCallable: false, signature: pair, precision: .never,
    infer: integers(2),
    evaluate: { x, _, result in
      x[0].zip(x[1]) { $1 == 0 ? 0 : result.dtype.round(($0 / $1).rounded(.towardZero)) }
    }, gradient: .none, lowering: .primitive(.div),
    examples: [OpExample([([2, 3], .integers(50)), ([2, 3], .integers(7))])])

  static let floorDivide = OpDefinition(
    "The whole number below or at `a / b`; 0 for integers where `b` is 0.", signature: pair, isElementwise: true,
    precision: .widest, infer: elementwise(2, .numbers),
    evaluate: { x, _, result in
      let isFloating = result.dtype.isFloating
      return x[0].zip(x[1]) { a, b in
        if b == 0 { return isFloating ? a / b : 0 }
        let quotient = ((a - LTMIR.remainder(a, b, floored: true)) / b).rounded()
        return isFloating ? quotient : result.dtype.round(quotient)
      }
    }, gradient: .none,
    lowering: .decompose { b, node in
      guard node.type.dtype.isFloating else { return floored(&b, node.operands[0], node.operands[1]).quotient }
      let x = exact(&b, node.operands)
      return b.cast(wholeQuotient(&b, x, floored: true), to: node.type.dtype)
    }, examples: divisions)

  static let remainder = remains(
    "What `floor_divide` leaves of `a`; it has the sign of `b`. \(exactness)", floored: true)
  static let fmod = remains(
    "What a division towards 0 leaves of `a`; it has the sign of `a`. \(exactness)", floored: false)
  private static let exactness =
    "Of floats exact where the quotient has at most 29 bits (f32, f64), 13 (f16) or 16 (bf16); beyond, no digit is."
}

private let pair = [OpParameter("a", .tensor), OpParameter("b", .tensor)]

private let divisions = [
  OpExample([([2, 3], .uniform(-9, 9)), ([2, 3], .uniform(0.4, 3))]),
  OpExample([([2, 3], .uniform(-9, 9)), ([2, 3], .uniform(-3, -0.4))]),
  OpExample([([2, 3], .integers(50)), ([2, 3], .integers(7))]),
]

private func integers(_ count: Int) -> InferRule {
  { (types, attributes) throws(OpError) in
    for (index, type) in types.enumerated() where type.dtype.isFloating || type.dtype == .bool {
      throw OpError(
        "integer operands are needed, this one is \(type.dtype)", operands: [(index, nil)],
        note: type.dtype == .bool ? "bools have and, or, not" : "convert it first: cast(x, i32)")
    }
    return try elementwise(count, .numbers)(types, attributes)
  }
}

extension OpDefinition {
  private static func bits(
    _ summary: String, _ primitive: Primitive, on limit: Int = 100,
    _ function: @escaping @Sendable (Int64, Int64) -> Int64
  ) -> OpDefinition {
    OpDefinition(
      summary, signature: pair, isElementwise: true, precision: .never, infer: integers(2),
      evaluate: { x, _, result in
        x[0].zip(x[1]) { a, b in wrapped(function(Int64(a), Int64(b)), result.dtype) }
      }, gradient: .none, lowering: .primitive(primitive),
      examples: [OpExample([([2, 3], .integers(100)), ([2, 3], .integers(limit))])])
  }

  private static func remains(_ summary: String, floored isFloored: Bool) -> OpDefinition {
    OpDefinition(
      summary, signature: pair, isElementwise: true, precision: .widest, infer: elementwise(2, .numbers),
      evaluate: { x, _, result in
        let isFloating = result.dtype.isFloating
        return x[0].zip(x[1]) { a, b in
          b == 0 ? (isFloating ? .nan : a) : LTMIR.remainder(a, b, floored: isFloored)
        }
      },
      gradient: .rule { b, node, _, g in
        guard b.type(g).dtype.isFloating else { return [nil, nil] }
        let dtypes = node.operands.map { b.type($0).dtype }
        let x = exact(&b, node.operands)
        let quotient = b.cast(wholeQuotient(&b, x, floored: isFloored), to: dtypes[0].arithmetic)
        return [b.cast(g, to: dtypes[0]), b.cast(b.neg(b.mul(b.wide(g), quotient)), to: dtypes[1])]
      },
      lowering: .decompose { b, node in
        guard node.type.dtype.isFloating else {
          let (a, divisor) = (node.operands[0], node.operands[1])
          let parts = floored(&b, a, divisor)
          return isFloored ? parts.rest : b.sub(a, b.mul(b.make(.quotient, [a, divisor]), divisor))
        }
        let x = exact(&b, node.operands)
        return b.cast(rest(&b, x, floored: isFloored), to: node.type.dtype)
      }, examples: divisions)
  }
}

/// The remainder with the sign of the divisor, or of the dividend.
private func remainder(_ a: Double, _ b: Double, floored: Bool) -> Double {
  let rest = Foundation.fmod(a, b)
  return floored && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
}

private func wrapped(_ value: Int64, _ dtype: DType) -> Double {
  switch dtype {
  case .i32: Double(Int32(truncatingIfNeeded: value))
  // A byte is an i32 on the way, and saturates where it is stored.
  case .u8: Double(min(max(value, 0), 255))
  default: Double(value)
  }
}

/// Floats in a dtype where a quotient times the divisor is exact: f64 for f32.
private func exact(_ b: inout GraphBuilder, _ operands: [ValueID]) -> [ValueID] {
  operands.map { value in
    let dtype = b.type(value).dtype
    return b.cast(value, to: dtype.isHalf ? .f32 : dtype == .float ? .float : .f64)
  }
}

/// Of floats: what is left, put right where the quotient was rounded to the next whole number.
private func rest(_ b: inout GraphBuilder, _ x: [ValueID], floored: Bool) -> ValueID {
  let size = x.map { b.make(.abs, [$0]) }
  let (zero, divisor) = (b.fill(0, like: x[0]), size[1])
  let quotient = b.make(.floor, [b.div(size[0], divisor)])
  let product = b.mul(quotient, divisor)
  let first = b.sub(b.sub(size[0], product), roundingError(&b, quotient, divisor, product))
  let raised = b.select(b.make(.less, [first, zero]), b.add(first, divisor), first)
  let lowered = b.select(b.make(.greaterEqual, [raised, divisor]), b.sub(raised, divisor), raised)
  // What is smaller than the divisor, an infinite one too, is left as it is.
  let left = b.select(b.make(.less, [size[0], divisor]), size[0], lowered)
  let signed = b.select(b.make(.less, [x[0], zero]), b.neg(left), left)
  guard floored else { return signed }
  let isOpposite = b.make(.notEqual, [b.make(.less, [signed, zero]), b.make(.less, [x[1], zero])])
  let isMoved = b.make(.and, [isOpposite, b.make(.notEqual, [signed, zero])])
  return b.select(isMoved, b.add(signed, x[1]), signed)
}

/// What rounding took from a product, by Dekker's halves of 26 digits; a product in f32 of halves loses nothing.
private func roundingError(
  _ b: inout GraphBuilder, _ x: ValueID, _ y: ValueID, _ product: ValueID
) -> ValueID {
  guard b.type(x).dtype == .f64 else { return b.fill(0, like: x) }
  let halves = [x, y].map { value -> (high: ValueID, low: ValueID) in
    let scaled = b.scale(value, by: 0x1p27 + 1)
    let high = b.sub(scaled, b.sub(scaled, value))
    return (high, b.sub(value, high))
  }
  var lost = b.sub(product, b.mul(halves[0].high, halves[1].high))
  lost = b.sub(lost, b.mul(halves[0].low, halves[1].high))
  lost = b.sub(lost, b.mul(halves[0].high, halves[1].low))
  let error = b.sub(b.mul(halves[0].low, halves[1].low), lost)
  // Halves of a number near the end of the range overflow.
  return b.select(b.make(.isFinite, [error]), error, b.fill(0, like: x))
}

/// Of floats: the whole quotient that belongs to that rest.
private func wholeQuotient(_ b: inout GraphBuilder, _ x: [ValueID], floored: Bool) -> ValueID {
  let found = b.make(.round, [b.div(b.sub(x[0], rest(&b, x, floored: floored)), x[1])])
  return b.select(b.compare(.equal, x[1], 0), b.div(x[0], x[1]), found)
}

/// Of integers: the quotient towards minus infinity, and the rest, which has the sign of the divisor.
private func floored(
  _ b: inout GraphBuilder, _ a: ValueID, _ divisor: ValueID
) -> (quotient: ValueID, rest: ValueID) {
  let quotient = b.make(.quotient, [a, divisor])
  let rest = b.sub(a, b.mul(quotient, divisor))
  let isOpposite = b.make(.notEqual, [b.compare(.less, rest, 0), b.compare(.less, divisor, 0)])
  let isMoved = b.make(
    .and, [b.make(.and, [isOpposite, b.compare(.notEqual, rest, 0)]), b.compare(.notEqual, divisor, 0)])
  let one = b.fill(1, like: quotient)
  return (
    b.select(isMoved, b.sub(quotient, one), quotient), b.select(isMoved, b.add(rest, divisor), rest)
  )
}
