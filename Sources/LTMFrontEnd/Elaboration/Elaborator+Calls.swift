import LTMIR
import LTMSupport
import LTMSyntax

/// An argument of a call with its value.
struct Given {
  var name: Identifier?
  var value: Value
  var span: Span
}

extension Elaborator {
  /// `f(a, name: b)`, `x.f(a)`.
  func call(_ callee: Expr, _ arguments: [Argument], _ span: Span) -> Value {
    guard case .member(let base, let name) = callee.kind else {
      return apply(evaluate(callee), callee.span, evaluate(arguments), span)
    }
    let receiver = evaluate(base)
    switch receiver.kind {
    case .poison: return receiver
    case .instance(let id):
      guard let member = member(name.text, of: id, at: callee.span) else { return unknownMember(name, of: id) }
      return apply(member, callee.span, evaluate(arguments), span)
    default:
      // `x.f(a)` is `f(x, a)`.
      guard let function = lookup(name.text, at: name.span) else { return unknown(name.text, at: name.span) }
      return apply(function, name.span, [Given(value: receiver, span: base.span)] + evaluate(arguments), span)
    }
  }

  /// `x |> f`, `x |> f(a)`: the place of the call is its right side.
  func pipe(_ value: Value, _ valueSpan: Span, _ target: Expr) -> Value {
    let first = Given(value: value, span: valueSpan)
    if case .call(let callee, let arguments) = target.kind {
      let function = evaluate(callee)
      // `x |> layers[0](a)` and `x |> f(a)` mean `f(x, a)`.
      return apply(function, callee.span, [first] + evaluate(arguments), target.span)
    }
    return apply(evaluate(target), target.span, [first], target.span)
  }

  private func evaluate(_ arguments: [Argument]) -> [Given] {
    arguments.map { Given(name: $0.name, value: evaluate($0.value), span: $0.value.span) }
  }

  /// Calls whatever can be called.
  func apply(_ callee: Value, _ calleeSpan: Span, _ arguments: [Given], _ span: Span) -> Value {
    if callee.isPoison || arguments.contains(where: \.value.isPoison) { return Value(.poison, span) }
    switch callee.kind {
    case .function(let function): return call(function, arguments, span)
    case .op(let op): return call(op, arguments, span)
    case .builtin(let builtin): return call(builtin, arguments, span)
    case .type(let type): return construct(type, arguments, calleeSpan, span)
    case .instance(let id): return call(id, calleeSpan, arguments, span)
    case .list(let items): return chain(items, calleeSpan, arguments, span)
    case .dtype(let dtype):
      let meant = dtype == .float ? DType.f32 : dtype
      return fail(
        "\(describe(callee)) cannot be called", at: calleeSpan, notes: ["cast(x, \(meant)) converts a tensor"])
    default: return fail("\(describe(callee)) cannot be called", at: calleeSpan)
    }
  }

  private func call(_ id: InstanceID, _ calleeSpan: Span, _ arguments: [Given], _ span: Span) -> Value {
    if world[id].isRefused { return Value(.poison, span) }
    let type = world[id].type
    for case .function(let function) in type.declaration.members where function.name.text == "call" {
      return call(FunctionValue(declaration: function, module: type.module, owner: id), arguments, span)
    }
    return fail(
      "the layer '\(type.declaration.name.text)' has no 'func call', so it cannot be called", at: calleeSpan,
      labels: [.init(type.declaration.name.span, "declared here")])
  }

  /// A list of callables, called one after the other.
  private func chain(_ items: [Value], _ calleeSpan: Span, _ arguments: [Given], _ span: Span) -> Value {
    guard let first = arguments.first, arguments.count == 1, first.name == nil else {
      return fail("a list of layers is called with one argument", at: span)
    }
    var value = first.value
    for item in items {
      if item.isPoison { return Value(.poison, span) }
      guard item.isCallable else {
        return fail(
          "the list holds \(describe(item)), which cannot be called", at: calleeSpan,
          notes: item.isNumeric ? ["an element of a list is list[i], a size of a tensor x.shape[axis]"] : [])
      }
      value = nested(span) { apply(item, calleeSpan, [Given(value: value, span: first.span)], span) }
      if value.isPoison { break }
    }
    return value
  }

  // MARK: Functions

  private func call(_ function: FunctionValue, _ arguments: [Given], _ span: Span) -> Value {
    let declaration = function.declaration
    progress?.reached.insert(declaration.name.span)
    guard inGraph else {
      return fail(
        "'\(declaration.name.text)' is a function on tensors; a member's value is computed without them", at: span)
    }
    guard let bound = bind(arguments, to: declaration.parameters, of: title(function), at: span) else {
      return Value(.poison, span)
    }
    if let cycle = recursion(function) {
      return fail(
        "'\(title(function))' calls itself: \(cycle)", at: span,
        notes: ["recursion is not possible: all code is unrolled"])
    }
    let frame = Frame(
      name: title(function), module: function.module, owner: function.owner, callSpan: span, function: declaration.span)
    return within(frame) {
      guard bindParameters(declaration, bound) else { return Value(.poison, span) }
      let result = run(declaration.body) ?? missingReturn(declaration)
      return checkResult(result, declaration, at: span)
    }
  }

  /// `warm_up`, `Block.mix`; a layer that is called goes by its own name, `blocks.0.fc1`.
  func title(_ function: FunctionValue) -> String {
    let name = function.declaration.name.text
    guard let owner = function.owner else { return name }
    if name == "call", let path = world[owner].path, !path.isEmpty { return path }
    return "\(world[owner].type.declaration.name.text).\(name)"
  }

  private func recursion(_ function: FunctionValue) -> String? {
    let active = { (frame: Frame) in frame.function == function.declaration.span && frame.owner == function.owner }
    guard let start = frames.firstIndex(where: active) else { return nil }
    return (frames[start...].map(\.name) + [title(function)]).joined(separator: " -> ")
  }

  func missingReturn(_ declaration: FunctionDeclaration) -> Value {
    fail("'\(declaration.name.text)' ends without a 'return'", at: declaration.name.span)
  }

  // MARK: Arguments

  /// The argument for each parameter, in order; defaults are `nil`. Returns `nil` after an error.
  func bind(_ arguments: [Given], to parameters: [Parameter], of callee: String, at span: Span) -> [Given?]? {
    var bound = [Given?](repeating: nil, count: parameters.count)
    var next = 0
    var isRight = true
    for argument in arguments {
      var index = next
      if let name = argument.name {
        guard let found = parameters.firstIndex(where: { $0.name.text == name.text }) else {
          unknownArgument(name, parameters.map(\.name.text), callee)
          isRight = false
          continue
        }
        index = found
      } else {
        next += 1
      }
      guard index < parameters.count else {
        fail(
          "'\(callee)' takes \(counted(parameters.count, "argument")), and this is one more", at: argument.span,
          notes: signatureNote(callee, parameters))
        return nil
      }
      if bound[index] != nil {
        fail("'\(parameters[index].name.text)' is given twice", at: argument.name?.span ?? argument.span)
        isRight = false
      }
      bound[index] = argument
    }
    // Where a name was wrong, what it was meant for is missing of course.
    return isRight && reportMissing(bound, parameters, callee, span) ? bound : nil
  }

  private func reportMissing(_ bound: [Given?], _ parameters: [Parameter], _ callee: String, _ span: Span) -> Bool {
    let missing = zip(bound, parameters).filter { $0.0 == nil && $0.1.defaultValue == nil }.map {
      "'\($0.1.name.text)'"
    }
    if missing.isEmpty { return true }
    fail("'\(callee)' needs \(missing.joined(separator: " and "))", at: span, notes: signatureNote(callee, parameters))
    return false
  }

  /// The argument for each parameter of a built-in function, without those left out. Returns `nil` after an error.
  func bind(_ arguments: [Given], to builtin: Builtin, _ span: Span) -> [Given]? {
    let parameters = builtin.parameters
    var bound = [Given?](repeating: nil, count: parameters.count)
    var next = 0
    for argument in arguments {
      guard let index = place(of: argument, next, builtin) else { return nil }
      if argument.name == nil { next += 1 }
      // `permute(x, 1, 0)`: the axes one by one.
      if builtin == .permute, index >= 1, argument.name == nil, let old = bound[1] {
        bound[1]?.value = Value(.list(old.value.items + [argument.value]), old.span)
        continue
      }
      guard index < parameters.count else {
        fail(
          "'\(builtin.rawValue)' takes \(counted(parameters.count, "argument")), and this is one more",
          at: argument.span, notes: usage(builtin))
        return nil
      }
      guard bound[index] == nil else {
        fail("'\(parameters[index].name)' is given twice", at: argument.name?.span ?? argument.span)
        return nil
      }
      bound[index] = argument
    }
    return complete(bound, builtin, span)
  }

  private func usage(_ builtin: Builtin) -> [String] {
    switch builtin {
    case .ones, .zeros: ["full(shape, value) makes a tensor"]
    case .member: ["a layer with a computed name is called as member(\"conv0\")(x)"]
    default: []
    }
  }

  /// Which parameter an argument is for; past the last one where there are too many.
  private func place(of argument: Given, _ next: Int, _ builtin: Builtin) -> Int? {
    guard let name = argument.name else { return next }
    let names = builtin.parameters.map(\.name)
    if let found = names.firstIndex(of: name.text) { return found }
    unknownArgument(name, names, builtin.rawValue)
    return nil
  }

  private func complete(_ bound: [Given?], _ builtin: Builtin, _ span: Span) -> [Given]? {
    for (parameter, given) in zip(builtin.parameters, bound) where parameter.isRequired && given == nil {
      let usage = "it is \(builtin.rawValue)(\(builtin.parameters.map(\.name).joined(separator: ", ")))"
      fail("'\(builtin.rawValue)' needs '\(parameter.name)'", at: span, notes: [usage])
      return nil
    }
    return bound.compactMap { $0 }
  }

  private func signatureNote(_ callee: String, _ parameters: [Parameter]) -> [String] {
    ["it is \(callee)(\(parameters.map(\.span.text).joined(separator: ", ")))"]
  }

  func unknownArgument(_ name: Identifier, _ names: [String], _ callee: String) {
    let fix = ForeignNames.replacement(name.text, among: names) ?? suggestion(for: name.text, among: names)
    // A name that a flag gives stands nowhere in the file, so that nothing there is to be replaced.
    let isWritten = name.span.text == name.text
    let meant = isWritten ? [] : fix.map { ["did you mean '\($0)'?"] } ?? []
    fail(
      "'\(callee)' has no argument '\(name.text)'", at: name.span,
      notes: meant + (names.isEmpty ? [] : ["it has \(names.joined(separator: ", "))"])
        + ForeignNames.note(name.text, of: callee),
      fixIt: isWritten ? fix.map { .init(name.span, $0) } : nil)
  }

  func counted(_ count: Int, _ noun: String) -> String { count == 1 ? "1 \(noun)" : "\(count) \(noun)s" }
}
