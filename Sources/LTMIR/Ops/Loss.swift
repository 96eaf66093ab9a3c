import Foundation

// Rows: losses, each the mean over every position, a scalar in f32 whatever the operands (f64 for f64).

extension OpDefinition {
  static let crossEntropy = OpDefinition(
    "The mean of `-log_softmax(logits)` at the label; classes are the last axis. A label outside of them adds 0. Labels may be "
      + "probabilities, of the logits' shape. With a `weight` for each class or an `ignore_index` the mean is over what counts.",
    signature: [OpParameter("logits", .tensor), OpParameter("labels", .tensor)] + weighing, precision: .loss,
    infer: { (types, attributes) throws(OpError) in
      if isWeighed(types.map(\.rank), attributes) { return try inferWeighedEntropy(types, attributes) }
      try requireCount(types, 2...2)
      try requireRank(types, 0, atLeast: 1)
      let dtype = try joinedDType([types[0]], .floats)
      guard types[1].dtype == .i32 || types[1].dtype == .i64 else {
        throw OpError(
          "labels are i32 or i64, not \(types[1].dtype)", operands: [(1, nil)],
          note: "declare them so, as in label: i32[B], or convert them: cast(x, i32)")
      }
      let expected = Array(types[0].shape.dropLast())
      guard types[1].shape == expected else {
        throw OpError(
          "labels of shape \(shapeText(types[1].shape)) do not fit logits of shape \(shapeText(types[0].shape))",
          operands: [(0, nil), (1, nil)], note: "labels of shape \(shapeText(expected)) are expected")
      }
      _ = try elementCount(types[0].shape)
      return TensorType(dtype.arithmetic, [])
    },
    evaluate: { x, attributes, result in
      if isWeighed(x.map(\.rank), attributes) {
        let dtypes: [Int: DType] = x[0].rank == x[1].rank ? [:] : [1: .i32]
        return evaluated(weighedEntropy, x, attributes, result, dtypes)
      }
      let classes = x[0].shape.last ?? 1
      let logs = x[0].rows(along: x[0].rank - 1, logSoftmaxRow)
      let picked = x[1].data.enumerated().map { row, label in
        label >= 0 && label < Double(classes) ? logs.data[row * classes + Int(label)] : 0
      }
      return .scalar(-pairwiseSum(picked[...]) / Double(picked.count))
    },
    gradient: .rule { b, node, value, g in
      if isWeighed(node.operands.map { b.type($0).rank }, node.attributes),
        case .rule(let rule) = OpGradient.ofFormula(weighedEntropy)
      {
        return rule(&b, node, value, g)
      }
      let dtype = b.type(node.operands[0]).dtype
      let x = b.cast(node.operands[0], to: dtype.arithmetic)
      let type = b.type(x)
      let inside = b.spread(isClass(&b, node.operands[1], classes: type.shape[type.rank - 1]), over: type.shape)
      let hot = isLabel(&b, node.operands[1], type.shape)
      let logs = logSoftmaxFormula(&b, x, type.rank - 1)
      // `p - 1` of the label by `expm1`: next to 1, a difference would be 0.
      let atLabel = b.make(.expm1, [labelLogs(&b, logs, hot)])
      let share = b.dividedByCount(g, of: Array(type.shape.dropLast()))
      let slope = b.select(inside, b.select(hot, b.spread(atLabel, like: x), b.exp(logs)), b.fill(0, like: x))
      return [b.cast(b.mul(slope, b.broadcast(share, to: type.shape)), to: dtype), nil]
    },
    lowering: .formulaOfNode { b, node, wide in
      if isWeighed(wide.map { b.type($0).rank }, node.attributes) {
        return weighedEntropy(&b, wide, node.attributes, node.type)
      }
      let type = b.type(wide[0])
      let logs = logSoftmaxFormula(&b, wide[0], type.rank - 1)
      let picked = labelLogs(&b, logs, isLabel(&b, wide[1], type.shape))
      let total = b.neg(b.sum(picked, Array(type.shape.indices)))
      return b.dividedByCount(total, of: Array(type.shape.dropLast()))
    })

  static let mseLoss = loss(
    "The mean of the squared difference.",
    gradient: { b, x in
      let slope = b.scale(b.sub(x[0], x[1]), by: 2)
      return (slope, b.neg(slope))
    },
    formula: { b, x, _ in
      let difference = b.sub(x[0], x[1])
      return b.mul(difference, difference)
    }, { x, y, _ in (x - y) * (x - y) })

  static let l1Loss = loss(
    "The mean of the absolute difference.",
    gradient: { b, x in
      let slope = b.make(.sign, [b.sub(x[0], x[1])])
      return (slope, b.neg(slope))
    }, formula: { b, x, _ in b.make(.abs, [b.sub(x[0], x[1])]) }, { x, y, _ in Swift.abs(x - y) })

  static let bceWithLogits = loss(
    "The mean binary cross entropy of `sigmoid(x)` with the target, stable for every `x`.", on: (.any, .unit),
    gradient: { b, x in (logitSlope(&b, x[0], x[1]), b.neg(x[0])) },
    formula: { b, x, _ in b.add(b.mul(x[0], missed(&b, x[0], x[1])), softplusTail(&b, x[0])) },
    { x, y, _ in Swift.max(x, 0) - x * y + Foundation.log1p(Foundation.exp(-Swift.abs(x))) })

  // Logarithms are held at -100, and the slope's denominator at 1e-12, as in PyTorch.
  static let binaryCrossEntropy = loss(
    "The mean binary cross entropy of a probability with the target. Not for half: `bce_with_logits` is.",
    precision: .banned, on: (.unit, .unit),
    gradient: { b, x in
      let other = b.sub(b.fill(1, like: x[0]), x[0])
      let spread = b.make(.maximum, [b.mul(x[0], other), b.fill(1e-12, like: x[0])])
      let target = b.sub(clampedLogOfRest(&b, x[0]), clampedLog(&b, x[0]))
      return (b.div(b.sub(x[0], x[1]), spread), target)
    },
    formula: { b, x, _ in
      let one = b.fill(1, like: x[0])
      let hit = b.mul(x[1], clampedLog(&b, x[0]))
      let miss = b.mul(b.sub(one, x[1]), clampedLogOfRest(&b, x[0]))
      return b.neg(b.add(hit, miss))
    },
    { x, y, _ in
      -(y * Swift.max(Foundation.log(x), -100) + (1 - y) * Swift.max(Foundation.log1p(-x), -100))
    })

  static let huberLoss = OpDefinition(
    "The mean of half the squared difference up to `delta`, linear beyond.",
    signature: lossSignature + [OpParameter("delta", .float, default: .float(1))], precision: .loss,
    infer: { (types, attributes) throws(OpError) in
      let delta = try attributes.required("delta", attributes.float("delta"))
      guard delta > 0 else { throw OpError("delta is \(delta), and it is positive") }
      return try inferLoss(types, attributes)
    },
    evaluate: { x, attributes, _ in
      let delta = attributes[float: "delta"]
      return meanLoss(x) { a, b in
        let d = Swift.abs(a - b)
        return d <= delta ? 0.5 * d * d : delta * (d - 0.5 * delta)
      }
    },
    gradient: .loss { b, node, x in
      let delta = node.attributes[float: "delta"]
      let d = b.sub(x[0], x[1])
      let linear = b.scale(b.make(.sign, [d]), by: delta)
      let slope = b.select(b.make(.lessEqual, [b.make(.abs, [d]), b.fill(delta, like: d)]), d, linear)
      return (slope, b.neg(slope))
    },
    lowering: .formulaOfNode { b, node, x in
      let delta = node.attributes[float: "delta"]
      let d = b.make(.abs, [b.sub(x[0], x[1])])
      let linear = b.scale(b.offset(d, by: -0.5 * delta), by: delta)
      let square = b.scale(b.mul(d, d), by: 0.5)
      return b.meanOfAll(b.select(b.make(.lessEqual, [d, b.fill(delta, like: d)]), square, linear))
    }, examples: [OpExample([([2, 3], .any), ([2, 3], .any)], ["delta": .float(0.7)])])
}

private let lossSignature = [OpParameter("x", .tensor), OpParameter("target", .tensor)]

/// Slopes of one position's loss for both operands, all in wide form.
typealias LossSlopes = @Sendable (inout GraphBuilder, Node, _ x: [ValueID]) -> (ValueID, ValueID)

extension OpDefinition {
  private static func loss(
    _ summary: String, precision: PrecisionClass = .loss, on fills: (OpExample.Fill, OpExample.Fill) = (.any, .any),
    gradient: @escaping @Sendable (inout GraphBuilder, _ x: [ValueID]) -> (ValueID, ValueID),
    formula: @escaping @Sendable (inout GraphBuilder, _ x: [ValueID], Node) -> ValueID,
    _ function: @escaping @Sendable (Double, Double, Attributes) -> Double
  ) -> OpDefinition {
    OpDefinition(
      summary, signature: lossSignature, precision: precision, infer: precision == .banned ? inferBanned : inferLoss,
      evaluate: { x, attributes, _ in meanLoss(x) { function($0, $1, attributes) } },
      gradient: .loss { b, _, x in gradient(&b, x) },
      lowering: .formulaOfNode { b, node, x in b.meanOfAll(formula(&b, x, node)) },
      examples: [OpExample([([2, 3], fills.0), ([2, 3], fills.1)])])
  }
}

extension OpGradient {
  /// The rule of a mean over positions: slopes times the gradient over the count.
  fileprivate static func loss(_ slopes: @escaping LossSlopes) -> OpGradient {
    .rule { b, node, _, g in
      let dtypes = node.operands.map { b.type($0).dtype }
      let wide = node.operands.map { b.cast($0, to: node.type.dtype.arithmetic) }
      let shape = b.type(wide[0]).shape
      let share = b.broadcast(b.dividedByCount(g, of: shape), to: shape)
      let (left, right) = slopes(&b, node, wide)
      return [b.cast(b.mul(left, share), to: dtypes[0]), b.cast(b.mul(right, share), to: dtypes[1])]
    }
  }
}

extension OpLowering {
  /// Like `formula`, with the node at hand for its attributes: floats wide, the rest as they are.
  static func formulaOfNode(
    _ formula: @escaping @Sendable (inout GraphBuilder, Node, _ wide: [ValueID]) -> ValueID
  ) -> OpLowering {
    .decompose { b, node in
      let wide = node.operands.map { operand in
        b.type(operand).dtype.isFloating ? b.cast(operand, to: node.type.dtype.arithmetic) : operand
      }
      return b.cast(formula(&b, node, wide), to: node.type.dtype)
    }
  }
}

private let inferLoss: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 2...2)
  let dtype = try joinedDType(types, .floats)
  try requireEqualShapes(types)
  _ = try elementCount(types[0].shape)
  return TensorType(dtype.arithmetic, [])
}

private let inferBanned: InferRule = { (types, attributes) throws(OpError) in
  if let index = types.firstIndex(where: { $0.dtype.isHalf }) {
    throw OpError(
      "binary_cross_entropy cannot run on \(types[index].dtype): its logarithms overflow there",
      operands: [(index, nil)],
      note: "use bce_with_logits on the values before the sigmoid, which is safe in 16 bits")
  }
  return try inferLoss(types, attributes)
}

private func meanLoss(_ x: [Reference], _ function: (Double, Double) -> Double) -> Reference {
  let losses = x[0].zip(x[1], function)
  return .scalar(pairwiseSum(losses.data[...]) / Double(losses.data.count))
}

private func clampedLog(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.make(.maximum, [b.make(.log, [x]), b.fill(-100, like: x)])
}

/// The logarithm of `1 - x`, which keeps a small `x`.
private func clampedLogOfRest(_ b: inout GraphBuilder, _ x: ValueID) -> ValueID {
  b.make(.maximum, [b.make(.log1p, [b.neg(x)]), b.fill(-100, like: x)])
}

/// What the target leaves of a logit's step function: `1 - t` where the logit is positive, `-t` elsewhere. A logit on the
/// right side of its label is then multiplied by 0, where `max(x, 0) - x * t` would have to cancel.
private func missed(_ b: inout GraphBuilder, _ x: ValueID, _ target: ValueID) -> ValueID {
  let isPositive = b.make(.greater, [x, b.fill(0, like: x)])
  return b.select(isPositive, b.sub(b.fill(1, like: target), target), b.neg(target))
}

/// `sigmoid(x) - t`, where `sigmoid(x)` is its step function and a tail.
private func logitSlope(_ b: inout GraphBuilder, _ x: ValueID, _ target: ValueID) -> ValueID {
  let e = b.exp(b.neg(b.make(.abs, [x])))
  let tail = b.div(e, b.offset(e, by: 1))
  let isPositive = b.make(.greater, [x, b.fill(0, like: x)])
  return b.add(missed(&b, x, target), b.select(isPositive, b.neg(tail), tail))
}

/// Along the last axis the logarithm at the label, which keeps that axis; 0 for a label outside.
private func labelLogs(_ b: inout GraphBuilder, _ logs: ValueID, _ hot: ValueID) -> ValueID {
  b.sum(b.select(hot, logs, b.fill(0, like: logs)), [b.type(logs).rank - 1], keep: true)
}

/// Where the class along the last axis is the label.
func isLabel(_ b: inout GraphBuilder, _ labels: ValueID, _ shape: [Dim]) -> ValueID {
  let (dtype, last) = (b.type(labels).dtype, shape.count - 1)
  let classes = b.make(.iota, [], ["shape": .dims(shape), "axis": .int(last), "dtype": .dtype(dtype)])
  return b.make(.equal, [classes, b.broadcast(labels, to: shape, axes: Array(0..<last))])
}

/// Whether a label is one of the classes.
func isClass(_ b: inout GraphBuilder, _ labels: ValueID, classes: Dim) -> ValueID {
  let type = b.type(labels)
  let count = b.broadcast(b.dimension(classes, type.dtype), to: type.shape)
  let small = b.make(.less, [labels, count])
  return b.make(.and, [small, b.make(.greaterEqual, [labels, b.constant(0, type)])])
}

extension GraphBuilder {
  fileprivate mutating func spread(_ value: ValueID, over shape: [Dim]) -> ValueID {
    broadcast(value, to: shape, axes: Array(0..<type(value).rank))
  }
}
