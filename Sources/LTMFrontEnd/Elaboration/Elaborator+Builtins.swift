import LTMIR
import LTMSupport
import LTMSyntax

/// The parameters of a built-in function; `*` absorbs all that are left.
extension Builtin {
  var parameters: [(name: String, isRequired: Bool)] {
    switch self {
    case .div, .mod: [("a", true), ("b", true)]
    case .int: [("x", true)]
    case .count: [("list", true)]
    case .member: [("name", true)]
    case .range: [("start", true), ("end", false)]
    case .min, .max: [("a", true), ("b", true)]
    case .permute: [("x", true), ("axes", true)]
    case .transpose: [("x", true), ("a", true), ("b", true)]
    case .flatten: [("x", true), ("start", false)]
    case .squeeze, .unsqueeze: [("x", true), ("axis", true)]
    case .split: [("x", true), ("count", true), ("axis", true)]
    case .unstack: [("x", true), ("axis", true)]
    case .stack: [("values", true), ("axis", true)]
    case .full: [("shape", true), ("value", true)]
    case .einsum: [("equation", true), ("operands", true)]
    case .along: [("x", true), ("axis", true)]
    case .reversed: [("x", true)]
    case .zeros, .ones, .kaimingUniform, .xavierUniform: []
    case .constant: [("value", true)]
    case .uniform: [("bound", true)]
    case .normal: [("std", true)]
    case .zerosLike: [("weight", true)]
    }
  }
}

extension Elaborator {
  /// A call of a built-in function.
  func call(_ builtin: Builtin, _ arguments: [Given], _ span: Span) -> Value {
    // Where no initial value is computed, a tensor of random numbers is meant.
    if initialized == nil, inGraph, let op = builtin.draw { return call(op, arguments, span) }
    if let op = builtin.op(for: arguments) {
      if let misused = valueForAxis(op, arguments) { return misused }
      return call(op, arguments, span)
    }
    if builtin == .einsum { return needing(arguments.map(\.value)) { einsum(arguments, span) } }
    guard let given = bind(arguments, to: builtin, span) else { return Value(.poison, span) }
    return needing(given.map(\.value)) { call(builtin, given: given, span) }
  }

  private func call(_ builtin: Builtin, given: [Given], _ span: Span) -> Value {
    if builtin.isInitializer { return initializer(builtin, given, span) }
    switch builtin {
    case .div, .mod: return division(builtin, given, span)
    case .min, .max: return extremum(builtin, given, span)
    case .int: return integer(given[0], span)
    case .count: return Value(.integer(Dim(given[0].value.items.count)), span)
    case .range: return range(given, span)
    case .member: return member(given[0], span)
    case .permute, .transpose, .flatten, .squeeze, .unsqueeze, .split, .unstack: return reshaping(builtin, given, span)
    case .stack: return stack(given, span)
    case .full: return full(given, span)
    case .along: return along(given, span)
    case .reversed: return reversed(given[0], span)
    case .einsum: return einsum(given, span)
    case .zeros, .ones, .constant, .uniform, .normal, .zerosLike, .kaimingUniform, .xavierUniform:
      internalFailure("elaboration", "'\(builtin.rawValue)' is an initializer")
    }
  }

  /// `max(x, 0)` could mean an axis or a value; it has to say which.
  private func valueForAxis(_ op: Op, _ arguments: [Given]) -> Value? {
    guard op == .max || op == .min, arguments.count == 2, arguments[1].name == nil, arguments[0].value.isTensor,
      arguments[1].value.isNumeric
    else { return nil }
    let other = op == .max ? "maximum" : "minimum"
    return fail(
      "'\(op.name)(x, \(arguments[1].span.text))' could mean an axis or a value", at: arguments[1].span,
      notes: [
        "write \(op.name)(x, axis: \(arguments[1].span.text)) for the axis, \(other)(x, \(arguments[1].span.text)) for the value"
      ])
  }

  // MARK: Numbers

  private func known(_ given: Given, _ what: String) -> Int? {
    if let value = given.value.constantInteger { return value }
    let isSize = if case .integer = given.value.kind { true } else { false }
    fail(
      "\(what) is an Int known at compile time, and this is \(describe(given.value))", at: given.span,
      notes: isSize ? [Self.sizeNote] : [])
    return nil
  }

  private func division(_ builtin: Builtin, _ given: [Given], _ span: Span) -> Value {
    guard case .integer(let a) = given[0].value.kind, case .integer(let b) = given[1].value.kind else {
      _ = known(given[0], "'a'")
      _ = known(given[1], "'b'")
      return Value(.poison, span)
    }
    if b == 0 { return fail("division by zero", at: given[1].span) }
    // Both round toward minus infinity, so that `mod` has the sign of `b`.
    guard let quotient = a.dividedDown(by: b) else { return overflow(span, a, b) }
    if builtin == .div { return Value(.integer(quotient), span) }
    guard let rest = quotient.multiplied(by: b).flatMap({ a.subtracting($0) }) else { return overflow(span, a, b) }
    return Value(.integer(rest), span)
  }

  private func extremum(_ builtin: Builtin, _ given: [Given], _ span: Span) -> Value {
    if let a = given[0].value.constantInteger, let b = given[1].value.constantInteger {
      return Value(.integer(Dim(builtin == .min ? min(a, b) : max(a, b))), span)
    }
    guard let a = given[0].value.number, let b = given[1].value.number else {
      return fail("'\(builtin.rawValue)' compares numbers known at compile time or tensors", at: span)
    }
    return Value(.float(builtin == .min ? min(a, b) : max(a, b)), span)
  }

  private func integer(_ given: Given, _ span: Span) -> Value {
    guard let number = given.value.number else {
      return fail("'int' converts a number known at compile time, and this is \(describe(given.value))", at: given.span)
    }
    guard let value = Int(exactly: number.rounded(.towardZero)) else {
      return fail("\(number) is no Int", at: given.span)
    }
    return Value(.integer(Dim(value)), span)
  }

  private func range(_ given: [Given], _ span: Span) -> Value {
    guard let first = known(given[0], "the end of a range") else { return Value(.poison, span) }
    guard given.count == 2 else { return Value(.range(0, first), span) }
    guard let end = known(given[1], "the end of a range") else { return Value(.poison, span) }
    if end.subtractingReportingOverflow(first).overflow { return fail("the range is too long", at: span) }
    return Value(.range(first, end), span)
  }

  // MARK: Shapes

  private func reshaping(_ builtin: Builtin, _ given: [Given], _ span: Span) -> Value {
    guard case .tensor(let id) = given[0].value.kind else {
      return fail(
        "'\(builtin.rawValue)' applies to a tensor, and this is \(describe(given[0].value))", at: given[0].span)
    }
    let x = Operand(id, given[0].span)
    let rank = builder.type(id).rank
    if builtin == .permute { return permute(x, given[1], rank, span) }
    if builtin == .flatten, given.count == 1 { return flatten(x, from: 0, span) }
    let position = builtin == .split ? 2 : 1
    let room = builtin == .unsqueeze ? rank + 1 : rank
    guard let axis = known(given[position], "an axis"),
      let first = normalized(axis, rank: room, at: given[position].span)
    else { return Value(.poison, span) }
    switch builtin {
    case .flatten: return flatten(x, from: first, span)
    case .squeeze: return squeeze(x, first, span)
    case .unsqueeze: return reshape(x, to: inserting(1, in: builder.type(id).shape, at: first), span)
    case .unstack: return unstack(x, first, span)
    case .split:
      guard let count = known(given[1], "the number of parts") else { return Value(.poison, span) }
      return split(x, count, first, given[1].span, span)
    default:
      guard let other = known(given[2], "an axis"), let second = normalized(other, rank: rank, at: given[2].span) else {
        return Value(.poison, span)
      }
      var permutation = Array(0..<rank)
      permutation.swapAt(first, second)
      return apply(.transpose, [x], ["permutation": .ints(permutation)], at: span)
    }
  }

  private func inserting(_ dim: Dim, in shape: [Dim], at axis: Int) -> [Dim] { shape[..<axis] + [dim] + shape[axis...] }

  private func permute(_ x: Operand, _ axes: Given, _ rank: Int, _ span: Span) -> Value {
    guard let given = integers([axes]) else {
      return fail("a permutation is a list of Ints, and this is \(describe(axes.value))", at: axes.span)
    }
    var permutation: [Int] = []
    for axis in given {
      guard let number = axis.constant, let normal = normalized(number, rank: rank, at: axes.span) else {
        return Value(.poison, span)
      }
      permutation.append(normal)
    }
    return apply(.transpose, [x], ["permutation": .ints(permutation)], at: span)
  }

  func reshape(_ x: Operand, to shape: [Dim], _ span: Span) -> Value {
    apply(.reshape, [x], ["shape": .dims(shape)], at: span)
  }

  private func flatten(_ x: Operand, from axis: Int, _ span: Span) -> Value {
    let shape = builder.type(x.id).shape
    guard let tail = product(Array(shape[axis...])) else { return overflow(span, shape[axis]) }
    return reshape(x, to: shape[..<axis] + [tail], span)
  }

  private func squeeze(_ x: Operand, _ axis: Int, _ span: Span) -> Value {
    var shape = builder.type(x.id).shape
    guard shape[axis] == 1 else {
      return fail("axis \(axis) of \(Self.text(shape)) is \(shape[axis]), not 1", at: span)
    }
    shape.remove(at: axis)
    return reshape(x, to: shape, span)
  }

  private func split(_ x: Operand, _ count: Int, _ axis: Int, _ countSpan: Span, _ span: Span) -> Value {
    let size = builder.type(x.id).shape[axis]
    guard count > 0, let part = size.dividedExactly(by: Dim(count)) else {
      return fail(
        "axis \(axis) has \(size) places, which do not split into \(count) equal parts", at: countSpan,
        labels: [.init(x.span, "this is \(typeText(x.id))")])
    }
    return parts(x, count, part, axis, span)
  }

  private func unstack(_ x: Operand, _ axis: Int, _ span: Span) -> Value {
    var shape = builder.type(x.id).shape
    guard let count = shape[axis].constant else {
      return fail("axis \(axis) of \(Self.text(shape)) has no known size, so it cannot be unrolled", at: x.span)
    }
    shape.remove(at: axis)
    let parts = self.parts(x, count, 1, axis, span)
    guard case .tuple(let items) = parts.kind else { return parts }
    return Value(
      .tuple(
        items.map { item in
          guard case .tensor(let id) = item.kind else { return item }
          return reshape(Operand(id, x.span), to: shape, span)
        }), span)
  }

  private func parts(_ x: Operand, _ count: Int, _ part: Dim, _ axis: Int, _ span: Span) -> Value {
    var items: [Value] = []
    for index in 0..<count {
      guard step(span), let start = part.multiplied(by: Dim(index)), let limit = start.adding(part) else {
        return Value(.poison, span)
      }
      items.append(slice(x, axis, start, limit, span))
    }
    return Value(.tuple(items), span)
  }

  func slice(_ x: Operand, _ axis: Int, _ start: Dim, _ limit: Dim, stride: Int = 1, _ span: Span) -> Value {
    apply(
      .slice, [x], ["axis": .int(axis), "start": .dim(start), "limit": .dim(limit), "stride": .int(stride)], at: span)
  }

  private func stack(_ given: [Given], _ span: Span) -> Value {
    guard let operands = operands(given[0].value.items.map { ($0, given[0].span) }), let first = operands.first,
      let axis = known(given[1], "an axis"),
      let place = normalized(axis, rank: builder.type(first.id).rank + 1, at: given[1].span)
    else { return Value(.poison, span) }
    var rows: [Operand] = []
    for operand in operands {
      let shape = builder.type(operand.id).shape
      guard shape == builder.type(first.id).shape else {
        return fail(
          "stacked tensors have one shape, and these are \(typeText(first.id)) and \(typeText(operand.id))",
          at: given[0].span)
      }
      guard case .tensor(let row) = reshape(operand, to: inserting(1, in: shape, at: place), span).kind else {
        return Value(.poison, span)
      }
      rows.append(Operand(row, operand.span))
    }
    return apply(.concat, rows, ["axis": .int(place)], at: span)
  }

  private func full(_ given: [Given], _ span: Span) -> Value {
    guard inGraph, let shape = integers([given[0]]), let operand = operands([(given[1].value, given[1].span)])?.first
    else {
      return fail("'full' takes a shape, a list of Ints, and a value, in a function", at: span)
    }
    guard builder.type(operand.id).rank == 0 else { return fail("the value of 'full' is a scalar", at: given[1].span) }
    guard shape.count <= Self.rankLimit else {
      return fail("a tensor has \(Self.rankLimit) dimensions at most, and this has \(shape.count)", at: given[0].span)
    }
    return Value(.tensor(builder.broadcast(operand.id, to: shape)), span)
  }
}
