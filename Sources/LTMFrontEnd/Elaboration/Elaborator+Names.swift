import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// The value of a name, or `nil`: locals, dimensions, members, then declarations, then what is built in.
  func lookup(_ name: String, at span: Span) -> Value? {
    for block in frame.blocks.reversed() {
      if let value = block[name] { return value }
    }
    if let dim = frame.dims[name] { return Value(.integer(dim), span) }
    if let owner = frame.owner, let value = member(name, of: owner, at: span) { return value }
    if let value = stateOfRule(name, at: span) { return value }
    if let found = file.declaration(name, in: frame.module) {
      return value(of: found.declaration, named: name, module: found.module, at: span)
    }
    if name == Names.training, inGraph { return Value(.boolean(training), span) }
    return Names.kind(name).map { Value($0, span) }
  }

  /// A member of a layer: an argument, a `let`, a parameter, a state or a function.
  func member(_ name: String, of owner: InstanceID, at span: Span) -> Value? {
    let instance = world[owner]
    if let value = instance.values[name] ?? instance.computed[name] { return read(value, at: span) }
    for case .function(let function) in instance.type.declaration.members where function.name.text == name {
      return Value(.function(FunctionValue(declaration: function, module: instance.type.module, owner: owner)), span)
    }
    return nil
  }

  /// In a graph a parameter or state is a tensor; elsewhere it stays what it is.
  func read(_ value: Value, at span: Span) -> Value {
    guard case .storage(let id) = value.kind, let tensor = current[id] else { return value }
    return Value(.tensor(tensor), value.origin)
  }

  private func stateOfRule(_ name: String, at span: Span) -> Value? {
    guard let states = ruleStates, let value = states.written[name] ?? states.inputs[name] else { return nil }
    // Only the optimizer's own code sees them, not the functions it calls.
    return frame.owner == states.owner ? Value(.tensor(value), span) : nil
  }

  private func value(of declaration: Declaration, named name: String, module: Int, at span: Span) -> Value? {
    switch declaration {
    case .import, .train, .weights: return nil
    case .constant(let binding): return constant(name, binding, module)
    case .function(let function):
      return Value(.function(FunctionValue(declaration: function, module: module, owner: nil)), span)
    case .type(let type): return Value(.type(TypeValue(declaration: type, module: module)), span)
    }
  }

  /// A `let` at the top of a file, computed when first used.
  private func constant(_ name: String, _ binding: Binding, _ module: Int) -> Value {
    let key = "\(module) \(name)"
    if let value = constants[key] { return value }
    if let start = activeConstants.firstIndex(of: key) {
      let cycle = (activeConstants[start...] + [key]).map { $0.split(separator: " ").last.map(String.init) ?? "" }
      return fail("constants depend on each other: \(cycle.joined(separator: " -> "))", at: binding.span)
    }
    activeConstants.append(key)
    defer { activeConstants.removeLast() }
    let saved = (inGraph, constructing)
    (inGraph, constructing) = (false, [])
    let value = within(Frame(name: "let \(name)", module: module)) { evaluate(binding.value) }
    (inGraph, constructing) = saved
    for (bound, item) in destructure(value, binding) { constants["\(module) \(bound)"] = item }
    return constants[key] ?? Value(.poison, binding.span)
  }

  /// The names of a binding with their values; a tuple pattern must match the count.
  func destructure(_ value: Value, _ binding: Binding) -> [(String, Value)] {
    destructure(value, binding.names, isTuple: binding.isTuple, from: binding.value.span, at: binding.span)
  }

  /// The names of a pattern with their values.
  func destructure(
    _ value: Value, _ names: [Identifier], isTuple: Bool, from source: Span, at span: Span
  ) -> [(String, Value)] {
    guard isTuple else { return names.prefix(1).map { ($0.text, value) } }
    switch value.kind {
    case .poison: break
    case .tuple(let items), .list(let items):
      if items.count == names.count { return Array(zip(names.map(\.text), items)) }
      fail("\(names.count) names for \(items.count) values", at: span)
    default:
      fail("a tuple is needed here, and this is \(describe(value))", at: source)
    }
    return names.map { ($0.text, Value(.poison, $0.span)) }
  }

  /// Reports a name that means nothing, with the nearest one that does.
  func unknown(_ name: String, at span: Span) -> Value {
    var visible =
      frame.blocks.flatMap(\.keys) + Array(frame.dims.keys) + file.visibleNames(in: frame.module) + Array(Names.all)
    if let owner = frame.owner { visible += world[owner].order }
    var (notes, fix) = ForeignNames.advice(name, among: visible, near: suggestion(for: name, among: visible))
    if let owner = frame.owner, world[owner].type.declaration.members.contains(where: { $0.mayDeclare(name) }) {
      (notes, fix) = (["it is a member only where the condition of its 'if' holds"], nil)
    }
    return fail("unknown name '\(name)'", at: span, notes: notes, fixIt: fix.map { .init(span, $0) })
  }
}

extension Elaborator {
  /// A value in a few words, for messages.
  func describe(_ value: Value) -> String {
    switch value.kind {
    case .integer(let dim): "the Int \(dim)"
    case .float(let value): "the Float \(value)"
    case .boolean(let value): "the Bool \(value)"
    case .string(let text): "the String \"\(text)\""
    case .dtype(let dtype): "the dtype \(dtype)"
    case .tensor(let id): "a tensor \(typeText(id))"
    case .list(let items): "a list of \(items.count)"
    case .tuple(let items): "a tuple of \(items.count)"
    case .range(let low, let high): "the range \(low)..<\(high)"
    case .along(let along): "a tensor \(typeText(along.tensor)) along axis \(along.axis)"
    case .function(let function): "the function '\(function.declaration.name.text)'"
    case .op(let op): "the op '\(op.name)'"
    case .builtin(let builtin): "the function '\(builtin.rawValue)'"
    case .type(let type): "the \(type.declaration.kind.rawValue) '\(type.declaration.name.text)' itself"
    case .instance(let id): "a layer '\(world[id].type.declaration.name.text)'"
    case .storage(let id): "the \(world[id].kind.rawValue) '\(world[id].name)'"
    case .initializer: "an initial value"
    case .poison: "unknown"
    }
  }

  /// The type of a tensor as `.ltm` writes it: an undecided float has no dtype.
  func typeText(_ id: ValueID) -> String { Self.text(builder.type(id)) }

  static func text(_ type: TensorType) -> String { type.sourceText }

  static func text(_ shape: [Dim]) -> String { "[\(shape.map(\.description).joined(separator: ", "))]" }
}
