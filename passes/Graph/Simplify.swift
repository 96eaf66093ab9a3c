import LTMIR

extension GraphPass {
  /// Identities that hold for every float, NaN, infinities and -0 included. A cast is dropped only where it changes no value.
  package static let simplify = GraphPass.everywhere("simplify", "applies identities that keep every bit") { (graph) in
    GraphRewriter.rewrite(graph) { b, node, _ in
      var node = node
      while true {
        let found = folded(node, b).map { .number($0) } ?? identities[node.op]?(node, b) ?? .unchanged
        switch found {
        case .unchanged: return b.append(node)
        case .value(let value): return value
        case .node(let op, let operands, let attributes):
          (node.op, node.operands, node.attributes) = (op, operands, attributes)
        case .number(let number): return b.constant(number, node.type)
        case .scaled(let value, let factor): return b.mul(value, b.constant(factor, node.type))
        }
      }
    }
  }
}

/// What a node is equal to.
enum Simplification {
  case unchanged
  /// An earlier value.
  case value(ValueID)
  /// Another op of the same type.
  case node(Op, [ValueID], Attributes)
  /// A number everywhere.
  case number(Double)
  /// A value times a number.
  case scaled(ValueID, Double)
}

/// An identity looks at a node, whose operands are already simplified.
typealias Identity = @Sendable (Node, GraphBuilder) -> Simplification

private let identities: [Op: Identity] = [
  .neg: involution, .not: involution, .add: sum, .sub: difference, .mul: product, .div: quotient,
  .where: { node, _ in node.operands[1] == node.operands[2] ? .value(node.operands[1]) : .unchanged },
  .cast: castIdentity, .broadcast: broadcastIdentity, .reshape: reshapeIdentity, .transpose: transposeIdentity,
  .slice: sameType, .pad: sameType, .concat: { node, b in node.operands.count == 1 ? sameType(node, b) : .unchanged },
  .sum: emptyReduction, .max: emptyReduction, .min: emptyReduction, .prod: emptyReduction,
]

private let involution: Identity = { node, b in
  let operand = b.graph[node.operands[0]]
  return operand.op == node.op ? .value(operand.operands[0]) : .unchanged
}

/// For floats `x + 0` stays, since it turns -0 into 0; `x + -0` goes.
private let sum: Identity = { node, b in
  func isNeutral(_ value: ValueID) -> Bool {
    guard let number = uniform(value, b), number == 0 else { return false }
    return number.sign == .minus || !node.type.dtype.isFloating
  }
  if isNeutral(node.operands[1]) { return .value(node.operands[0]) }
  return isNeutral(node.operands[0]) ? .value(node.operands[1]) : .unchanged
}

private let difference: Identity = { node, b in
  guard let number = uniform(node.operands[1], b), number == 0, number.sign == .plus else { return .unchanged }
  return .value(node.operands[0])
}

private let product: Identity = { node, b in
  if uniform(node.operands[1], b) == 1 { return .value(node.operands[0]) }
  return uniform(node.operands[0], b) == 1 ? .value(node.operands[1]) : .unchanged
}

/// A power of two has an exact reciprocal, and multiplying is cheaper.
private let quotient: Identity = { node, b in
  guard let divisor = uniform(node.operands[1], b) else { return .unchanged }
  if divisor == 1 { return .value(node.operands[0]) }
  // Within these exponents the reciprocal is a normal number of every float.
  let isExact = divisor.isNormal && abs(divisor.significand) == 1 && abs(divisor.exponent) <= 14
  return isExact && node.type.dtype != .float ? .scaled(node.operands[0], 1 / divisor) : .unchanged
}

private let emptyReduction: Identity = { node, b in
  node.attributes.ints("axes") == [] ? sameType(node, b) : .unchanged
}

/// The number that a value holds everywhere.
func uniform(_ value: ValueID, _ b: GraphBuilder) -> Double? {
  var node = b.graph[value]
  if node.op == .broadcast { node = b.graph[node.operands[0]] }
  return node.op == .constant ? node.attributes.float("value").map(node.type.dtype.round) : nil
}

/// Ops that every target computes with one correct rounding, and for which rounding twice (through f64) is harmless.
private let foldable: Set<Op> = [
  .neg, .abs, .add, .sub, .mul, .div, .sqrt, .minimum, .maximum, .cast, .equal, .notEqual, .less, .lessEqual, .greater,
  .greaterEqual, .and, .or, .not, .where, .isFinite,
]

/// The number that an op gives for numbers.
private func folded(_ node: Node, _ b: GraphBuilder) -> Double? {
  let dtypes = node.operands.map { b.type($0).dtype } + [node.type.dtype]
  guard foldable.contains(node.op), !dtypes.contains(.float), !dtypes.contains(.i64) else { return nil }
  var numbers: [Reference] = []
  for operand in node.operands {
    guard let number = uniform(operand, b) else { return nil }
    numbers.append(Reference(shape: [], data: [number]))
  }
  let result = node.op.definition.evaluate(numbers, node.attributes, TensorType(node.type.dtype, []))
  guard let number = result.data.first else { return nil }
  let rounded = node.type.dtype.round(number)
  // An integer that overflows is left to the target.
  return node.type.dtype.isFloating || rounded == number ? rounded : nil
}
