import LTMSupport

// What an attention is given. The operands after query, key and value may each be left out, and their types tell them apart:
// bools are a mask, floats a bias, an i32 (or one for each row of the batch) is the position of the first query, and what
// comes last where weights are dropped is the key of random numbers. The attribute `given` says it to whoever has no types.

/// What an operand that may be left out is for; by its number in `given`.
enum AttentionOperand: Int, CaseIterable, Sendable {
  case mask, bias, offset, key

  /// What operands of these types are, each `nil` where it is none.
  static func read(_ types: ArraySlice<TensorType>, _ attributes: Attributes) -> [AttentionOperand?] {
    let hasKey = (attributes.float("dropout") ?? 0) > 0
    return types.indices.map { index in
      switch types[index].dtype {
      case .bool: .mask
      case .i32 where hasKey && index == types.endIndex - 1: .key
      case .i32: .offset
      case let dtype where dtype.isFloating: .bias
      default: nil
      }
    }
  }

  /// A dtype that such operands have.
  var dtype: DType {
    switch self {
    case .mask: .bool
    case .bias: .f64
    case .offset, .key: .i32
    }
  }
}

/// An attention's operands and attributes, read and checked.
package struct AttentionForm: Sendable {
  /// The places of the operands that may be left out.
  package private(set) var mask: Int?, bias: Int?, offset: Int?, key: Int?
  /// Whether a query sees no key behind its own position.
  package let isCausal: Bool
  /// How many keys up to its own position a query sees; without `causal`, as many the other way.
  package let window: Int?
  /// What scores are multiplied by; `nil`: one over the root of the depth.
  package let scale: Double?
  /// Scores end below it: `cap * tanh(score / cap)`.
  package let softCap: Double?
  /// Of 2^24 numbers those below it mean that a weight is dropped; the others' factor.
  package let threshold: Double, keptScale: Double
  package let batch: Dim, heads: Dim, groups: Dim, keyHeads: Dim
  package let queries: Dim, keys: Dim, depth: Dim, width: Dim

  /// - Parameter first: the place of the first operand that may be left out.
  init(_ types: [TensorType], _ attributes: Attributes, from first: Int) throws(OpError) {
    for index in 0..<3 {
      guard types[index].rank == 4 else {
        throw OpError(
          "query, key and value are [batch, heads, length, width], and this is \(shapeText(types[index].shape))",
          operands: [(index, nil)], note: "reshape [B, T, heads * width] to [B, T, heads, width], then permute")
      }
    }
    let (q, k, v) = (types[0].shape, types[1].shape, types[2].shape)
    try Self.requireEqual(q, k, 0, (0, 1), "batch sizes")
    try Self.requireEqual(k, v, 0, (1, 2), "batch sizes")
    try Self.requireEqual(k, v, 1, (1, 2), "numbers of heads")
    try Self.requireEqual(k, v, 2, (1, 2), "lengths")
    try Self.requireEqual(q, k, 3, (0, 1), "widths")
    guard let groups = q[1].dividedExactly(by: k[1]) else {
      throw OpError("\(q[1]) query heads do not share \(k[1]) key heads evenly", operands: [(0, 1), (1, 1)])
    }
    (batch, heads, keyHeads, self.groups) = (q[0], q[1], k[1], groups)
    (queries, keys, depth, width) = (q[2], k[2], q[3], v[3])
    isCausal = attributes.bool("causal") ?? false
    window = attributes.int("window")
    scale = attributes.float("scale")
    softCap = attributes.float("soft_cap")
    let dropout = attributes.float("dropout") ?? 0
    threshold = (dropout * 0x1p24).rounded()
    keptScale = dropout == 1 ? 0 : 1 / (1 - dropout)
    try checkNumbers(dropout)
    try readOptional(types, attributes, from: first)
    if threshold > 0, dropout > 0 {
      guard let key else { throw OpError("dropout needs a key") }
      try requireKey(types[key])
      try RandomForm.requireCountable(scores, attributes)
    }
  }

  /// Of a node that the verifier has seen.
  package init(proved types: [TensorType], _ attributes: Attributes, from first: Int = 3) {
    do throws(OpError) { self = try AttentionForm(types, attributes, from: first) } catch {
      internalFailure("graph", "an attention that was not verified: \(error.message)")
    }
  }

  /// The shape of the scores.
  package var scores: [Dim] { [batch, heads, queries, keys] }
  /// Whether some query may see no key, or not all of them.
  var hides: Bool { isCausal || window != nil || mask != nil || bias != nil }

  private static func requireEqual(
    _ a: [Dim], _ b: [Dim], _ axis: Int, _ operands: (Int, Int), _ what: String
  ) throws(OpError) {
    guard a[axis] != b[axis] else { return }
    let names = ["the query", "the key", "the value"]
    throw OpError(
      "the \(what) of \(names[operands.0]) and \(names[operands.1]) are \(a[axis]) and \(b[axis])",
      operands: [(operands.0, axis), (operands.1, axis)])
  }

  private func checkNumbers(_ dropout: Double) throws(OpError) {
    guard dropout >= 0, dropout <= 1 else {
      throw OpError("the probability of dropout is between 0 and 1, and this is \(dropout)")
    }
    if let window, window < 1 { throw OpError("a window holds 1 key or more, and this is \(window)") }
    if let softCap, !(softCap > 0) || !softCap.isFinite {
      throw OpError("scores are capped at a finite number above 0, and this is \(softCap)")
    }
    if let scale, !scale.isFinite { throw OpError("scores are scaled by a finite number, and this is \(scale)") }
  }

  private mutating func readOptional(
    _ types: [TensorType], _ attributes: Attributes, from first: Int
  ) throws(OpError) {
    var found: [AttentionOperand] = []
    let operands = AttentionOperand.read(types.dropFirst(first), attributes)
    for (index, (type, operand)) in zip(types.dropFirst(first), operands).enumerated().map({ ($0 + first, $1) }) {
      guard let operand else {
        throw OpError(
          "a mask is of bools or floats, a bias of floats, an offset of i32; this is \(type)", operands: [(index, nil)])
      }
      if found.contains(operand) { throw Self.repeated(operand, index) }
      found.append(operand)
      switch operand {
      case .mask: mask = index
      case .bias: bias = index
      case .offset: offset = index
      case .key: key = index
      }
      if operand == .mask || operand == .bias { try requireSpread(type, index, "the \(operand)") }
      if operand == .offset, type.rank > 0, type.shape != [batch] {
        throw OpError(
          "the offset is one number or one for each of \(batch) rows, and this is \(shapeText(type.shape))",
          operands: [(index, nil)])
      }
    }
    guard let given = attributes.ints("given") else { return }
    if given != found.map(\.rawValue) { throw OpError("the operands are \(found), and `given` says \(given)") }
  }

  private static func repeated(_ operand: AttentionOperand, _ index: Int) -> OpError {
    switch operand {
    case .mask: OpError("there are two masks", operands: [(index, nil)], note: "join them with &&")
    case .bias:
      OpError(
        "a mask of floats is added to the scores as a bias is, and there are both", operands: [(index, nil)],
        note: "give their sum as the bias")
    case .offset, .key: OpError("there are two operands of i32 alike", operands: [(index, nil)])
    }
  }

  /// Throws unless a shape spreads over that of the scores, its axes aligned at the end.
  private func requireSpread(_ type: TensorType, _ index: Int, _ what: String) throws(OpError) {
    let fits = zip(type.shape.reversed(), scores.reversed()).allSatisfy { $0 == 1 || $0 == $1 }
    guard type.rank <= 4, fits else {
      throw OpError(
        "\(what), \(shapeText(type.shape)), does not spread over the scores, \(shapeText(scores))",
        operands: [(index, nil)])
    }
  }
}

extension AttentionForm {
  /// Attributes with what the operands after `first` are.
  static func completed(_ types: [TensorType], _ attributes: Attributes, from first: Int) -> Attributes {
    let found = AttentionOperand.read(types.dropFirst(first), attributes).compactMap(\.self)
    guard !found.isEmpty, found.count == types.count - first, attributes["given"] == nil else { return attributes }
    var result = attributes
    result["given"] = .ints(found.map(\.rawValue))
    return result
  }

  /// The axes of the scores that have those of an operand which spreads over them.
  static func axes(of type: TensorType) -> [Int] { Array(4 - type.rank..<4) }
}
