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

  private static func infixed(_ a: Expression, _ op: Infix, _ b: Expression) -> Expression {
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

  private var isOne: Bool {
    switch self {
    case .single(let value): value == 1
    case .number(let value): value == 1
    default: false
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
