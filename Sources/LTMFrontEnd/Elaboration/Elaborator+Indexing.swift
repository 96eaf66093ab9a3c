import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// `x[i, a..<b, ...]`
  func index(_ base: Value, _ subscripts: [Subscript], _ baseSpan: Span, _ span: Span) -> Value {
    switch base.kind {
    case .poison: return base
    case .tensor(let id): return index(Operand(id, baseSpan), subscripts, span)
    case .list(let items), .tuple(let items): return element(of: items, subscripts, span)
    default: return fail("\(describe(base)) cannot be indexed", at: baseSpan)
    }
  }

  private func element(of items: [Value], _ subscripts: [Subscript], _ span: Span) -> Value {
    guard subscripts.count == 1 else { return fail("a list has one index", at: span) }
    let count = Dim(items.count)
    switch subscripts[0] {
    case .ellipsis(let place): return fail("'...' indexes tensors", at: place)
    case .index(let expr):
      let value = evaluate(expr)
      if value.isPoison { return value }
      if isUnknown(value) { return Value(.poison, span) }
      guard let index = value.constantInteger, index >= -items.count, index < items.count else {
        return fail("\(describe(value)) is no index of a list of \(items.count)", at: expr.span)
      }
      return items[index < 0 ? index + items.count : index]
    case .slice(let low, let high, let step, let place):
      guard let (start, limit) = bounds(low, high, of: count, place), let from = start.constant,
        let to = limit.constant, let stride = self.stride(step),
        from < to
      else {
        if isGeneric { return Value(.poison, span) }
        return fail("this slice of a list of \(items.count) is empty or not known", at: place)
      }
      return Value(.list(Swift.stride(from: from, to: to, by: stride).map { items[$0] }), span)
    }
  }

  private func index(_ x: Operand, _ subscripts: [Subscript], _ span: Span) -> Value {
    let rank = builder.type(x.id).rank
    let ellipses = subscripts.filter(\.isEllipsis).count
    guard ellipses <= 1 else { return fail("one '...' at most", at: span) }
    guard subscripts.count - ellipses <= rank else {
      return fail(
        "\(subscripts.count - ellipses) subscripts for \(counted(rank, "dimension"))", at: span,
        labels: [.init(x.span, "this is \(typeText(x.id))")])
    }
    var result = x
    var axis = 0
    for subscriptItem in subscripts {
      if subscriptItem.isEllipsis {
        axis += rank - (subscripts.count - 1)
        continue
      }
      guard let next = index(result, subscriptItem, axis: &axis, span) else { return Value(.poison, span) }
      result = Operand(next, x.span)
    }
    return Value(.tensor(result.id), span)
  }

  /// Applies one subscript and moves to the next axis; `nil` after an error.
  private func index(_ x: Operand, _ item: Subscript, axis: inout Int, _ span: Span) -> ValueID? {
    let size = builder.type(x.id).shape[axis]
    var result: Value
    switch item {
    case .ellipsis: return x.id
    case .slice(let low, let high, let step, let place):
      guard let (start, limit) = bounds(low, high, of: size, place), let stride = self.stride(step) else { return nil }
      result = slice(x, axis, start, limit, stride: stride, place)
      axis += 1
    case .index(let expr):
      let value = evaluate(expr)
      if case .tensor(let indices) = value.kind {
        result = apply(.gather, [x, Operand(indices, expr.span)], ["axis": .int(axis)], at: span)
        axis += builder.type(indices).rank
      } else {
        guard let place = place(value, in: size, expr.span), let next = place.adding(1) else { return nil }
        result = slice(x, axis, place, next, expr.span)
        if case .tensor(let id) = result.kind {
          var shape = builder.type(id).shape
          shape.remove(at: axis)
          result = reshape(Operand(id, x.span), to: shape, span)
        }
      }
    }
    if case .tensor(let id) = result.kind { return id } else { return nil }
  }

  private func bounds(_ low: Expr?, _ high: Expr?, of size: Dim, _ span: Span) -> (Dim, Dim)? {
    var start: Dim = 0
    var limit = size
    if let low {
      guard let place = place(evaluate(low), in: size, low.span, isEnd: true) else { return nil }
      start = place
    }
    if let high {
      guard let place = place(evaluate(high), in: size, high.span, isEnd: true) else { return nil }
      limit = place
    }
    guard let length = limit.subtracting(start) else { return nil }
    if let count = length.constant, count < 1 {
      fail("the slice \(start)..<\(limit) is empty", at: span)
      return nil
    }
    return (start, limit)
  }

  /// From one place of a slice to the next; `nil` after an error.
  private func stride(_ step: Expr?) -> Int? {
    guard let step else { return 1 }
    let value = evaluate(step)
    if value.isPoison { return nil }
    guard let number = value.constantInteger, number >= 1 else {
      fail(
        "a step is an Int known at compile time, 1 or more, and this is \(describe(value))", at: step.span,
        notes: value.constantInteger == nil ? [] : ["flip(x, axis: ...) goes backwards"])
      return nil
    }
    return number
  }

  /// A place on an axis; negative ones count from the end. `nil` after an error.
  private func place(_ value: Value, in size: Dim, _ span: Span, isEnd: Bool = false) -> Dim? {
    guard case .integer(let dim) = value.kind else {
      if !value.isPoison { fail("an index is an Int or a tensor of i32, and this is \(describe(value))", at: span) }
      return nil
    }
    guard let index = dim.constant else { return dim }
    let place = index < 0 ? size.adding(dim) : dim
    if let count = size.constant {
      let limit = isEnd ? count : count - 1
      guard index >= -count, index <= limit else {
        fail("index \(index) is outside of the \(counted(count, "place")) of this axis", at: span)
        return nil
      }
    }
    return place
  }
}

extension Subscript {
  var isEllipsis: Bool { if case .ellipsis = self { true } else { false } }
}
