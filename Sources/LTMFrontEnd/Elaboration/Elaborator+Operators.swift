import Foundation
import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// `-x`, `!x`
  func unary(_ op: UnaryOperator, _ value: Value, _ operandSpan: Span, _ span: Span) -> Value {
    switch (op, value.kind) {
    case (_, .poison): return value
    case (.negate, .integer(let dim)):
      guard let result = dim.multiplied(by: -1) else { return overflow(span, dim) }
      return Value(.integer(result), span)
    case (.negate, .float(let number)): return Value(.float(-number), span)
    case (.not, .boolean(let bool)): return Value(.boolean(!bool), span)
    case (.negate, .tensor(let id)): return apply(.neg, [Operand(id, operandSpan)], [:], at: span)
    case (.not, .tensor(let id)): return apply(.not, [Operand(id, operandSpan)], [:], at: span)
    default: return fail("'\(op.rawValue)' does not apply to \(describe(value))", at: span)
    }
  }

  /// `a + b` and the like: by element on tensors, computed now on everything else.
  func binary(_ op: BinaryOperator, _ left: Expr, _ right: Expr, _ span: Span) -> Value {
    let a = evaluate(left)
    if case .boolean(let known) = a.kind, op == .and && !known || op == .or && known {
      return Value(.boolean(known), span)
    }
    let b = evaluate(right)
    if a.isPoison || b.isPoison { return Value(.poison, span) }
    guard a.isTensor || b.isTensor else { return needing([a, b]) { scalar(op, a, b, span) } }
    guard let operands = operands([(a, left.span), (b, right.span)]), let spread = broadcast(operands, at: span)
    else {
      return Value(.poison, span)
    }
    return apply(op.op, spread, [:], at: span)
  }

  private func scalar(_ op: BinaryOperator, _ a: Value, _ b: Value, _ span: Span) -> Value {
    switch (a.kind, b.kind) {
    case (.integer(let x), .integer(let y)): return integers(op, x, y, span)
    case (.boolean(let x), .boolean(let y)):
      switch op {
      case .and: return Value(.boolean(x && y), span)
      case .or: return Value(.boolean(x || y), span)
      case .equal: return Value(.boolean(x == y), span)
      case .notEqual: return Value(.boolean(x != y), span)
      default: break
      }
    case (.string(let x), .string(let y)):
      if op == .equal { return Value(.boolean(x == y), span) }
      if op == .notEqual { return Value(.boolean(x != y), span) }
      if op == .add {
        return fail("strings are put together in one: \"\\(a)\\(b)\"", at: span)
      }
    case (.dtype(let x), .dtype(let y)):
      if op == .equal { return Value(.boolean(x == y), span) }
      if op == .notEqual { return Value(.boolean(x != y), span) }
    default:
      if let x = a.number, let y = b.number { return floats(op, x, y, span) }
      if let mixed = symbolic(op, a, b, span) { return mixed }
    }
    return fail("'\(op.rawValue)' does not apply to \(describe(a)) and \(describe(b))", at: span)
  }

  /// A symbolic dimension beside a Float is a number that the graph computes.
  private func symbolic(_ op: BinaryOperator, _ a: Value, _ b: Value, _ span: Span) -> Value? {
    guard inGraph, a.isNumeric, b.isNumeric else { return nil }
    let dtype = pin ?? .float
    guard let x = constant(a, dtype, at: a.origin), let y = constant(b, dtype, at: b.origin) else { return nil }
    return apply(op.op, [Operand(x, a.origin), Operand(y, b.origin)], [:], at: span)
  }

  private func floats(_ op: BinaryOperator, _ x: Double, _ y: Double, _ span: Span) -> Value {
    switch op {
    case .add: Value(.float(x + y), span)
    case .subtract: Value(.float(x - y), span)
    case .multiply: Value(.float(x * y), span)
    case .divide: Value(.float(x / y), span)
    case .power: Value(.float(Foundation.pow(x, y)), span)
    case .equal: Value(.boolean(x == y), span)
    case .notEqual: Value(.boolean(x != y), span)
    case .less: Value(.boolean(x < y), span)
    case .lessEqual: Value(.boolean(x <= y), span)
    case .greater: Value(.boolean(x > y), span)
    case .greaterEqual: Value(.boolean(x >= y), span)
    case .and, .or: fail("'\(op.rawValue)' applies to Bools", at: span)
    }
  }

  private func integers(_ op: BinaryOperator, _ x: Dim, _ y: Dim, _ span: Span) -> Value {
    switch op {
    case .add: x.adding(y).map { Value(.integer($0), span) } ?? overflow(span, x, y)
    case .subtract: x.subtracting(y).map { Value(.integer($0), span) } ?? overflow(span, x, y)
    case .multiply: x.multiplied(by: y).map { Value(.integer($0), span) } ?? overflow(span, x, y)
    case .divide: quotient(x, y, span)
    case .power: power(x, y, span)
    case .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual: comparison(op, x, y, span)
    case .and, .or: fail("'\(op.rawValue)' applies to Bools", at: span)
    }
  }

  func overflow(_ span: Span, _ dims: Dim...) -> Value {
    let isNumber = dims.allSatisfy { $0.constant != nil }
    return fail(
      isNumber ? "this Int overflows 64 bits" : "this dimension is too large: it overflows, or has too many terms",
      at: span)
  }

  private func quotient(_ x: Dim, _ y: Dim, _ span: Span) -> Value {
    if y.constant == 0 { return fail("division by zero", at: span) }
    if let a = x.constant, let b = y.constant, a.dividedReportingOverflow(by: b).overflow {
      return overflow(span, x, y)
    }
    if let exact = x.dividedExactly(by: y) { return Value(.integer(exact), span) }
    if x.constant == nil || y.constant == nil {
      return fail(
        "whether \(x) / \(y) is a whole number is not known here", at: span,
        notes: ["div(\(x), \(y)) rounds down, whatever the size is"])
    }
    return fail(
      "\(x) / \(y) is not a whole number", at: span,
      notes: ["'/' on Ints must be exact; div(a, b) rounds down, and a Float operand divides as Floats"])
  }

  /// What to do where a size must be known.
  static let sizeNote =
    "a symbolic dimension is known when the function is called; a size to compute with is an Int argument of the layer or model"

  private func power(_ x: Dim, _ y: Dim, _ span: Span) -> Value {
    guard let exponent = y.constant, exponent >= 0 else {
      return fail("the exponent of an Int is a known Int, 0 or more", at: span)
    }
    var result: Dim = 1
    if x == 1 || x == 0 && exponent > 0 { return Value(.integer(x), span) }
    if x == -1 { return Value(.integer(exponent % 2 == 0 ? 1 : -1), span) }
    // 2 ** 63 overflows already, and so does everything larger.
    for _ in 0..<min(exponent, 64) {
      guard let next = result.multiplied(by: x) else { return overflow(span, x) }
      result = next
    }
    return exponent > 64 ? fail("the exponent \(exponent) is too large", at: span) : Value(.integer(result), span)
  }

  /// Decided where the difference is a number, whatever the symbols are.
  private func comparison(_ op: BinaryOperator, _ x: Dim, _ y: Dim, _ span: Span) -> Value {
    guard let difference = x.subtracting(y) else { return overflow(span, x, y) }
    guard let sign = difference.constant else {
      return fail(
        "whether \(x) \(op.rawValue) \(y) is known only when the dimensions are", at: span,
        notes: ["what 'if' and 'for' depend on is known at compile time"])
    }
    switch op {
    case .equal: return Value(.boolean(sign == 0), span)
    case .notEqual: return Value(.boolean(sign != 0), span)
    case .less: return Value(.boolean(sign < 0), span)
    case .lessEqual: return Value(.boolean(sign <= 0), span)
    case .greater: return Value(.boolean(sign > 0), span)
    case .greaterEqual: return Value(.boolean(sign >= 0), span)
    case .add, .subtract, .multiply, .divide, .power, .and, .or:
      internalFailure("elaboration", "'\(op.rawValue)' is no comparison")
    }
  }
}

extension Value {
  var isTensor: Bool { if case .tensor = kind { true } else { false } }

  var isNumeric: Bool {
    switch kind {
    case .integer, .float: true
    default: false
    }
  }
}

extension BinaryOperator {
  /// The op that it is on tensors.
  var op: Op {
    switch self {
    case .add: .add
    case .subtract: .sub
    case .multiply: .mul
    case .divide: .div
    case .power: .pow
    case .equal: .equal
    case .notEqual: .notEqual
    case .less: .less
    case .lessEqual: .lessEqual
    case .greater: .greater
    case .greaterEqual: .greaterEqual
    case .and: .and
    case .or: .or
    }
  }
}
