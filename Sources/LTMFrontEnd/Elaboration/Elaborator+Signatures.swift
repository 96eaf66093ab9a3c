import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// Defines a function's parameters in its new frame: compile-time values first, then tensors, whose dimensions are bound
  /// to the symbols of the signature. False after an error.
  func bindParameters(_ declaration: FunctionDeclaration, _ arguments: [Given?]) -> Bool {
    var tensors: [(parameter: Parameter, given: Given)] = []
    var isRight = true
    for (parameter, given) in zip(declaration.parameters, arguments) {
      let given = given ?? parameter.defaultValue.map { Given(value: evaluate($0), span: $0.span) }
      guard let given, !given.value.isPoison else { return false }
      if case .tensor = parameter.type {
        tensors.append((parameter, given))
      } else if let value = compileTime(given.value, parameter, given.span, allowsSymbols: true) {
        frame.bind(parameter.name.text, value)
      } else {
        isRight = false
      }
    }
    guard isRight else { return false }
    var operands: [Operand?] = []
    for item in tensors { operands.append(operand(item.given, for: item.parameter)) }
    for (item, operand) in zip(tensors, operands) {
      if let operand, !bindSymbols(item.parameter, operand) { isRight = false }
    }
    for (item, operand) in zip(tensors, operands) where isRight {
      guard let operand, let id = match(operand, item.parameter) else { return false }
      frame.bind(item.parameter.name.text, Value(.tensor(id), item.given.value.origin))
    }
    return isRight
  }

  /// A value for a parameter that is known at compile time; `nil` after an error.
  func compileTime(_ value: Value, _ parameter: Parameter, _ span: Span, allowsSymbols: Bool) -> Value? {
    guard case .named(let type)? = parameter.type else { return value }
    if let value = compileTime(value, type, allowsSymbols: allowsSymbols) { return value }
    if value.isPoison { return nil }
    fail(
      "'\(parameter.name.text)' is \(article(type.text)), and this is \(describe(value))", at: span,
      labels: [.init(parameter.span, "declared here")])
    return nil
  }

  /// The value as one of that type; `nil` where it is none.
  private func compileTime(_ value: Value, _ type: Identifier, allowsSymbols: Bool) -> Value? {
    switch (type.text, value.kind) {
    case ("Int", .integer(let dim)): return allowsSymbols || dim.constant != nil || isUnknown(dim) ? value : nil
    case ("Float", .float), ("Bool", .boolean), ("DType", .dtype): return value
    case ("Float", .integer(let dim)) where isUnknown(dim): return Value(.poison, value.origin)
    case ("Float", .integer(let dim)): return dim.constant.map { Value(.float(Double($0)), value.origin) }
    case ("Layer", _): return value.isCallable ? value : nil
    case (_, .instance(let id)): return world[id].type.declaration.name.text == type.text ? value : nil
    default: return nil
    }
  }

  private func article(_ type: String) -> String {
    switch type {
    case "Int": "an Int"
    case "Layer": "a layer or a function"
    case "Float", "Bool", "DType": "a \(type)"
    default: "a layer '\(type)'"
    }
  }

  /// The tensor given for a parameter; a literal becomes a scalar.
  private func operand(_ given: Given, for parameter: Parameter) -> Operand? {
    if case .tensor(let id) = given.value.kind { return Operand(id, given.span) }
    if given.value.isWeak, case .tensor(let dtype, let dims, _)? = parameter.type, dims.isEmpty {
      let wanted = dtype.flatMap { DType(rawValue: $0.text) } ?? pin ?? .float
      return constant(given.value, wanted, at: given.span).map { Operand($0, given.span) }
    }
    fail(
      "'\(parameter.name.text)' is a tensor, and this is \(describe(given.value))", at: given.span,
      labels: [.init(parameter.span, "declared here")])
    return nil
  }

  /// Binds names that stand alone, and `...`, to the dimensions given.
  private func bindSymbols(_ parameter: Parameter, _ operand: Operand) -> Bool {
    guard case .tensor(_, let dims, _)? = parameter.type else { return true }
    let shape = builder.type(operand.id).shape
    let fixed = dims.filter { !$0.isEllipsis }.count
    guard dims.count == fixed ? shape.count == fixed : shape.count >= fixed else {
      return mismatch(
        operand, parameter,
        "it has \(counted(shape.count, "dimension")), not \(fixed)\(dims.count == fixed ? "" : " or more")")
    }
    for (dim, range) in dims.places(in: shape.count) {
      switch dim {
      case .ellipsis:
        let middle = Array(shape[range])
        if let old = frame.ellipsis, old != middle {
          return mismatch(
            operand, parameter, "'...' is \(Self.text(middle)) here and \(Self.text(old)) before",
            about: disagreeing(middle, old))
        }
        frame.ellipsis = middle
      case .expression(let expr):
        guard let symbol = symbol(expr) else { continue }
        if frame.dims[symbol] == nil { frame.dims[symbol] = shape[range.lowerBound] }
      }
    }
    return true
  }

  /// The name that a dimension binds: a capitalised name that is no `Int` in scope.
  func symbol(_ expr: Expr) -> String? {
    guard case .name(let name) = expr.kind, Names.isSymbol(name) else { return nil }
    if frame.dims[name] != nil { return name }
    if case .integer = lookup(name, at: expr.span)?.kind { return nil }
    return name
  }

  /// Compares every dimension, and converts to a declared float; `nil` after an error.
  private func match(_ operand: Operand, _ parameter: Parameter) -> ValueID? {
    guard case .tensor(let dtype, let dims, _)? = parameter.type else { return operand.id }
    let shape = builder.type(operand.id).shape
    for (dim, range) in dims.places(in: shape.count) {
      guard case .expression(let expr) = dim else { continue }
      guard let wanted = dimension(expr) else { return nil }
      let actual = shape[range.lowerBound]
      if wanted == actual { continue }
      let place = range.lowerBound == shape.count - 1 ? "the last dimension" : "dimension \(range.lowerBound)"
      _ = mismatch(
        operand, parameter, "\(place) is \(actual), not \(wanted)\(explained(expr, wanted))", about: [actual, wanted])
      return nil
    }
    return matchDType(operand, dtype, "the parameter '\(parameter.name.text)'", parameter.span)
  }

  /// ` (inputs)`, where the number alone would not tell.
  private func explained(_ expr: Expr, _ dim: Dim) -> String {
    expr.span.text == dim.description ? "" : " (\(expr.span.text))"
  }

  /// A declared float converts a float; everything else must agree. `nil` after an error.
  private func matchDType(_ operand: Operand, _ dtype: Identifier?, _ what: String, _ declared: Span) -> ValueID? {
    let actual = builder.type(operand.id).dtype
    let wanted = dtype.flatMap { DType(rawValue: $0.text) } ?? .float
    if actual == wanted || wanted == .float && actual.isFloating { return operand.id }
    guard actual.isFloating, wanted.isFloating else {
      let name = wanted == .float ? "a float" : wanted.rawValue
      fail(
        "\(what) is \(name), and this is \(typeText(operand.id))", at: operand.span,
        labels: [.init(declared, "declared here")],
        notes: actual == .bool || wanted == .bool
          ? [] : ["cast(x, \(wanted == .float ? "f32" : wanted.rawValue)) converts"])
      return nil
    }
    return converted(operand.id, to: wanted, because: "declared \(wanted)")
  }

  private func mismatch(
    _ operand: Operand, _ parameter: Parameter, _ reason: String, about dims: [Dim] = []
  ) -> Bool {
    let type = parameter.type.map(\.span.text) ?? ""
    fail(
      "'\(frame.name)' takes \(type) for '\(parameter.name.text)', and this is \(typeText(operand.id)): \(reason)",
      at: operand.span, labels: [.init(parameter.span, "declared here\(boundNames(parameter))")], about: dims)
    return false
  }

  /// `, with inputs = 64, B = 32`: what the names in a declared type stand for.
  private func boundNames(_ parameter: Parameter) -> String {
    guard case .tensor(_, let dims, _)? = parameter.type else { return "" }
    var facts: [String] = []
    for case .expression(let expr) in dims {
      guard case .name(let name) = expr.kind, case .integer(let dim)? = lookup(name, at: expr.span)?.kind,
        dim.description != name
      else { continue }
      facts.append("\(name) = \(dim)")
    }
    return facts.isEmpty ? "" : ", with \(facts.joined(separator: ", "))"
  }

  /// A dimension of a type, as an `Int`; `nil` after an error.
  func dimension(_ expr: Expr) -> Dim? {
    let value = evaluate(expr)
    switch value.kind {
    case .integer(let dim):
      if let number = dim.constant, number < 1 {
        fail("a dimension is 1 or more, and '\(expr.span.text)' is \(number)", at: expr.span)
        return nil
      }
      return dim
    case .poison: return nil
    default:
      fail("a dimension is an Int, and '\(expr.span.text)' is \(describe(value))", at: expr.span)
      return nil
    }
  }

  // MARK: Results

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
    case .named(let name):
      if let known = compileTime(value, name, allowsSymbols: true) { return known }
      if value.isPoison { return value }
      return fail(
        "'\(frame.name)' returns \(article(name.text)), and this is \(describe(value))", at: value.origin,
        labels: [.init(name.span, "declared here")])
    case .tensor(let dtype, let dims, let typeSpan):
      if value.isPoison { return value }
      guard let id = scalarResult(value, dtype, dims) else {
        return fail("'\(frame.name)' returns a tensor, and this is \(describe(value))", at: value.origin)
      }
      guard let wanted = shape(dims) else { return Value(.poison, span) }
      let actual = builder.type(id).shape
      if wanted != actual { return resultMismatch(id, value, wanted, type) }
      let checked = matchDType(Operand(id, value.origin), dtype, "the result", typeSpan)
      // A function's value is made where it is called, as its caller sees it.
      return checked.map { Value(.tensor($0), span) } ?? Value(.poison, span)
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

extension DimExpr {
  var isEllipsis: Bool { if case .ellipsis = self { true } else { false } }

  var span: Span {
    switch self {
    case .ellipsis(let span): span
    case .expression(let expr): expr.span
    }
  }
}

extension [DimExpr] {
  /// Each declared dimension with the axes of a shape of that rank which it stands for.
  func places(in rank: Int) -> [(DimExpr, Range<Int>)] {
    var axis = 0
    return map { dim in
      let width = dim.isEllipsis ? Swift.max(0, rank - (count - 1)) : 1
      defer { axis += width }
      return (dim, axis..<axis + width)
    }
  }
}
