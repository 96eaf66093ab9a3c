import LTMIR

/// What is said of an op that made a NaN or an infinity: how it came to it, and what can be done.
struct BlameNotes {
  let graph: Graph
  let origin: ValueID
  let facts: (ValueID) -> ValueFacts
  /// The scale of the attempt and the smallest one; `nil` where scaling is off.
  let lossScale: (scale: Double, floor: Double)?

  private var node: Node { graph[origin] }
  private func operand(_ index: Int) -> ValueFacts {
    node.operands.indices.contains(index) ? facts(node.operands[index]) : []
  }

  var notes: [String] {
    if let cause = facts(origin).contains(.nan) ? causeOfNaN : causeOfInfinity {
      return [cause] + scaleNotes(ofRange: false)
    }
    if facts(origin).contains(.nan) { return scaleNotes(ofRange: false) }
    return scaleNotes(ofRange: true) + [rangeNote]
  }

  // MARK: A NaN

  private var causeOfNaN: String? {
    let isInfinite = node.operands.contains { facts($0).isInfinite }
    switch node.op {
    case .softmax, .logSoftmax, .logsumexp, .crossEntropy: return isInfinite ? causeInExponentials : nil
    case .log, .log2:
      return operand(0).contains(.negative) ? "it has no value below 0, and its operand is negative" : nil
    case .log1p: return "it has no value below -1"
    case .sqrt, .rsqrt:
      return operand(0).contains(.negative) ? "it has no value below 0, and its operand is negative" : nil
    case .pow:
      return operand(0).contains(.negative)
        ? "a negative number has no power but whole ones; pow(abs(x), y) has all" : nil
    case .div:
      return isInfinite ? "inf / inf has no value" : "0 / 0 has no value: keep the divisor away from 0"
    case .mul: return isInfinite ? "0 * inf has no value" : nil
    case .add, .sub: return isInfinite ? "inf - inf has no value" : nil
    case .sin, .cos: return isInfinite ? "it has no value at an infinity" : nil
    case .variance:
      return isInfinite ? nil : "0 / 0: there are no more numbers than its correction; a larger batch has a variance"
    case .layerNorm, .rmsNorm, .batchNorm:
      return isInfinite
        ? "its operand holds an infinity"
        : "0 / 0, or the root of a negative variance: an eps above 0 keeps the divisor away from 0"
    default: return isInfinite ? "an operand holds an infinity: inf - inf and 0 * inf have no value" : nil
    }
  }

  private var causeInExponentials: String {
    if operand(0).contains(.positiveInfinity) { return "its operand holds inf: inf - inf has no value" }
    return
      "a row of its operand holds nothing but -inf, and 0 / 0 has no value: leave one entry of each row finite, as in "
      + "\(node.op.name)(where(any(mask, axis: -1, keep: true), x, 0), ...), and drop such rows afterwards"
  }

  // MARK: An infinity

  private var causeOfInfinity: String? {
    switch node.op {
    case .log, .log2: return operand(0).contains(.zero) ? "the logarithm of 0 is -inf: add a small number to it" : nil
    case .div: return operand(1).contains(.zero) ? divisionByZero : nil
    case .reciprocal, .rsqrt: return operand(0).contains(.zero) ? divisionByZero : nil
    case .log1p: return "its operand is -1"
    case .variance: return "it divides by 0: its correction is as large as the number of values"
    default: return nil
    }
  }

  private var divisionByZero: String {
    let differentiated = node.gradientOf.map { "the slope of \($0) is infinite at 0" } ?? "it divides by 0"
    return "\(differentiated): keep the operand away from 0, as with a small number added to it"
  }

  private var rangeNote: String {
    let dtype = node.type.dtype
    let end = "\(dtype) ends at \(plain(dtype.greatestFinite))"
    guard dtype.isHalf else { return end }
    let layer = node.scope.isEmpty ? "" : "keep the layer in f32 with keep-f32=\(node.scope), or "
    return "\(end): \(layer)compute it in @f32 { ... }"
  }

  // MARK: The scale

  /// Whether another scale would help: only where a scaled gradient left the range of its dtype.
  private func scaleNotes(ofRange isRange: Bool) -> [String] {
    guard let lossScale else { return [] }
    guard isScaled else { return ["it is computed before the gradient starts: no loss scale can help"] }
    if !isRange { return [] }
    let scaled = "it is a gradient scaled by \(plain(lossScale.scale))"
    return [
      lossScale.scale > lossScale.floor
        ? "\(scaled): a smaller loss scale can help" : "\(scaled), the smallest scale: no loss scale can help"
    ]
  }

  /// Whether it is computed from the loss scale.
  private var isScaled: Bool {
    guard let source = graph.input(StepControl.lossScale.rawValue)?.value, source <= origin else { return false }
    var reached = Array(repeating: false, count: origin.index + 1)
    reached[source.index] = true
    for index in reached.indices where graph.nodes[index].operands.contains(where: { reached[$0.index] }) {
      reached[index] = true
    }
    return reached[origin.index]
  }
}

extension Node {
  /// The op whose gradient this is part of; `nil` in the forward pass.
  var gradientOf: String? {
    reason.flatMap { $0.hasPrefix("gradient of ") ? String($0.dropFirst("gradient of ".count)) : nil }
  }
}
