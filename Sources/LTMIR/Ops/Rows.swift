// Constructors for the common kinds of row, so that a paragraph of the op table says only what is its own.

/// The gradient of a unary op: operand, value and gradient in the accumulator's dtype, the operand's gradient back. The value
/// is the unrounded one.
typealias UnaryRule = @Sendable (inout GraphBuilder, _ x: ValueID, _ y: ValueID, _ g: ValueID) -> ValueID
/// A formula over operands that are already in the accumulator's dtype.
typealias Formula = @Sendable (inout GraphBuilder, _ operands: [ValueID]) -> ValueID

extension OpGradient {
  /// A unary op's rule, computed in the accumulator's dtype and narrowed at the end.
  static func unary(_ rule: @escaping UnaryRule) -> OpGradient {
    .rule { b, node, value, gradient in
      let dtype = b.type(node.operands[0]).dtype
      let wide = [node.operands[0], gradient].map { b.cast($0, to: dtype.arithmetic) }
      let unrounded = b.unrounded(value, of: node, [wide[0]])
      return [b.cast(rule(&b, wide[0], unrounded, wide[1]), to: dtype)]
    }
  }

  /// A binary op's rule, likewise: `x` is `[a, b, value, gradient]`, the value unrounded.
  static func binary(
    _ left: @escaping Formula, _ right: @escaping Formula
  ) -> OpGradient {
    .rule { b, node, value, gradient in
      let dtypes = node.operands.map { b.type($0).dtype }
      let operands = node.operands.map { b.cast($0, to: dtypes[0].arithmetic) }
      let unrounded = b.unrounded(value, of: node, operands)
      let wide = operands + [unrounded, b.cast(gradient, to: dtypes[0].arithmetic)]
      return [b.cast(left(&b, wide), to: dtypes[0]), b.cast(right(&b, wide), to: dtypes[1])]
    }
  }
}

extension GraphBuilder {
  /// A node's value as its gradient reads it, in the accumulator's dtype. A half has lost the digits that a difference of it
  /// is made of, so the op is made again from its wide operands; where it is read, its formula is that of the forward pass.
  mutating func unrounded(_ value: ValueID, of node: Node, _ wide: [ValueID]) -> ValueID {
    guard type(value).dtype.isHalf else { return value }
    let saved = reason
    defer { reason = saved }
    reason = "\(node.op.name) again, before it was rounded"
    return make(node.op, wide, node.attributes)
  }
}

extension OpLowering {
  /// Simpler ops, elementwise, that compute in the accumulator's dtype. In between, and towards ops they are fused with,
  /// nothing is rounded: so nothing in them may tell values apart.
  static func formula(_ formula: @escaping Formula) -> OpLowering {
    .decompose { b, node in
      let wide = node.operands.map { operand in
        let dtype = b.type(operand).dtype
        return dtype.isFloating ? b.passed(operand, to: dtype.arithmetic) : operand
      }
      return b.passed(formula(&b, wide), to: node.type.dtype)
    }
  }
}

extension OpDefinition {
  /// One operand, elementwise, the result of its dtype.
  static func unary(
    _ summary: String, _ precision: PrecisionClass, _ accepted: Accepted = .floats, on fill: OpExample.Fill? = nil,
    gradient: OpGradient, lowering: OpLowering, _ function: @escaping @Sendable (Double) -> Double
  ) -> OpDefinition {
    OpDefinition(
      summary, signature: [OpParameter("x", .tensor)], precision: precision, infer: elementwise(1, accepted),
      evaluate: { operands, _, _ in operands[0].map(function) }, gradient: gradient, lowering: lowering,
      examples: fill.map { [OpExample([([2, 3], $0)])] } ?? [])
  }

  /// Two operands of one shape, elementwise, the result of their dtype.
  static func binary(
    _ summary: String, _ accepted: Accepted, _ precision: PrecisionClass = .widest, isCallable: Bool = true,
    on fills: (OpExample.Fill, OpExample.Fill)? = nil, gradient: OpGradient, lowering: OpLowering,
    _ function: @escaping @Sendable (Double, Double) -> Double
  ) -> OpDefinition {
    OpDefinition(
      summary, isCallable: isCallable, signature: [OpParameter("a", .tensor), OpParameter("b", .tensor)],
      precision: precision, infer: elementwise(2, accepted),
      evaluate: { operands, _, _ in operands[0].zip(operands[1], function) },
      gradient: gradient, lowering: lowering,
      examples: fills.map { [OpExample([([2, 3], $0.0), ([2, 3], $0.1)])] } ?? [])
  }

  /// Two operands of one shape, elementwise, a bool.
  static func comparison(
    _ summary: String, _ accepted: Accepted, _ primitive: Primitive,
    _ function: @escaping @Sendable (Double, Double) -> Bool
  ) -> OpDefinition {
    OpDefinition(
      summary, signature: [OpParameter("a", .tensor), OpParameter("b", .tensor)],
      precision: accepted == .bools ? .never : .widest, infer: elementwise(2, accepted, result: .bool),
      evaluate: { operands, _, _ in operands[0].zip(operands[1]) { function($0, $1) ? 1 : 0 } }, gradient: .none,
      lowering: .primitive(primitive))
  }
}
