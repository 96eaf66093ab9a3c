import LTMIR

// Casts, and ops that only move elements: what changes nothing goes, two in a row become one.

/// An op that is its operand whenever it has its operand's type.
let sameType: Identity = { node, b in
  b.type(node.operands[0]) == node.type ? .value(node.operands[0]) : .unchanged
}

/// A cast of a cast is one cast where the first changes no value; otherwise its rounding is a barrier.
let castIdentity: Identity = { node, b in
  if case .value(let value) = sameType(node, b) { return .value(value) }
  guard let (inner, operand) = innerOperand(node, b), b.type(inner).dtype.isExact(in: operand.type.dtype) else {
    return .unchanged
  }
  return b.type(inner) == node.type ? .value(inner) : .node(.cast, [inner], node.attributes)
}

let reshapeIdentity: Identity = { node, b in
  if case .value(let value) = sameType(node, b) { return .value(value) }
  return innerOperand(node, b).map { .node(.reshape, [$0.inner], node.attributes) } ?? .unchanged
}

let broadcastIdentity: Identity = { node, b in
  if case .value(let value) = sameType(node, b) { return .value(value) }
  guard let (inner, operand) = innerOperand(node, b), let outer = node.attributes.ints("axes"),
    let before = operand.attributes.ints("axes")
  else { return .unchanged }
  return .node(.broadcast, [inner], ["shape": .dims(node.type.shape), "axes": .ints(before.map { outer[$0] })])
}

let transposeIdentity: Identity = { node, b in
  guard let permutation = node.attributes.ints("permutation") else { return .unchanged }
  if permutation == permutation.sorted() { return .value(node.operands[0]) }
  guard let (inner, operand) = innerOperand(node, b), let before = operand.attributes.ints("permutation") else {
    return .unchanged
  }
  return .node(.transpose, [inner], ["permutation": .ints(permutation.map { before[$0] })])
}

/// The operand's operand, where the operand is the same op.
private func innerOperand(_ node: Node, _ b: GraphBuilder) -> (inner: ValueID, operand: Node)? {
  let operand = b.graph[node.operands[0]]
  return operand.op == node.op ? (operand.operands[0], operand) : nil
}

extension DType {
  /// Whether every value of this dtype is one of `other`.
  package func isExact(in other: DType) -> Bool {
    if self == other { return true }
    switch (self, other) {
    case (.float, _), (_, .float), (_, .bool): return false
    case (.bool, _): return true
    case (.u8, _): return true
    case (.f16, .f32), (.f16, .f64), (.bf16, .f32), (.bf16, .f64), (.f32, .f64): return true
    case (.i32, .i64), (.i32, .f64): return true
    case (.f16, _), (.bf16, _), (.f32, _), (.f64, _), (.i32, _), (.i64, _): return false
    }
  }
}
