// Rows: comparisons, logic and choice, elementwise, and the ops that only say something about a dtype.

extension OpDefinition {
  static let equal = comparison("`a == b`", .anything, .equal) { $0 == $1 }
  static let notEqual = comparison("`a != b`", .anything, .notEqual) { $0 != $1 }
  static let less = comparison("`a < b`", .numbers, .less) { $0 < $1 }
  static let lessEqual = comparison("`a <= b`", .numbers, .lessEqual) { $0 <= $1 }
  static let greater = comparison("`a > b`", .numbers, .greater) { $0 > $1 }
  static let greaterEqual = comparison("`a >= b`", .numbers, .greaterEqual) { $0 >= $1 }
  static let and = comparison("Both.", .bools, .and) { $0 != 0 && $1 != 0 }
  static let or = comparison("Either.", .bools, .or) { $0 != 0 || $1 != 0 }

  static let not = unary(
    "The opposite.", .never, .bools, gradient: .none, lowering: .primitive(.not), { $0 == 0 ? 1 : 0 })

  static let isFinite = OpDefinition(
    "Whether a number is neither NaN nor infinite.", signature: [OpParameter("x", .tensor)], precision: .follow,
    infer: elementwise(1, .floats, result: .bool), evaluate: { x, _, _ in x[0].map { $0.isFinite ? 1 : 0 } },
    gradient: .none, lowering: .primitive(.isFinite))

  static let `where` = OpDefinition(
    "`a` where the condition holds, `b` elsewhere.",
    signature: [OpParameter("condition", .tensor), OpParameter("a", .tensor), OpParameter("b", .tensor)],
    precision: .widest,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 3...3)
      guard types[0].dtype == .bool else {
        throw OpError("the condition is \(types[0].dtype), not bool", operands: [(0, nil)], note: "compare it: x != 0")
      }
      try requireEqualShapes(types)
      let dtype: DType
      do throws(OpError) {
        dtype = try joinedDType(Array(types.dropFirst()), .anything)
      } catch {
        throw OpError(error.message, operands: error.operands.map { ($0.index + 1, $0.dim) }, note: error.note)
      }
      return types[0].with(dtype)
    },
    evaluate: { x, _, _ in
      Reference(shape: x[0].shape, data: x[0].data.indices.map { x[x[0].data[$0] != 0 ? 1 : 2].data[$0] })
    },
    gradient: .rule { b, node, _, g in
      let zero = b.fill(0, like: g)
      let parts = [b.select(node.operands[0], g, zero), b.select(node.operands[0], zero, g)]
      return [nil] + zip(parts, node.operands.dropFirst()).map { b.cast($0, to: b.type($1).dtype) }
    }, lowering: .primitive(.select))

  static let cast = OpDefinition(
    "The value in another dtype, rounded to nearest even; to an integer, truncated; to bool, `x != 0`. A barrier: no pass "
      + "removes the rounding. With `rounds: false`, between floats, it is rounded only where it is stored.",
    signature: [
      OpParameter("x", .tensor), OpParameter("dtype", .dtype),
      OpParameter("rounds", .bool, default: .bool(true), isOptional: true),
    ],
    precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      return types[0].with(try attributes.required("dtype", attributes.dtype("dtype")))
    },
    evaluate: { x, _, result in result.dtype.isFloating ? x[0] : x[0].map(result.dtype.round) },
    gradient: .rule { b, node, _, g in
      let dtype = b.type(node.operands[0]).dtype
      return [dtype.isFloating && node.type.dtype.isFloating ? b.cast(g, to: dtype) : nil]
    }, lowering: .structural { attributes, _ in .cast(rounds: attributes.bool("rounds") ?? true) })

  static let stopGradient = OpDefinition(
    "The value, through which no gradient flows.", signature: [OpParameter("x", .tensor)], precision: .follow,
    infer: elementwise(1, .anything), evaluate: { x, _, _ in x[0] }, gradient: .none,
    lowering: .decompose { _, node in node.operands[0] })

  static let after = OpDefinition(
    "The first operand, once the second is there. A barrier: what is made of it is never merged with what is made of the "
      + "operand itself, so that a value computed again in the backward pass is not kept from the forward pass instead.",
    isCallable: false, signature: [OpParameter("x", .tensor), OpParameter("other", .tensor)], precision: .follow,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 2...2)
      try requireEqualShapes(types)
      guard types[0].dtype == types[1].dtype || types.allSatisfy(\.dtype.isFloating) else {
        throw OpError("operands are \(types[0].dtype) and \(types[1].dtype)", operands: [(0, nil), (1, nil)])
      }
      return types[0]
    }, evaluate: { x, _, _ in x[0] }, gradient: .rule { _, _, _, g in [g, nil] }, lowering: .primitive(.after))
}
