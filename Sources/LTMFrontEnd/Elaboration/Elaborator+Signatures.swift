import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// Defines a function's parameters in its new frame: compile-time values first, then tensors, whose dimensions are bound
  /// to the symbols of the signature. False after an error.
  func bindParameters(_ declaration: FunctionDeclaration, _ arguments: [Given?]) -> Bool {
    var tensors: [(parameter: Parameter, given: Given)] = []
    var defaults: [Parameter] = []
    var isRight = true
    for (parameter, given) in zip(declaration.parameters, arguments) {
      if case .tensor = parameter.type, given == nil {
        defaults.append(parameter)
        continue
      }
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
      if let operand, !solveSymbols(item.parameter, operand) { isRight = false }
    }
    for (item, operand) in zip(tensors, operands) where isRight {
      guard let operand, let id = match(operand, item.parameter) else { return false }
      frame.bind(item.parameter.name.text, Value(.tensor(id), item.given.value.origin))
    }
    return isRight && defaults.allSatisfy(bindDefault)
  }

  /// A tensor that is not given: its default, which sees all that is, spread over the declared shape.
  private func bindDefault(_ parameter: Parameter) -> Bool {
    guard case .tensor(let dtype, let dims, _)? = parameter.type, let expr = parameter.defaultValue,
      let shape = shape(dims)
    else { return false }
    let value = evaluate(expr)
    if value.isPoison { return false }
    let wanted = dtype.flatMap { DType(rawValue: $0.text) } ?? pin ?? .float
    let operand: Operand?
    if value.isWeak {
      operand = constant(value, wanted, at: expr.span).map { Operand(builder.broadcast($0, to: shape), expr.span) }
    } else {
      operand = self.operand(Given(value: value, span: expr.span), for: parameter)
    }
    guard let operand, bindSymbols(parameter, operand), let id = match(operand, parameter) else { return false }
    frame.bind(parameter.name.text, Value(.tensor(id), expr.span))
    return true
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

  /// Binds the name in arithmetic, as in `[B, 2 * T]`, where it is the only one that nothing has bound.
  private func solveSymbols(_ parameter: Parameter, _ operand: Operand) -> Bool {
    guard case .tensor(_, let dims, _)? = parameter.type else { return true }
    let shape = builder.type(operand.id).shape
    for (dim, range) in dims.places(in: shape.count) {
      guard case .expression(let expr) = dim, let symbol = unboundSymbol(in: expr) else { continue }
      let actual = shape[range.lowerBound]
      guard let solution = solved(expr, for: symbol, equal: actual) else {
        let place = range.lowerBound == shape.count - 1 ? "the last dimension" : "dimension \(range.lowerBound)"
        return mismatch(
          operand, parameter, "\(place) is \(actual), and no \(symbol) makes \(expr.span.text) that", about: [actual])
      }
      frame.dims[symbol] = solution
    }
    return true
  }

  /// The value of `symbol` for which the dimension is `actual`; `nil` where no whole number of 1 or more is.
  private func solved(_ expr: Expr, for symbol: String, equal actual: Dim) -> Dim? {
    let unknown = "\(symbol)?"
    frame.dims[symbol] = Dim(symbol: unknown)
    defer { frame.dims[symbol] = nil }
    guard case .integer(let form) = evaluate(expr).kind, let solution = form.solved(for: unknown, equal: actual) else {
      return nil
    }
    return solution.constant.map { $0 < 1 } ?? false ? nil : solution
  }

  /// The only capitalised name in arithmetic that is neither bound nor an `Int` in scope; `nil` for a name alone.
  private func unboundSymbol(in expr: Expr) -> String? {
    if case .name = expr.kind { return nil }
    let names = Set(expr.symbols.map(\.name)).filter {
      frame.dims[$0] == nil && symbol(Expr(.name($0), expr.span)) != nil
    }
    return names.count == 1 ? names.first : nil
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
  func matchDType(_ operand: Operand, _ dtype: Identifier?, _ what: String, _ declared: Span) -> ValueID? {
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
