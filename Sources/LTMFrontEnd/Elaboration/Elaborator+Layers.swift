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
    defer { constructing.removeLast() }
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

  private func define(_ member: Member, of id: InstanceID) {
    switch member {
    case .binding(let binding):
      for (name, value) in destructure(evaluate(binding.value), binding) where name != "_" {
        world[id].define(name, value)
      }
    case .param(let storage): define(storage, isState: false, of: id)
    case .state(let storage): define(storage, isState: true, of: id)
    case .require(let requirement): if !check(requirement) { world[id].isRefused = true }
    case .function: return
    }
  }

  private func define(_ member: StorageMember, isState: Bool, of id: InstanceID) {
    let poison = Value(.poison, member.span)
    guard case .tensor(let dtype, let dims, let span)? = member.type else {
      world[id].define(
        member.name.text, fail("'\(member.name.text)' needs a type, such as [features]", at: member.span))
      return
    }
    guard let shape = shape(dims), let sizes = sizes(shape, span) else {
      world[id].define(member.name.text, poison)
      return
    }
    let type = dtype.flatMap { DType(rawValue: $0.text) } ?? .float
    if !type.isFloating, !isState {
      fail("a parameter is trained, so it is a float, not \(type)", at: span, notes: ["a 'state' can hold integers"])
    }
    let start = initializer(member.initializer, for: InitializedStorage(shape: sizes, dtype: type))
    // What an initial value is matters to nobody who only checks.
    guard let initializer = isGeneric ? start ?? .constant(0) : start else {
      world[id].define(member.name.text, poison)
      return
    }
    let storage = Storage(
      name: member.name.text, owner: id, isState: isState, shape: shape, dtype: type, initializer: initializer,
      span: member.name.span)
    world.storages.append(storage)
    world[id].define(member.name.text, Value(.storage(StorageID(index: world.storages.count - 1)), member.name.span))
  }

  /// The sizes of a parameter or a state, where 1 stands for one that has no value yet; `nil` after an error.
  private func sizes(_ shape: [Dim], _ span: Span) -> [Int]? {
    let sizes = shape.compactMap { isUnknown($0) ? 1 : $0.constant }
    guard sizes.count == shape.count, let count = elementCount(sizes), count <= 1 << 40 else {
      fail("the shape \(Self.text(shape)) is too large or not known", at: span)
      return nil
    }
    return sizes
  }
}
