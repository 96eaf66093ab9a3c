import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// Holds what a function returns to its declared types.
  func checkResult(_ value: Value, _ declaration: FunctionDeclaration, at span: Span) -> Value {
    if value.isPoison || declaration.results.isEmpty { return Value(value.kind, span) }
    if declaration.results.count == 1 { return checkResult(value, declaration.results[0], declaration, at: span) }
    guard case .tuple(let items) = value.kind, items.count == declaration.results.count else {
      return fail(
        "'\(frame.name)' returns \(declaration.results.count) values, and this is \(describe(value))", at: value.origin)
    }
    let checked = zip(items, declaration.results).map { checkResult($0, $1, declaration, at: span) }
    return Value(.tuple(checked), span)
  }

  private func checkResult(_ value: Value, _ type: TypeExpr, _ declaration: FunctionDeclaration, at span: Span) -> Value
  {
    switch type {
    case .named, .list, .tuple, .function:
      if let known = compileTime(value, type, allowsSymbols: true) { return known }
      if value.isPoison { return value }
      return fail(
        "'\(frame.name)' returns \(Self.words(type)), and this is \(describe(value))", at: value.origin,
        labels: [.init(type.span, "declared here")])
    case .tensor(let dtype, let dims, let typeSpan):
      if value.isPoison { return value }
      guard let id = scalarResult(value, dtype, dims) else {
        return fail("'\(frame.name)' returns a tensor, and this is \(describe(value))", at: value.origin)
      }
      let actual = builder.type(id).shape
      bindResultSymbols(dims, actual)
      guard let wanted = shape(dims) else { return Value(.poison, span) }
      if wanted != actual { return resultMismatch(id, value, wanted, type) }
      let checked = matchDType(Operand(id, value.origin), dtype, "the result", typeSpan)
      // A function's value is made where it is called, as its caller sees it.
      return checked.map { Value(.tensor($0), span) } ?? Value(.poison, span)
    }
  }

  /// A name alone that no parameter binds is what the body makes it.
  private func bindResultSymbols(_ dims: [DimExpr], _ actual: [Dim]) {
    guard dims.contains(where: \.isEllipsis) ? actual.count >= dims.count - 1 : actual.count == dims.count else {
      return
    }
    let middle = dims.contains(where: \.isEllipsis) ? frame.ellipsis?.count ?? 0 : nil
    if let middle, actual.count != dims.count - 1 + middle { return }
    for (dim, range) in dims.places(in: actual.count) {
      guard case .expression(let expr) = dim, let symbol = symbol(expr), frame.dims[symbol] == nil else { continue }
      frame.dims[symbol] = actual[range.lowerBound]
    }
  }

  /// A tensor, or a number where a scalar is declared.
  private func scalarResult(_ value: Value, _ dtype: Identifier?, _ dims: [DimExpr]) -> ValueID? {
    if case .tensor(let id) = value.kind { return id }
    guard value.isWeak, dims.isEmpty else { return nil }
    return constant(value, dtype.flatMap { DType(rawValue: $0.text) } ?? pin ?? .float, at: value.origin)
  }

  private func resultMismatch(_ id: ValueID, _ value: Value, _ wanted: [Dim], _ type: TypeExpr) -> Value {
    let actual = builder.type(id).shape
    var reason = "it has \(counted(actual.count, "dimension")), not \(wanted.count)"
    if actual.count == wanted.count,
      let axis = zip(actual, wanted).enumerated().first(where: { $0.element.0 != $0.element.1 })?.offset
    {
      reason =
        "\(axis == actual.count - 1 ? "the last dimension" : "dimension \(axis)") is \(actual[axis]), not \(wanted[axis])"
    }
    return fail(
      "'\(frame.name)' returns \(Self.text(wanted)), and this is \(typeText(id)): \(reason)", at: value.origin,
      labels: [.init(type.span, "declared here")], about: disagreeing(actual, wanted))
  }

  /// The dimensions that keep two shapes of one rank from being equal.
  func disagreeing(_ a: [Dim], _ b: [Dim]) -> [Dim] {
    a.count == b.count ? zip(a, b).filter { $0 != $1 }.flatMap { [$0, $1] } : []
  }

  /// The shape that a declared type means; `nil` after an error.
  func shape(_ dims: [DimExpr]) -> [Dim]? {
    var shape: [Dim] = []
    for dim in dims {
      switch dim {
      case .ellipsis: shape += frame.ellipsis ?? []
      case .expression(let expr):
        guard let value = dimension(expr) else { return nil }
        shape.append(value)
      }
    }
    if let last = dims.last, shape.count > Self.rankLimit {
      fail("a tensor has \(Self.rankLimit) dimensions at most, and this has \(shape.count)", at: last.span)
      return nil
    }
    return shape
  }
}
