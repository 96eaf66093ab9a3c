import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// The value of an expression.
  func evaluate(_ expr: Expr) -> Value {
    nested(expr.span) { evaluateUnchecked(expr) }
  }

  private func evaluateUnchecked(_ expr: Expr) -> Value {
    let span = expr.span
    switch expr.kind {
    case .integer(let value): return Value(.integer(Dim(value)), span)
    case .float(let value): return Value(.float(value), span)
    case .boolean(let value): return Value(.boolean(value), span)
    case .string(let text): return Value(.string(text), span)
    case .template(let parts): return template(parts, span)
    case .name(let name): return lookup(name, at: span) ?? unknown(name, at: span)
    case .list(let items): return list(items, span)
    case .tuple(let items): return list(items.map(evaluate), Value.Kind.tuple, span)
    case .comprehension(let body, let variable, let range): return comprehension(body, variable, range, span)
    case .collect(let loop): return collect(loop)
    case .call(let callee, let arguments): return call(callee, arguments, span)
    case .member(let base, let name): return member(of: evaluate(base), name, base.span, span)
    case .index(let base, let subscripts): return index(evaluate(base), subscripts, base.span, span)
    case .unary(let op, let operand): return unary(op, evaluate(operand), operand.span, span)
    case .binary(let op, let left, let right): return binary(op, left, right, span)
    case .range(let low, let high): return range(evaluate(low), evaluate(high), span)
    case .pipe(let value, let target): return pipe(evaluate(value), value.span, target)
    case .conditional(let condition, let then, let otherwise):
      guard let holds = self.condition(condition) else {
        if isGeneric { for branch in [then, otherwise] { speculate { _ = evaluate(branch) } } }
        return Value(.poison, span)
      }
      return evaluate(holds ? then : otherwise)
    case .pinned(let dtype, let body): return pinned(dtype, body)
    case .recompute(let body): return recompute(body, span)
    case .invalid: return Value(.poison, span)
    }
  }

  /// `"weight_\(layer)"`
  private func template(_ parts: [TemplatePart], _ span: Span) -> Value {
    var text = ""
    for part in parts {
      switch part {
      case .text(let piece): text += piece
      case .name(let name):
        let value = lookup(name.text, at: name.span) ?? unknown(name.text, at: name.span)
        if value.isPoison || isUnknown(value) { return Value(.poison, span) }
        switch value.kind {
        case .string(let piece): text += piece
        case .boolean(let bool): text += "\(bool)"
        case .integer(let dim) where dim.constant != nil: text += "\(dim)"
        default:
          return fail(
            "a string takes Ints, Strings and Bools that are known, and '\(name.text)' is \(describe(value))",
            at: name.span)
        }
      }
    }
    return Value(.string(text), span)
  }

  private func list(_ items: [Expr], _ span: Span) -> Value {
    if items.isEmpty { return fail("a list cannot be empty", at: span) }
    return list(items.map(evaluate), Value.Kind.list, span)
  }

  private func comprehension(_ body: Expr, _ variable: Identifier, _ range: Expr, _ span: Span) -> Value {
    guard let items = elements(of: evaluate(range), at: range.span) else {
      if isGeneric { perhaps([variable], [.return(body, body.span)]) }
      return Value(.poison, span)
    }
    if items.isEmpty { return fail("a list cannot be empty, and this range is", at: range.span) }
    var values: [Value] = []
    for item in items {
      guard step(span) else { return Value(.poison, span) }
      values.append(
        inBlock {
          frame.bind(variable.text, item); return evaluate(body)
        })
    }
    return list(values, Value.Kind.list, span)
  }

  /// Runs `body` with a block of its own for local names.
  func inBlock<T>(_ body: () -> T) -> T {
    frame.blocks.append([:])
    defer { frame.blocks.removeLast() }
    return body()
  }

  /// What a loop runs over; `nil` after an error.
  func elements(of value: Value, at span: Span) -> [Value]? {
    switch value.kind {
    case .poison: return nil
    case .list(let items), .tuple(let items): return items
    case .range(let low, let high):
      guard high - low <= Self.stepLimit else {
        _ = exhaust("a loop of \(high - low) rounds is too long to unroll", at: span)
        return nil
      }
      return (low..<max(low, high)).map { Value(.integer(Dim($0)), span) }
    case .tensor:
      fail(
        "a loop runs over a range or a list, and this is \(describe(value))", at: span,
        notes: [
          "for row in x.along(0) { ... } runs once for each index of axis 0", "unstack(x, axis: 0) makes a list of it",
        ])
      return nil
    case .along:
      fail(
        "a list has a number of elements that is known when the code is read, and this is \(describe(value))", at: span,
        notes: ["a loop runs along it: let all = for x in xs.along(0) { ... yield y }"])
      return nil
    default:
      fail("a loop runs over a range or a list, and this is \(describe(value))", at: span)
      return nil
    }
  }

  private func range(_ low: Value, _ high: Value, _ span: Span) -> Value {
    if low.isPoison || high.isPoison || isUnknown(low) || isUnknown(high) { return Value(.poison, span) }
    guard let start = low.constantInteger, let end = high.constantInteger else {
      if let indices = symbolicRange(low, high, span) { return indices }
      return fail(
        "the ends of a range are Ints known at compile time, and these are \(describe(low)) and \(describe(high))",
        at: span, notes: low.isNumeric && high.isNumeric ? [Self.sizeNote] : [])
    }
    let (_, overflow) = end.subtractingReportingOverflow(start)
    if overflow { return fail("the range \(start)..<\(end) is too long", at: span) }
    return Value(.range(start, end), span)
  }

  /// `0..<T`: the indices as a tensor, along which a loop runs, since their number is known only when the code runs.
  private func symbolicRange(_ low: Value, _ high: Value, _ span: Span) -> Value? {
    guard inGraph, case .integer(let start) = low.kind, case .integer(let end) = high.kind,
      let length = end.subtracting(start)
    else { return nil }
    let all = apply(.iota, [], ["shape": .dims([length]), "axis": .int(0), "dtype": .dtype(.i32)], at: span)
    guard case .tensor(let indices) = all.kind else { return all }
    if start == 0 { return Value(.along(Along(tensor: indices, axis: 0)), span) }
    guard let first = constant(low, .i32, at: span) else { return Value(.poison, span) }
    let moved = apply(
      .add, [Operand(indices, span), Operand(builder.broadcast(first, to: [length]), span)], [:], at: span)
    guard case .tensor(let id) = moved.kind else { return moved }
    return Value(.along(Along(tensor: id, axis: 0)), span)
  }

  /// The truth of an `if`, which is known at compile time; `nil` after an error.
  func condition(_ expr: Expr, of word: String = "if") -> Bool? {
    let value = evaluate(expr)
    switch value.kind {
    case .boolean(let holds): return holds
    case .poison: return nil
    case .tensor:
      fail(
        "'\(word)' needs a Bool known at compile time, and this is \(describe(value))", at: expr.span,
        notes: word == "if" ? ["where(condition, a, b) chooses by element"] : [])
    default: fail("'\(word)' needs a Bool, and this is \(describe(value))", at: expr.span)
    }
    return nil
  }

  private func pinned(_ dtype: Identifier, _ body: Expr) -> Value {
    guard let type = DType(rawValue: dtype.text), type.isFloating, type != .float else {
      return fail("a region is pinned to f16, bf16, f32 or f64, not '\(dtype.text)'", at: dtype.span)
    }
    let saved = (pin, pinned)
    (pin, pinned) = (type, [:])
    let value = pinnedResult(evaluate(body))
    (pin, pinned) = saved
    return value
  }

  /// What a region gives is of its dtype too.
  private func pinnedResult(_ value: Value) -> Value {
    switch value.kind {
    case .tensor(let id): Value(.tensor(pinnedOperand(id)), value.origin)
    case .tuple(let items): Value(.tuple(items.map(pinnedResult)), value.origin)
    case .list(let items): Value(.list(items.map(pinnedResult)), value.origin)
    default: value
    }
  }

  /// The operand as the pinned region reads it: cast once, however often it is read.
  func pinnedOperand(_ id: ValueID) -> ValueID {
    let dtype = builder.type(id).dtype
    guard let pin, dtype.isFloating, dtype != pin else { return id }
    if let cast = pinned[id] { return cast }
    let cast = converted(id, to: pin, because: "pinned by @\(pin)")
    pinned[id] = cast
    return cast
  }

  /// A cast with its reason.
  func converted(_ id: ValueID, to dtype: DType, because reason: String) -> ValueID {
    builder.reason = reason
    defer { builder.reason = nil }
    return builder.cast(id, to: dtype)
  }

  // MARK: Members

  private func member(of base: Value, _ name: Identifier, _ baseSpan: Span, _ span: Span) -> Value {
    switch base.kind {
    case .poison: return base
    case .instance(let id): return self.member(name.text, of: id, at: span) ?? unknownMember(name, of: id)
    case .tensor(let id): return property(name, of: id, baseSpan, span)
    case .list(let items), .tuple(let items):
      if name.text == "count" { return Value(.integer(Dim(items.count)), span) }
      let hint = ForeignNames.note(name.text)
      return fail(
        "a list has no '\(name.text)'", at: name.span, notes: hint.isEmpty ? ["it has 'count'"] : hint,
        fixIt: ForeignNames.replacement(name.text, among: ["count"]).map { .init(name.span, $0) })
    default: return fail("\(describe(base)) has no member '\(name.text)'", at: name.span)
    }
  }

  func unknownMember(_ name: Identifier, of id: InstanceID) -> Value {
    let instance = world[id]
    let functions = instance.type.declaration.members.compactMap { member -> String? in
      if case .function(let function) = member { function.name.text } else { nil }
    }
    let names = instance.order + functions
    return fail(
      "the layer '\(instance.type.declaration.name.text)' has no member '\(name.text)'", at: name.span,
      notes: names.isEmpty ? [] : ["it has \(names.joined(separator: ", "))"],
      fixIt: suggestion(for: name.text, among: names).map { .init(name.span, $0) })
  }

  private func property(_ name: Identifier, of id: ValueID, _ base: Span, _ span: Span) -> Value {
    let type = builder.type(id)
    switch name.text {
    case "shape": return Value(.list(type.shape.map { Value(.integer($0), span) }), span)
    case "rank": return Value(.integer(Dim(type.rank)), span)
    case "dtype": return Value(.dtype(type.dtype), span)
    case "T":
      guard type.rank >= 2 else {
        return fail("'.T' swaps the last two axes, and \(Self.text(type)) has \(type.rank)", at: name.span)
      }
      var permutation = Array(0..<type.rank)
      permutation.swapAt(type.rank - 1, type.rank - 2)
      return apply(.transpose, [Operand(id, base)], ["permutation": .ints(permutation)], at: span)
    default:
      let isFunction = lookup(name.text, at: name.span)?.isCallable ?? false
      let usual = "it has T, shape, rank and dtype, and every function can be called on it"
      let hint = ForeignNames.note(name.text)
      return fail(
        "a tensor has no property '\(name.text)'", at: name.span,
        notes: isFunction ? ["call it: x.\(name.text)()"] : hint.isEmpty ? [usual] : hint,
        fixIt: ForeignNames.replacement(name.text, among: ["rank", "T"]).map { .init(name.span, $0) })
    }
  }
}

extension Frame {
  /// Defines a local name in the innermost block; `_` defines nothing.
  mutating func bind(_ name: String, _ value: Value) {
    if name != "_" { blocks[blocks.count - 1][name] = value }
  }

  /// Gives a `var` its new value where it was defined.
  mutating func assign(_ name: String, _ value: Value) -> Bool {
    guard let block = blocks.lastIndex(where: { $0[name] != nil }) else { return false }
    blocks[block][name] = value
    return true
  }
}
