import LTMIR
import LTMSupport
import LTMSyntax

// `keys[..<, ..<, position..<, ..<] <- k`: a part of a cache is replaced, at a place that is known when the entry runs.

/// Where a part of a cache begins.
private struct WrittenPlace {
  let axis: Int
  /// `position`, where the value lacks the axis; else `position..<`.
  let isIndex: Bool
  let start: Operand
  /// Whether places count modulo the axis.
  let wraps: Bool
}

extension Elaborator {
  /// The cache with the part replaced; `nil` after an error.
  func writing(
    _ part: [Subscript], of whole: Operand, _ value: Value, _ valueSpan: Span, _ span: Span
  ) -> ValueID? {
    let type = builder.type(whole.id)
    guard let place = writtenPlace(part, of: whole, span),
      let written = writtenValue(value, valueSpan, type, place, whole)
    else { return nil }
    let attributes: Attributes = ["axis": .int(place.axis), "wraps": .bool(place.wraps)]
    let result = apply(.writeAt, [whole, Operand(written, valueSpan), place.start], attributes, at: span)
    if case .tensor(let id) = result.kind { return id } else { return nil }
  }

  // MARK: The value

  /// The value with the axis that it is written along; `nil` after an error.
  private func writtenValue(
    _ value: Value, _ span: Span, _ type: TensorType, _ place: WrittenPlace, _ whole: Operand
  ) -> ValueID? {
    if value.isPoison { return nil }
    let name = whole.span.text
    var row = type.shape
    row[place.axis] = 1
    if value.isWeak, place.isIndex, let scalar = constant(value, type.dtype, at: span) {
      return builder.broadcast(scalar, to: row)
    }
    guard case .tensor(var id) = value.kind else {
      fail("'\(name)' holds a tensor, and this is \(describe(value))", at: span)
      return nil
    }
    let actual = builder.type(id)
    var wanted = type.shape
    if place.isIndex {
      wanted.remove(at: place.axis)
    } else if actual.rank == type.rank {
      wanted[place.axis] = actual.shape[place.axis]
    }
    guard actual.shape == wanted, actual.dtype.isFloating == type.dtype.isFloating else {
      fail(
        "this part of '\(name)' holds \(Self.text(TensorType(type.dtype, wanted))), and this is \(Self.text(actual))",
        at: span,
        labels: [.init(whole.span, "this is \(typeText(whole.id))")], about: disagreeing(wanted, actual.shape))
      return nil
    }
    if type.dtype != .float, actual.dtype != type.dtype {
      id = converted(id, to: type.dtype, because: "the cache '\(name)' is \(type.dtype)")
    }
    if place.isIndex, case .tensor(let moved) = reshape(Operand(id, span), to: row, span).kind { return moved }
    return id
  }

  // MARK: The place

  private func writtenPlace(_ part: [Subscript], of whole: Operand, _ span: Span) -> WrittenPlace? {
    let (rank, size) = (builder.type(whole.id).rank, part.count)
    let ellipses = part.filter(\.isEllipsis).count
    guard ellipses <= 1, size - ellipses <= rank else {
      fail("\(size - ellipses) subscripts for \(counted(rank, "dimension"))", at: span)
      return nil
    }
    var (axis, found): (Int, WrittenPlace?) = (0, nil)
    for item in part {
      switch item {
      case .ellipsis: axis += rank - (size - 1)
      case .slice(_, _, step: .some(let step), _):
        fail("a part that is written has no step", at: step.span)
        return nil
      case .slice(nil, nil, step: nil, _): axis += 1
      case .slice(_, .some, step: _, let place), .slice(nil, _, step: _, let place):
        fail(
          "what is written begins at a place and is as long as the value", at: place,
          notes: ["write 'position..<', where position is an i32 that is known when it runs"])
        return nil
      case .slice(.some(let low), nil, step: _, _), .index(let low):
        guard found == nil else {
          fail("a cache is written at a place along one axis", at: low.span, notes: ["'..<' is all of the others"])
          return nil
        }
        var isIndex = false
        if case .index = item { isIndex = true }
        guard let place = writtenPlace(low, along: axis, isIndex: isIndex, whole) else { return nil }
        found = place
        axis += 1
      }
    }
    if found == nil {
      fail("this is all of '\(whole.span.text)'", at: span, notes: ["write '\(whole.span.text) <- ...'"])
    }
    return found
  }

  private func writtenPlace(
    _ expr: Expr, along axis: Int, isIndex: Bool, _ whole: Operand
  ) -> WrittenPlace? {
    let type = builder.type(whole.id)
    if let (position, size) = modulo(expr) {
      guard size == type.shape[axis] else {
        fail("this axis has \(type.shape[axis]) places, and the position counts modulo \(size)", at: expr.span)
        return nil
      }
      return WrittenPlace(axis: axis, isIndex: isIndex, start: position, wraps: true)
    }
    let value = evaluate(expr)
    switch value.kind {
    case .poison: return nil
    case .integer:
      guard let id = constant(value, .i32, at: expr.span) else { return nil }
      return WrittenPlace(axis: axis, isIndex: isIndex, start: Operand(id, expr.span), wraps: false)
    case .tensor(let id) where isPosition(id, of: type, axis):
      return WrittenPlace(axis: axis, isIndex: isIndex, start: Operand(id, expr.span), wraps: false)
    default:
      fail(
        "a place is an Int, an i32, or an i32[\(type.shape.first ?? 1)], one for each index of the first axis, "
          + "and this is \(describe(value))", at: expr.span)
      return nil
    }
  }

  private func isPosition(_ id: ValueID, of type: TensorType, _ axis: Int) -> Bool {
    let position = builder.type(id)
    return position.dtype == .i32
      && (position.rank == 0
        || position.rank == 1 && axis > 0
          && position.shape[0] == type.shape[0])
  }

  /// `mod(position, size)` of a tensor: a ring.
  private func modulo(_ expr: Expr) -> (Operand, Dim)? {
    guard case .call(let callee, let arguments) = expr.kind, arguments.count == 2, case .name(let name) = callee.kind,
      case .builtin(.mod)? = lookup(name, at: callee.span)?.kind,
      case .tensor(let id) = evaluate(arguments[0].value).kind,
      case .integer(let size) = evaluate(arguments[1].value).kind
    else { return nil }
    return (Operand(id, arguments[0].value.span), size)
  }
}
