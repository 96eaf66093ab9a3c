// Rows: losses that weigh classes or leave labels out, and those with a reduction of one's choice.

extension OpDefinition {
  static let nllLoss = composed(
    "The mean of `-x` at the label, where `x` is a `log_softmax` over the last axis: over what `weight` and `ignore_index` "
      + "let count.",
    signature: [
      OpParameter("x", .tensor), OpParameter("labels", .tensor), OpParameter("weight", .optionalTensor),
      OpParameter("ignore_index", .int, default: .int(-100)),
      OpParameter("reduction", .word(reductions), default: .word("mean")),
    ], precision: .loss, dtypes: [1: .i32], infer: inferWeighedEntropy,
    examples: [
      OpExample([([3, 4], .any), ([3], .integers(4))], ["ignore_index": .int(2), "reduction": .word("mean")]),
      OpExample(
        [([2, 3, 4], .any), ([2, 3], .integers(4)), ([4], .positive)],
        ["ignore_index": .int(-100), "reduction": .word("none")]),
    ]
  ) { b, x, attributes, result in
    labelLoss(&b, b.wide(x[0]), x, attributes, result)
  }

  static let klDiv = reducedLoss(
    "The divergence of `x`, a `log_softmax`, from the target: the mean of `target * (log(target) - x)` over all elements, or with "
      + "\"batchmean\" their sum over the batch. With `log_target` the target is a logarithm too.",
    [OpParameter("log_target", .bool, default: .bool(false))], reductions + ["batchmean"], on: .unit,
    [["log_target": .bool(true)], ["log_target": .bool(false), "reduction": .word("batchmean")]]
  ) { b, x, attributes in
    if attributes[bool: "log_target"] { return b.mul(b.exp(x[1]), b.sub(x[1], x[0])) }
    // 0 log 0 is 0.
    let isZero = b.compare(.equal, x[1], 0)
    let logs = b.make(.log, [b.select(isZero, b.fill(1, like: x[1]), x[1])])
    return b.sub(b.mul(x[1], logs), b.mul(x[1], x[0]))
  }

  static let smoothL1Loss = reducedLoss(
    "The mean of half the squared difference over `beta` up to `beta`, of the absolute difference less half of `beta` beyond.",
    [OpParameter("beta", .float, default: .float(1))], reductions, on: .any,
    [["beta": .float(0.7)], ["beta": .float(0), "reduction": .word("none")]]
  ) { b, x, attributes in
    let (d, beta) = (b.sub(x[0], x[1]), attributes[float: "beta"])
    let size = b.make(.abs, [d])
    if beta == 0 { return size }
    let near = b.scale(b.mul(d, d), by: 0.5 / beta)
    return b.select(b.compare(.less, size, beta), near, b.offset(size, by: -0.5 * beta))
  }
}

/// What becomes of the losses of all positions.
let reductions = ["mean", "sum", "none"]

/// What `cross_entropy` may be given beside logits and labels.
let weighing = [
  OpParameter("weight", .optionalTensor), OpParameter("ignore_index", .int, isOptional: true),
  OpParameter("label_smoothing", .float, isOptional: true),
  OpParameter("reduction", .word(reductions), isOptional: true),
]

/// Whether a cross entropy is more than the mean over labels.
func isWeighed(_ ranks: [Int], _ attributes: Attributes) -> Bool {
  ranks.count == 3 || ranks.count == 2 && ranks[0] == ranks[1]
    || ["ignore_index", "label_smoothing", "reduction"].contains { attributes[$0] != nil }
}

let inferWeighedEntropy: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 2...3)
  try requireRank(types, 0, atLeast: 1)
  let dtype = try joinedDType([types[0]], .floats)
  let rows = Array(types[0].shape.dropLast())
  if types[1].dtype.isFloating {
    try requireEqualShapes(Array(types.prefix(2)))
    guard attributes.int("ignore_index") == nil else {
      throw OpError("probabilities have no index to ignore", operands: [(1, nil)])
    }
  } else {
    try requireIndices(types, 1)
    guard types[1].shape == rows else {
      throw OpError(
        "labels of shape \(shapeText(types[1].shape)) do not fit logits of shape \(shapeText(types[0].shape))",
        operands: [(0, nil), (1, nil)], note: "labels of shape \(shapeText(rows)) are expected")
    }
  }
  if types.count == 3 {
    guard types[2].dtype.isFloating, types[2].shape == [types[0].shape[rows.count]] else {
      throw OpError(
        "the weight is \(types[2]), and each of \(types[0].shape[rows.count]) classes has one", operands: [(2, nil)])
    }
  }
  let smoothing = attributes.float("label_smoothing") ?? 0
  guard 0...1 ~= smoothing else { throw OpError("label_smoothing is \(smoothing), and it is from 0 to 1") }
  _ = try elementCount(types[0].shape)
  return TensorType(dtype.arithmetic, attributes.word("reduction") == "none" ? rows : [])
}

/// The cross entropy with all that it may be given.
let weighedEntropy: Composition = { b, x, attributes, result in
  let wide = b.wide(x[0])
  let axis = b.type(wide).rank - 1
  let logs = b.make(.logSoftmax, [wide], ["axis": .int(axis)])
  guard b.type(x[1]).dtype.isFloating else { return labelLoss(&b, logs, x, attributes, result) }
  let smoothing = attributes.float("label_smoothing") ?? 0
  var target = b.wide(x[1])
  if smoothing > 0 {
    let share = b.div(b.fill(smoothing, like: target), classCount(&b, like: target))
    target = b.add(b.scale(target, by: 1 - smoothing), share)
  }
  let weighed = x.count == 3 ? b.mul(target, classWeights(&b, x[2], like: target)) : target
  let losses = b.neg(b.sum(b.mul(weighed, logs), [axis]))
  return reduced(&b, losses, attributes.word("reduction") ?? "mean", result)
}

/// The loss at labels of logarithms of probabilities.
private func labelLoss(
  _ b: inout GraphBuilder, _ logs: ValueID, _ x: [ValueID], _ attributes: Attributes, _ result: TensorType
) -> ValueID {
  let type = b.type(logs)
  let axis = type.rank - 1
  let counts = labelsThatCount(&b, x[1], type, attributes.int("ignore_index"))
  let hot = isLabel(&b, x[1], type.shape)
  let zero = b.fill(0, like: logs)
  let weights = x.count == 3 ? classWeights(&b, x[2], like: logs) : b.fill(1, like: logs)
  let smoothing = attributes.float("label_smoothing") ?? 0
  var losses = b.neg(b.sum(b.select(hot, b.mul(weights, logs), zero), [axis]))
  if smoothing > 0 {
    let share = b.div(b.fill(smoothing, like: logs), classCount(&b, like: logs))
    let even = b.neg(b.sum(b.mul(b.mul(weights, logs), share), [axis]))
    losses = b.add(b.scale(losses, by: 1 - smoothing), even)
  }
  let counted = b.select(counts, losses, b.fill(0, like: losses))
  guard (attributes.word("reduction") ?? "mean") == "mean" else {
    return reduced(&b, counted, attributes[word: "reduction"], result)
  }
  let own = b.sum(b.select(hot, weights, zero), [axis])
  let total = b.sum(b.select(counts, own, b.fill(0, like: own)), Array(0..<axis))
  return b.cast(b.div(b.sum(counted, Array(0..<axis)), total), to: result.dtype)
}

/// Whether a label is one of the classes, and not the one to ignore.
private func labelsThatCount(
  _ b: inout GraphBuilder, _ labels: ValueID, _ logs: TensorType, _ ignored: Int?
) -> ValueID {
  let inside = isClass(&b, labels, classes: logs.shape[logs.rank - 1])
  guard let ignored else { return inside }
  return b.make(.and, [inside, b.compare(.notEqual, labels, Double(ignored))])
}

private func classWeights(_ b: inout GraphBuilder, _ weight: ValueID, like value: ValueID) -> ValueID {
  let type = b.type(value)
  return b.broadcast(b.cast(weight, to: type.dtype), to: type.shape, axes: [type.rank - 1])
}

private func classCount(_ b: inout GraphBuilder, like value: ValueID) -> ValueID {
  let type = b.type(value)
  return b.broadcast(b.dimension(type.shape[type.rank - 1], type.dtype), to: type.shape)
}

private func reduced(_ b: inout GraphBuilder, _ losses: ValueID, _ reduction: String, _ result: TensorType) -> ValueID {
  let shape = b.type(losses).shape
  let total: ValueID
  switch reduction {
  case "none": total = losses
  case "sum": total = b.sum(losses, Array(shape.indices))
  case "batchmean": total = b.dividedByCount(b.sum(losses, Array(shape.indices)), of: Array(shape.prefix(1)))
  default: total = b.meanOfAll(losses)
  }
  return b.cast(total, to: result.dtype)
}

extension OpDefinition {
  private static func reducedLoss(
    _ summary: String, _ extra: [OpParameter], _ reductions: [String], on fill: OpExample.Fill,
    _ examples: [Attributes],
    _ losses: @escaping @Sendable (inout GraphBuilder, _ wide: [ValueID], Attributes) -> ValueID
  ) -> OpDefinition {
    composed(
      summary,
      signature: [
        OpParameter("x", .tensor), OpParameter("target", .tensor),
        OpParameter("reduction", .word(reductions), default: .word("mean")),
      ] + extra, precision: .loss,
      infer: { (types, attributes) throws(OpError) in
        try requireCount(types, 2...2)
        let dtype = try joinedDType(types, .floats)
        try requireEqualShapes(types)
        let reduction = try attributes.required("reduction", attributes.word("reduction"))
        if let beta = attributes.float("beta"), beta < 0 { throw OpError("beta is \(beta), and it is 0 or more") }
        if reduction == "batchmean" { try requireRank(types, 0, atLeast: 1) }
        _ = try elementCount(types[0].shape)
        return TensorType(dtype.arithmetic, reduction == "none" ? types[0].shape : [])
      },
      examples: examples.map { attributes in
        var attributes = attributes
        if attributes["reduction"] == nil { attributes["reduction"] = .word("mean") }
        return OpExample([([2, 3], .any), ([2, 3], fill)], attributes)
      }
    ) { b, x, attributes, result in
      let wide = x.map { b.cast($0, to: result.dtype) }
      return reduced(&b, losses(&b, wide, attributes), attributes[word: "reduction"], result)
    }
  }
}
