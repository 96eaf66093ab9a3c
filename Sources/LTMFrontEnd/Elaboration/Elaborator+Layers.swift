import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// Makes a layer: binds its parameters, then computes its members in order.
  func construct(_ type: TypeValue, _ arguments: [Given], _ calleeSpan: Span, _ span: Span) -> Value {
    let name = type.declaration.name.text
    guard !inGraph else {
      return fail(
        "a layer cannot be made in a function", at: span,
        notes: ["make it a member: let layer = \(name)(...), and call that"])
    }
    guard !constructing.isEmpty else {
      return fail("a layer is made by the members of a layer or a model", at: span)
    }
    guard let id = make(type, arguments, span) else { return Value(.poison, span) }
    return Value(.instance(id), span)
  }

  /// A new instance with its members; `nil` after an error that leaves none.
  func make(_ type: TypeValue, _ arguments: [Given], _ span: Span) -> InstanceID? {
    let declaration = type.declaration
    if let start = constructing.firstIndex(where: { $0.declaration.name.span == declaration.name.span }) {
      let cycle = (constructing[start...] + [type]).map(\.declaration.name.text).joined(separator: " -> ")
      fail("'\(declaration.name.text)' contains itself: \(cycle)", at: span)
      return nil
    }
    guard world.instances.count < Self.nodeLimit else {
      _ = exhaust("more than \(Self.nodeLimit) layers are made", at: span)
      return nil
    }
    guard let bound = bind(arguments, to: declaration.parameters, of: declaration.name.text, at: span) else {
      return nil
    }
    progress?.reached.insert(declaration.name.span)
    constructing.append(type)
    let outerLoops = memberLoops
    memberLoops = 0
    defer {
      constructing.removeLast()
      memberLoops = outerLoops
    }
    world.instances.append(Instance(type: type))
    let id = InstanceID(index: world.instances.count - 1)
    let callSpan = frames.isEmpty ? nil : span
    let frame = Frame(
      name: declaration.name.text, module: type.module, owner: id, callSpan: callSpan, function: declaration.span)
    return within(frame) {
      guard defineParameters(declaration, bound, of: id) else { return nil }
      for member in declaration.members { define(member, of: id) }
      return id
    }
  }

  private func defineParameters(_ declaration: TypeDeclaration, _ bound: [Given?], of id: InstanceID) -> Bool {
    var isRight = true
    for (parameter, given) in zip(declaration.parameters, bound) {
      let given = given ?? parameter.defaultValue.map { Given(value: evaluate($0), span: $0.span) }
      if let given, given.value.isPoison {
        world[id].define(parameter.name.text, given.value)
        continue
      }
      guard let given, let value = compileTime(given.value, parameter, given.span, allowsSymbols: false) else {
        isRight = false
        continue
      }
      world[id].define(parameter.name.text, value)
    }
    return isRight
  }
}
