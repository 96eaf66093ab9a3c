import LTMIR

/// How a call of an op is written in the language.
struct Spelling {
  let op: Op
  let attributes: Attributes
  /// Of the operands.
  let types: [TensorType]

  /// The call with the operands given.
  func expression(_ operands: [Expression]) -> Expression {
    if let infix, operands.count == 2 { return .infix(operands[0], infix, operands[1]) }
    switch op {
    case .neg: return .prefix("-", operands[0])
    case .not: return .prefix("!", operands[0])
    case .reshape: return reshaped(operands[0])
    case .transpose: return transposed(operands[0])
    case .slice: return sliced(operands[0])
    case .broadcast: return spread(operands[0])
    case .cast: return .call("cast", [operands[0], .word(attributes.dtype("dtype")?.rawValue ?? "float")], [])
    case .iota: return .call("iota", [.list((attributes.dims("shape") ?? []).map { .size($0) })], named)
    case .padAround: return .call("pad", operands, named)
    case .concat: return .call("concat", [.list(operands)], named)
    default: return .call(op.name, operands, named)
    }
  }

  private var infix: Expression.Infix? {
    switch op {
    case .add: .add
    case .sub: .subtract
    case .mul: .multiply
    case .div: .divide
    case .pow: .power
    case .equal: .equal
    case .notEqual: .notEqual
    case .less: .less
    case .lessEqual: .lessEqual
    case .greater: .greater
    case .greaterEqual: .greaterEqual
    case .and: .and
    case .or: .or
    default: nil
    }
  }

  /// A scalar is the one element that there is.
  private func reshaped(_ x: Expression) -> Expression {
    let shape = attributes.dims("shape") ?? []
    guard shape.isEmpty else { return .method(x, "reshape", shape.map { .size($0) }) }
    return types[0].rank == 0 ? x : .part(x, types[0].shape.map { _ in .index(.size(0)) })
  }

  private func transposed(_ x: Expression) -> Expression {
    let permutation = attributes.ints("permutation") ?? []
    var last = Array(permutation.indices)
    if last.count >= 2 { last.swapAt(last.count - 1, last.count - 2) }
    if last.count >= 2, permutation == last { return .member(x, "T") }
    return .method(x, "permute", permutation.map { .size(Dim($0)) })
  }

  /// `x[..<, a..<b]`; parts of several axes stand in one pair of brackets.
  private func sliced(_ x: Expression) -> Expression {
    let axis = attributes.int("axis") ?? 0
    let (start, limit) = (attributes.dim("start") ?? 0, attributes.dim("limit") ?? 0)
    let range = Expression.Part.range(start == 0 ? nil : start, limit == types[0].shape[axis] ? nil : limit)
    var parts = [Expression.Part](repeating: .all, count: axis) + [range]
    if case .part(let whole, let others) = x, others.allSatisfy(\.keepsAxis) {
      let isFree = axis >= others.count || { if case .all = others[axis] { true } else { false } }()
      if isFree {
        var joined = others + [Expression.Part](repeating: .all, count: max(0, axis + 1 - others.count))
        joined[axis] = range
        return .part(whole, joined)
      }
    }
    if parts.count > 32 { parts = Array(parts.suffix(32)) }
    return .part(x, parts)
  }

  /// Spread over a shape: what it is added to says the shape, and nothing else is in it.
  private func spread(_ x: Expression) -> Expression {
    let shape = attributes.dims("shape") ?? []
    let sizes = Expression.list(shape.map { .size($0) })
    switch types[0].dtype {
    case .bool: return .infix(x, .and, .call("full", [sizes, .word("true")], []))
    case .float: return .infix(x, .multiply, .call("full", [sizes, .size(1)], []))
    default:
      let one = Expression.call("cast", [.size(1), .word(types[0].dtype.rawValue)], [])
      return .infix(x, .multiply, .call("full", [sizes, one], []))
    }
  }

  /// What is not an operand and not its default.
  private var named: [Expression.Named] {
    op.definition.callSignature.compactMap { parameter in
      guard let value = attributes[parameter.name], !isDefault(parameter, value) else { return nil }
      return spelled(parameter, value).map { Expression.Named(parameter.name, $0) }
    }.filter { !(op == .iota && $0.name == "shape") }
  }

  private func isDefault(_ parameter: OpParameter, _ value: Attribute) -> Bool {
    guard let standard = parameter.defaultValue else {
      return parameter.kind == .axes && value == .ints(Array(0..<(types.first?.rank ?? 0)))
    }
    if parameter.kind == .axis, case .int(let axis) = standard, axis < 0, let rank = types.first?.rank {
      return value == .int(axis + rank)
    }
    if case .float(let number) = standard, let given = attributes.float(parameter.name) { return number == given }
    // Padding may be said for both ends of an axis.
    if case .ints(let ints) = value, case .ints(let standards) = standard, let first = standards.first {
      return ints.allSatisfy { $0 == first } && standards.allSatisfy { $0 == first }
    }
    return value == standard
  }

  private func spelled(_ parameter: OpParameter, _ value: Attribute) -> Expression? {
    switch value {
    case .int(let int):
      // The last axis is written as such, as people do.
      if parameter.kind == .axis, let rank = types.first?.rank, rank > 1, int == rank - 1 { return .size(-1) }
      return .size(Dim(int))
    case .ints(let ints):
      switch parameter.kind {
      case .axes: return ints.count == 1 ? .size(Dim(ints[0])) : .list(ints.map { .size(Dim($0)) })
      case .sizes, .padding:
        let isEven = ints.allSatisfy { $0 == ints[0] }
        return isEven && !ints.isEmpty ? .size(Dim(ints[0])) : .tuple(ints.map { .size(Dim($0)) })
      default: return .list(ints.map { .size(Dim($0)) })
      }
    case .float(let number):
      let single = Float(number)
      return Double("\(single)") == number || Double(single) == number ? .single(single) : .number(number)
    case .bool(let bool): return .word(bool ? "true" : "false")
    case .dim(let dim): return .size(dim)
    case .dims(let dims): return .list(dims.map { .size($0) })
    case .dtype(let dtype): return .word(dtype.rawValue)
    case .word(let word): return .word("\"\(word)\"")
    }
  }
}

extension Expression.Part {
  /// Whether the axis is still there.
  fileprivate var keepsAxis: Bool { if case .index = self { false } else { true } }
}
