import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// The value that a body returns; `nil` when it ends without.
  func run(_ statements: [Statement]) -> Value? {
    for statement in statements {
      if isExhausted { return Value(.poison, statement.span) }
      if let result = deeper(statement.span, { run(statement) }) { return result }
    }
    return nil
  }

  private func run(_ statement: Statement) -> Value? {
    switch statement {
    case .binding(let binding):
      for (name, value) in destructure(evaluate(binding.value), binding) { frame.bind(name, value) }
      return nil
    case .assign(let name, let expr, _):
      let value = evaluate(expr)
      if !frame.assign(name.text, value) { fail("'\(name.text)' is not a 'var' of this function", at: name.span) }
      return nil
    case .write(let name, let part, let expr, let span):
      write(name, part, evaluate(expr), expr.span, span)
      return nil
    case .writeNamed(let name, let part, let expr, let span):
      writeNamed(name, part, evaluate(expr), expr.span, span)
      return nil
    case .loop(let loop): return run(loop)
    case .yield(let expr, let span):
      yield(evaluate(expr), span)
      return nil
    case .conditional(let condition, let then, let otherwise, _):
      guard let holds = self.condition(condition) else {
        return isGeneric ? either(then, otherwise) : Value(.poison, condition.span)
      }
      return inBlock { run(holds ? then : otherwise) }
    case .require(let requirement):
      check(requirement)
      return nil
    case .return(let expr, _): return returned(evaluate(expr), expr)
    }
  }

  /// A tensor that is returned is shown where it is returned; a number keeps the place where it was written.
  private func returned(_ value: Value, _ expr: Expr) -> Value {
    if case .tuple(let items) = value.kind, case .tuple(let exprs) = expr.kind, items.count == exprs.count {
      return Value(.tuple(zip(items, exprs).map { returned($0, $1) }), expr.span)
    }
    return value.isWeak ? value : Value(value.kind, expr.span)
  }

  /// `name <- value`: without gradient; later reads see the new value, and the last one is stored.
  private func write(_ name: Identifier, _ part: [Subscript], _ value: Value, _ valueSpan: Span, _ span: Span) {
    if ruleStates?.inputs[name.text] != nil, frame.owner == ruleStates?.owner {
      writeRuleState(name, value, valueSpan, span)
      return
    }
    if scanDepth > 0 {
      fail(
        "states and caches are written once a step, and not in a loop over an axis of a tensor", at: span,
        notes: ["carry the value in a 'var', and write it after the loop"])
      return
    }
    guard let owner = frame.owner, case .storage(let id) = world[owner].kept(name.text)?.kind,
      world[id].kind != .parameter
    else {
      fail(
        "'\(name.text)' is not a state of this layer", at: name.span,
        notes: ["'<-' writes a 'state' or a 'cache'; a 'var' is written with '='"])
      return
    }
    guard let old = current[id] else { return }
    if !part.isEmpty {
      guard let whole = writing(part, of: Operand(old, name.span), value, valueSpan, span) else { return }
      return replace(id, whole)
    }
    let type = builder.type(old)
    guard let new = tensorForWrite(name, value, valueSpan, type, declared: world[id].span) else { return }
    if world[id].kind == .cache { return replace(id, new) }
    let stopped = apply(.stopGradient, [Operand(new, valueSpan)], [:], at: span)
    guard case .tensor(let result) = stopped.kind else { return }
    replace(id, result)
  }

  private func replace(_ id: StorageID, _ value: ValueID) {
    current[id] = value
    if !written.contains(id) { written.append(id) }
  }

  /// `"mean_\(i)" <- value`
  private func writeNamed(_ name: Expr, _ part: [Subscript], _ value: Value, _ valueSpan: Span, _ span: Span) {
    guard case .string(let text) = evaluate(name).kind else { return }
    write(Identifier(text, name.span), part, value, valueSpan, span)
  }

  private func writeRuleState(_ name: Identifier, _ value: Value, _ valueSpan: Span, _ span: Span) {
    guard let old = ruleStates?.inputs[name.text] else { return }
    if let new = tensorForWrite(name, value, valueSpan, builder.type(old), declared: name.span) {
      ruleStates?.written[name.text] = new
    }
  }

  /// The tensor to store under `name`; `nil` after an error.
  private func tensorForWrite(
    _ name: Identifier, _ value: Value, _ span: Span, _ type: TensorType, declared: Span
  ) -> ValueID? {
    if value.isPoison { return nil }
    if value.isWeak, let scalar = constant(value, type.dtype, at: span) {
      return builder.broadcast(scalar, to: type.shape)
    }
    guard case .tensor(let id) = value.kind else {
      fail("'\(name.text)' holds a tensor, and this is \(describe(value))", at: span)
      return nil
    }
    let actual = builder.type(id)
    guard actual.shape == type.shape, actual.dtype.isFloating == type.dtype.isFloating else {
      fail(
        "'\(name.text)' holds \(Self.text(type)), and this is \(Self.text(actual))", at: span,
        labels: declared == name.span ? [] : [.init(declared, "declared here")],
        about: disagreeing(type.shape, actual.shape))
      return nil
    }
    guard type.dtype != .float, actual.dtype != type.dtype else { return id }
    return converted(id, to: type.dtype, because: "the state '\(name.text)' is \(type.dtype)")
  }
}
