import Foundation

// The formulas of random numbers, over bits: as nodes, and in the reference.

extension GraphBuilder {
  /// Bits for each element of a shape, from the key of a node that draws, which is its last operand.
  mutating func randomBits(
    _ node: Node, _ shape: [Dim], _ bits: Int, skip: Int = 0, words: Int = 1, word: Int = 0
  ) -> ValueID {
    var attributes = node.attributes.taking(bits, skip: skip, words: words, word: word)
    attributes["shape"] = .dims(shape)
    return make(.randomBits, node.operands.suffix(1), attributes)
  }

  /// Numbers in `0 ..< 1` of so many bits, exact.
  mutating func unit(_ node: Node, _ shape: [Dim], digits: Int, _ dtype: DType) -> ValueID {
    if digits <= 31 { return scale(cast(randomBits(node, shape, digits), to: dtype), by: powerOfTwo(-digits)) }
    let high = cast(randomBits(node, shape, 27, words: 2), to: dtype)
    let low = cast(randomBits(node, shape, 26, words: 2, word: 1), to: dtype)
    return scale(add(scale(high, by: 0x1p26), low), by: 0x1p-53)
  }

  /// `sqrt(-2 log u) cos v` for u in `0 <..1` and an angle v, given as one within an eighth of a turn about 0 and two bits,
  /// which turn it by a quarter and by half a turn: a cosine near its zeros then has all its digits.
  mutating func standardNormal(_ node: Node) -> ValueID {
    let (shape, dtype) = (node.type.shape, node.type.dtype.arithmetic)
    let isWide = dtype == .f64
    let (words, last) = isWide ? (4, 2) : (2, 1)
    let one: ValueID
    let angle: ValueID
    if isWide {
      let high = cast(randomBits(node, shape, 27, words: 4), to: dtype)
      one = scale(
        offset(add(scale(high, by: 0x1p26), cast(randomBits(node, shape, 26, words: 4, word: 1), to: dtype)), by: 1),
        by: 0x1p-53)
      let turn = cast(randomBits(node, shape, 30, skip: 2, words: 4, word: 2), to: dtype)
      let rest = cast(randomBits(node, shape, 22, words: 4, word: 3), to: dtype)
      angle = scale(offset(add(scale(turn, by: 0x1p22), rest), by: 0.5 - 0x1p51), by: .pi * 0x1p-53)
    } else {
      one = scale(offset(cast(randomBits(node, shape, 24, words: 2), to: dtype), by: 1), by: 0x1p-24)
      let turn = cast(randomBits(node, shape, 22, skip: 2, words: 2, word: 1), to: dtype)
      angle = scale(offset(turn, by: 0.5 - 0x1p21), by: .pi * 0x1p-23)
    }
    let isSine = cast(randomBits(node, shape, 1, skip: 1, words: words, word: last), to: .bool)
    let isTurned = cast(randomBits(node, shape, 1, words: words, word: last), to: .bool)
    let wave = select(isSine, make(.sin, [angle]), make(.cos, [angle]))
    let value = mul(make(.sqrt, [scale(make(.log, [one]), by: -2)]), wave)
    return select(isTurned, neg(value), value)
  }

  /// The place of the greatest of `logits - log e`, e exponential: `-log(1 - u)`, whose small values have digits of their own.
  mutating func categorical(_ node: Node) -> ValueID {
    let logits = node.operands[0]
    let (shape, dtype) = (type(logits).shape, type(logits).dtype.arithmetic)
    let high = scale(cast(randomBits(node, shape, 24, words: 2), to: dtype), by: 0x1p-24)
    let low = offset(cast(randomBits(node, shape, 24, words: 2, word: 1), to: dtype), by: 0.5)
    let sum = add(high, scale(low, by: 0x1p-48))
    let unit = make(.minimum, [sum, fill(1 - 0x1p-24, like: sum)])
    let exponential = neg(make(.log1p, [neg(unit)]))
    let score = sub(cast(logits, to: dtype), make(.log, [exponential]))
    return make(.argmax, [score], ["axis": .int(shape.count - 1), "keep": .bool(false)])
  }
}

extension Draws {
  /// As ``GraphBuilder/standardNormal(_:)`` gives them from two words each.
  func normals() -> [Double] {
    let unit = bits(24, words: 2).map { ($0 + 1) * 0x1p-24 }
    let angle = bits(22, skip: 2, words: 2, word: 1).map { ($0 + (0.5 - 0x1p21)) * (.pi * 0x1p-23) }
    return normals(unit, angle, turns: bits(2, words: 2, word: 1))
  }

  /// The same from four words each.
  func wideNormals() -> [Double] {
    let unit = zip(bits(27, words: 4), bits(26, words: 4, word: 1)).map { ($0 * 0x1p26 + $1 + 1) * 0x1p-53 }
    let angle = zip(bits(30, skip: 2, words: 4, word: 2), bits(22, words: 4, word: 3)).map {
      ($0 * 0x1p22 + $1 + (0.5 - 0x1p51)) * (.pi * 0x1p-53)
    }
    return normals(unit, angle, turns: bits(2, words: 4, word: 2))
  }

  /// `turns`: by two quarters where it is 2 or more, by one where it is odd.
  private func normals(_ unit: [Double], _ angle: [Double], turns: [Double]) -> [Double] {
    unit.indices.map { index in
      let (a, turn) = (angle[index], Int(turns[index]))
      let value = (-2 * log(unit[index])).squareRoot() * (turn % 2 == 1 ? sin(a) : cos(a))
      return turn >= 2 ? -value : value
    }
  }
}
