import LTMIR

extension Lowering {
  /// A reduction over the attribute `axes`. Sums and products of half accumulate in f32 and narrow once; those of bytes and
  /// bools count in i32.
  mutating func reduction(_ node: Node, _ x: HLOValue, _ combiner: Combiner) -> HLOValue {
    let axes = node.attributes[ints: "axes"]
    let shape = HLOType(node.type).shape
    let value = cast(x, to: combiner.accumulates ? x.dtype.accumulator : x.dtype)
    guard !axes.isEmpty else { return cast(value, to: node.type.dtype) }
    let start = builder.constant(combiner.identity, like: value.type.scalar)
    let left = value.type.shape.indices.filter { !axes.contains($0) }.map { value.type.shape[$0] }
    let result = HLOType(value.dtype, left)
    let total = builder.emit(
      "reduce",
      "(\(value.name) init: \(start.name)) applies stablehlo.\(combiner.hloName) across dimensions = \(list(axes)) : "
        + signature([value, start], result), result)
    return builder.reshape(cast(total, to: node.type.dtype), to: shape)
  }

  /// The index of the largest or smallest element; of equals the first, and NaN wins. A reduction over pairs of element and
  /// index, whose combination does not depend on the order.
  mutating func indexOfExtremum(_ x: HLOValue, _ combiner: Combiner, axis: Int, _ type: HLOType) -> HLOValue {
    let indices = builder.emit("iota", "dim = \(axis) : \(x.type.with(.i32))", x.type.with(.i32))
    let worst = builder.constant(combiner.identity, like: x.type.scalar)
    let zero = builder.constant(Int64(0), HLOType(.i32, []))
    var left = x.type.shape
    left.remove(at: axis)
    let name = builder.step("best")
    let results = "(\(HLOType(x.dtype, left)), \(HLOType(.i32, left)))"
    let operands = [x, indices, worst, zero].map(\.type.description).joined(separator: ", ")
    let head =
      "stablehlo.reduce(\(x.name) init: \(worst.name)), (\(indices.name) init: \(zero.name)) across dimensions = "
      + "[\(axis)] : (\(operands)) -> \(results)"
    let body = pairReducer(x.type.scalar, combiner == .maximum ? "GT" : "LT").map { "\n      \($0)" }.joined()
    builder.emit(line: head + body, as: name + ":2")
    return builder.reshape(HLOValue(name: name + "#1", type: HLOType(.i32, left)), to: type.shape)
  }

  private func pairReducer(_ element: HLOType, _ wins: String) -> [String] {
    let kind = element.dtype.comparisonKind
    let (a, b) = ("%a", "%b")
    func compare(_ name: String, _ direction: String, _ l: String, _ r: String) -> String {
      "  \(name) = stablehlo.compare \(direction), \(l), \(r), \(kind) : (\(element), \(element)) -> tensor<i1>"
    }
    func logic(_ name: String, _ op: String, _ l: String, _ r: String) -> String {
      "  \(name) = stablehlo.\(op) \(l), \(r) : tensor<i1>"
    }
    return ["reducer(\(a): \(element), \(b): \(element)) (%i: tensor<i32>, %j: tensor<i32>) {"] + [
      compare("%beats", wins, a, b), compare("%equal", "EQ", a, b),
      compare("%a_nan", "NE", a, a), compare("%b_nan", "NE", b, b), compare("%b_number", "EQ", b, b),
      logic("%only_nan", "and", "%a_nan", "%b_number"), logic("%both_nan", "and", "%a_nan", "%b_nan"),
      logic("%better", "or", "%beats", "%only_nan"), logic("%same", "or", "%equal", "%both_nan"),
      "  %first = stablehlo.compare LT, %i, %j, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>",
      logic("%tie", "and", "%same", "%first"), logic("%keep", "or", "%better", "%tie"),
      "  %element = stablehlo.select %keep, \(a), \(b) : tensor<i1>, \(element)",
      "  %index = stablehlo.select %keep, %i, %j : tensor<i1>, tensor<i32>",
      "  stablehlo.return %element, %index : \(element), tensor<i32>", "}",
    ]
  }
}

extension Combiner {
  /// Whether the running value needs more room than the elements.
  fileprivate var accumulates: Bool {
    switch self {
    case .add, .multiply: true
    case .maximum, .minimum, .and, .or: false
    }
  }

  fileprivate var hloName: String {
    switch self {
    case .add, .multiply, .maximum, .minimum, .and, .or: rawValue
    }
  }
}

extension HLOBuilder {
  /// What a reduction starts from; for integers, an infinity is the limit.
  fileprivate mutating func constant(_ identity: Double, like type: HLOType) -> HLOValue {
    guard identity.isInfinite, !type.dtype.isFloating else { return constant(identity, type) }
    let limits = type.dtype.integerLimits
    return constant(identity < 0 ? limits.lowerBound : limits.upperBound, type)
  }
}
