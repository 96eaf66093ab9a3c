import Foundation

// Rows: random numbers. Each is a formula over the bits of its key's stream.

extension OpDefinition {
  static let uniform = OpDefinition(
    "Random numbers from `low` up to `high`, each as likely: `low + u * (high - low)`, u of as many bits as the dtype holds.",
    signature: [
      OpParameter("shape", .dims), OpParameter("low", .float, default: .float(0)),
      OpParameter("high", .float, default: .float(1)),
    ] + drawn, precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      let (low, high) = (try attributes.finite("low"), try attributes.finite("high"))
      guard low < high, (high - low).isFinite else {
        throw OpError("uniform numbers lie between a low end and a high one, and these are \(low) and \(high)")
      }
      return try drawnType(types, attributes)
    },
    evaluate: { x, attributes, result in
      let (low, high) = (attributes[float: "low"], attributes[float: "high"])
      let unit = Draws(x[0], attributes, result.boundShape).unit(result.dtype.unitDigits)
      return Reference(shape: result.boundShape, data: unit.map { low + $0 * (high - low) })
    }, gradient: .none,
    lowering: .decompose { b, node in
      let (low, high) = (node.attributes[float: "low"], node.attributes[float: "high"])
      let unit = b.unit(node, node.type.shape, digits: node.type.dtype.unitDigits, node.type.dtype.arithmetic)
      let scaled = high - low == 1 ? unit : b.scale(unit, by: high - low)
      if low == 0 { return b.cast(scaled, to: node.type.dtype) }
      // No target may make one rounding of two: the maximum, which changes nothing, keeps the product from the sum.
      let product = b.make(.maximum, [scaled, b.fill(0, like: scaled)])
      return b.cast(b.offset(product, by: low), to: node.type.dtype)
    }, examples: drawnExamples(["low": .float(-0.75), "high": .float(2.5)], ["low": .float(0), "high": .float(1)]))

  static let normal = OpDefinition(
    "Random numbers of the normal distribution, by Box and Muller's formula, one for each pair of uniform numbers.",
    signature: [
      OpParameter("shape", .dims), OpParameter("mean", .float, default: .float(0)),
      OpParameter("std", .float, default: .float(1)),
    ] + drawn, precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      _ = try attributes.finite("mean")
      let deviation = try attributes.finite("std")
      guard deviation >= 0 else { throw OpError("a standard deviation is 0 or more, and this is \(deviation)") }
      return try drawnType(types, attributes)
    },
    evaluate: { x, attributes, result in
      let (mean, deviation) = (attributes[float: "mean"], attributes[float: "std"])
      let draws = Draws(x[0], attributes, result.boundShape)
      let numbers = result.dtype == .f64 ? draws.wideNormals() : draws.normals()
      return Reference(shape: result.boundShape, data: numbers.map { mean + $0 * deviation })
    }, gradient: .none,
    lowering: .decompose { b, node in
      var value = b.standardNormal(node)
      if node.attributes[float: "std"] != 1 { value = b.scale(value, by: node.attributes[float: "std"]) }
      if node.attributes[float: "mean"] != 0 { value = b.offset(value, by: node.attributes[float: "mean"]) }
      return b.cast(value, to: node.type.dtype)
    }, examples: drawnExamples(["mean": .float(0), "std": .float(1)], ["mean": .float(3), "std": .float(0.5)]))

  static let bernoulli = OpDefinition(
    "True with the probability `p` of each element, a multiple of 2^-24.",
    signature: [OpParameter("p", .tensor), .key] + rowParameters, precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      _ = try joinedDType([types[0]], .floats)
      try requireDraw(types[1], types[0].shape, attributes)
      return types[0].with(.bool)
    },
    evaluate: { x, attributes, result in
      let unit = Draws(x[1], attributes, result.boundShape).unit(24)
      return Reference(shape: result.boundShape, data: zip(unit, x[0].data).map { $0 < $1 ? 1 : 0 })
    }, gradient: .none,
    lowering: .decompose { b, node in
      let wide = b.type(node.operands[0]).dtype.arithmetic
      let unit = b.unit(node, node.type.shape, digits: 24, wide)
      return b.make(.less, [unit, b.cast(node.operands[0], to: wide)])
    }, examples: [OpExample([([4, 9], .unit), ([4], key)]), OpExample([([], .unit), ([4], key)])])

  // The least of `e / p` for exponential numbers e, or the greatest of `log p - log e`, is at i with probability p[i].
  static let categorical = OpDefinition(
    "An index along the last axis for each row, drawn with the probabilities that softmax gives of the row.",
    signature: [OpParameter("logits", .tensor), .key] + rowParameters, precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      _ = try joinedDType([types[0]], .floats)
      try requireRank(types, 0, atLeast: 1)
      try requireDraw(types[1], types[0].shape, attributes)
      return TensorType(.i32, Array(types[0].shape.dropLast()))
    },
    evaluate: { x, attributes, result in
      let draws = Draws(x[1], attributes, x[0].shape)
      let noise = zip(draws.bits(24, words: 2), draws.bits(24, words: 2, word: 1)).map {
        -Foundation.log(-Foundation.log1p(-Swift.min($0 * 0x1p-24 + ($1 + 0.5) * 0x1p-48, 1 - 0x1p-24)))
      }
      let scores = Reference(shape: x[0].shape, data: zip(x[0].data, noise).map(+))
      let last = x[0].rank - 1
      return argmax.evaluate([scores], ["axis": .int(last), "keep": .bool(false)], result)
    }, gradient: .none, lowering: .decompose { b, node in b.categorical(node) },
    examples: [OpExample([([5, 6], .any), ([4], key)]), OpExample([([7], .any), ([4], key)])])

  // Of keys of 53 bits, which a double holds too; two that are equal keep the order of their places.
  static let permutation = OpDefinition(
    "The numbers 0 up to `n` in an order that is as likely as any other.",
    signature: [OpParameter("n", .dim), .key], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let shape = [try attributes.required("n", attributes.dim("n"))]
      if let n = shape[0].constant, n < 1 { throw OpError("a permutation is of 1 number or more, and this is of \(n)") }
      try requireDraw(types[0], shape, attributes)
      return TensorType(.i32, shape)
    },
    evaluate: { x, attributes, result in
      let draws = Draws(x[0], attributes, result.boundShape)
      let keys = zip(draws.bits(27, words: 2), draws.bits(26, words: 2, word: 1)).map { $0 * 0x1p26 + $1 }
      return argsort.evaluate([Reference(shape: result.boundShape, data: keys)], inOrder, result)
    }, gradient: .none,
    lowering: .decompose { b, node in
      let high = b.cast(b.randomBits(node, node.type.shape, 27, words: 2), to: .i64)
      let low = b.cast(b.randomBits(node, node.type.shape, 26, words: 2, word: 1), to: .i64)
      return b.make(.argsort, [b.add(b.scale(high, by: 0x1p26), low)], inOrder)
    }, examples: [OpExample([([4], key)], ["n": .dim(13)]), OpExample([([4], key)], ["n": .dim(1)])])

  private static let inOrder: Attributes = ["axis": .int(0), "descending": .bool(false)]

  static let dropout = OpDefinition(
    "Each element 0 with probability `p`, a multiple of 2^-24, and else times `1 / (1 - p)`; in evaluation, `x` itself.",
    isTrainingOnly: true, signature: [OpParameter("x", .tensor), OpParameter("p", .float), .key] + rowParameters,
    precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      let p = try attributes.required("p", attributes.float("p"))
      guard p >= 0, p <= 1 else { throw OpError("the probability of dropout is between 0 and 1, and this is \(p)") }
      _ = try joinedDType([types[0]], .floats)
      try requireDraw(types[1], types[0].shape, attributes)
      return types[0]
    },
    evaluate: { x, attributes, _ in
      let form = Dropping(attributes)
      if form.threshold == 0 { return x[0] }
      let drawn = Draws(x[1], attributes, x[0].shape).bits(24)
      return Reference(
        shape: x[0].shape, data: zip(x[0].data, drawn).map { $1 < form.threshold ? 0 : $0 * form.scale })
    },
    // The mask is drawn again, with the same key: it is never kept.
    gradient: .rule { b, node, _, g in [b.make(.dropout, [g, node.operands[1]], node.attributes), nil] },
    lowering: .decompose { b, node in
      let (x, form) = (node.operands[0], Dropping(node.attributes))
      if form.threshold == 0 { return x }
      let bits = b.randomBits(node, node.type.shape, 24)
      let isKept = b.make(.greaterEqual, [bits, b.fill(form.threshold, like: bits)])
      let scaled = b.scale(b.passed(x, to: node.type.dtype.arithmetic), by: form.scale)
      return b.passed(b.select(isKept, scaled, b.fill(0, like: scaled)), to: node.type.dtype)
    },
    examples: [
      OpExample([([6, 11], .any), ([4], key)], ["p": .float(0.4)]),
      OpExample([([3], .any), ([4], key)], ["p": .float(0)]),
      OpExample([([3], .any), ([4], key)], ["p": .float(1)]),
    ])

  /// What ops without a tensor to draw for have at their end.
  private static let drawn = [OpParameter("dtype", .dtype, default: .dtype(.float)), .key] + rowParameters

  private static func drawnExamples(_ all: Attributes...) -> [OpExample] {
    all.flatMap { attributes in
      [DType.f32, .f64, .f16].map { dtype in
        var given = attributes
        (given["shape"], given["dtype"]) = (.dims([4, 9]), .dtype(dtype))
        return OpExample([([4], key)], given)
      }
    }
  }
}

/// The numbers of a dropout.
private struct Dropping {
  /// Of 2^24 numbers those below it mean: dropped.
  let threshold: Double
  let scale: Double

  init(_ attributes: Attributes) {
    let p = attributes[float: "p"]
    threshold = (p * 0x1p24).rounded()
    scale = p == 1 ? 0 : 1 / (1 - p)
  }
}

extension Attributes {
  fileprivate func finite(_ name: String) throws(OpError) -> Double {
    let value = try required(name, float(name))
    guard value.isFinite else { throw OpError("'\(name)' is \(value), and a finite number is needed") }
    return value
  }
}

/// The type of what is drawn without a tensor to draw for.
private func drawnType(_ types: [TensorType], _ attributes: Attributes) throws(OpError) -> TensorType {
  try requireCount(types, 1...1)
  let shape = try attributes.required("shape", attributes.dims("shape"))
  let dtype = try attributes.required("dtype", attributes.dtype("dtype"))
  guard dtype.isFloating else {
    throw OpError("random numbers are floats, and \(dtype) is none", note: "convert them: cast(floor(...), \(dtype))")
  }
  try requireDraw(types[0], shape, attributes)
  return TensorType(dtype, shape)
}

/// Throws unless a number can be drawn for each element of a shape.
private func requireDraw(_ key: TensorType, _ shape: [Dim], _ attributes: Attributes) throws(OpError) {
  try requireKey(key)
  if attributes["rows"] != nil { _ = try attributes.requiredAxis("rows", rank: shape.count) }
  try RandomForm.requireCountable(shape, attributes)
}
