import LTMIR

extension Expression {
  /// The same, as a person writes it: no factor 1, no parts of parts, no shape before another, `silu(x)` for `x * sigmoid(x)`.
  var simplified: Expression {
    switch self {
    case .name, .number, .single, .size, .word: return self
    case .list(let items): return .list(items.map(\.simplified))
    case .tuple(let items): return .tuple(items.map(\.simplified))
    case .call(let name, let operands, let named): return .call(name, operands.map(\.simplified), named)
    case .member(let x, let name): return .member(x.simplified, name)
    case .prefix(let op, let x): return .prefix(op, x.simplified)
    case .method(let x, let name, let operands):
      let x = x.simplified
      if name == "reshape", case .method(let inner, "reshape", _) = x { return .method(inner, name, operands) }
      return .method(x, name, operands)
    case .infix(let a, let op, let b): return Self.infixed(a.simplified, op, b.simplified)
    case .part(let x, let parts):
      let x = x.simplified
      if case .part(let whole, let others) = x, let joined = Self.joined(others, parts) { return .part(whole, joined) }
      return .part(x, parts)
    }
  }

  /// The functions that simplification writes.
  static let rewritten: Set<String> = ["silu", "gelu"]

  private static func infixed(_ a: Expression, _ op: Infix, _ b: Expression) -> Expression {
    if op == .add, case .call("matmul", _, _) = b, a.isPlain { return .infix(b, .add, a) }
    if op == .multiply, let x = gelu(factors(a) + factors(b)) { return .call("gelu", [.name(x)], []) }
    if op == .multiply {
      if b.isOne { return a }
      if a.isOne { return b }
      if case .name(let x) = a, case .call("sigmoid", let operands, _) = b,
        case .name(let y)? = operands.first, x == y
      {
        return .call("silu", [a], [])
      }
    }
    if op == .divide, b.isOne { return a }
    return .infix(a, op, b)
  }

  private var literal: Double? {
    switch self {
    case .single(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  private var isOne: Bool { literal == 1 }

  private var isPlain: Bool { if case .name = self { true } else { false } }

  private static func factors(_ x: Expression) -> [Expression] {
    if case .infix(let a, .multiply, let b) = x { factors(a) + factors(b) } else { [x] }
  }

  /// The `x` of `x * 0.5 * (1 + erf(x / sqrt(2)))`, in whatever order.
  private static func gelu(_ factors: [Expression]) -> SymbolID? {
    guard factors.count == 3, factors.contains(where: { $0.literal == 0.5 }) else { return nil }
    let names = factors.compactMap { if case .name(let id) = $0 { id } else { nil } }
    let sums = factors.compactMap { factor -> SymbolID? in
      guard case .infix(let a, .add, let b) = factor else { return nil }
      return a.isOne ? erfOperand(b) : b.isOne ? erfOperand(a) : nil
    }
    return names.count == 1 && sums == names ? names[0] : nil
  }

  /// The `x` of `erf(x / sqrt(2))`.
  private static func erfOperand(_ erf: Expression) -> SymbolID? {
    guard case .call("erf", let operands, _) = erf, case .infix(let a, let op, let b)? = operands.first else {
      return nil
    }
    func isNear(_ x: Expression, _ number: Double) -> Bool { x.literal.map { abs($0 - number) < 1e-6 } ?? false }
    switch (a, op, b) {
    case (.name(let x), .divide, let root) where isNear(root, 2.0.squareRoot()): return x
    case (.name(let x), .multiply, let root) where isNear(root, 0.5.squareRoot()): return x
    case (let root, .multiply, .name(let x)) where isNear(root, 0.5.squareRoot()): return x
    default: return nil
    }
  }

  /// Parts of parts in one pair of brackets, where no axis has two of them.
  private static func joined(_ inner: [Part], _ outer: [Part]) -> [Part]? {
    var result: [Part] = []
    for axis in 0..<max(inner.count, outer.count) {
      let first = inner.indices.contains(axis) ? inner[axis] : .all
      let second = outer.indices.contains(axis) ? outer[axis] : .all
      switch (first, second) {
      case (.all, .all), (.range, .all): result.append(first)
      case (.all, .range): result.append(second)
      default: return nil
      }
    }
    return result
  }
}
