import LTMIR
import LTMSupport
import LTMSyntax

// The members of a layer that is being made, in order: what stands in it, once for each round of its loops, and what its
// `if`s choose. A name that is computed is a key like any other.

extension Elaborator {
  func define(_ member: Member, of id: InstanceID) {
    if isExhausted { return }
    switch member {
    case .binding(let binding): define(binding, of: id)
    case .param(let storage): define(storage, .parameter, of: id)
    case .state(let storage): define(storage, .state, of: id)
    case .cache(let storage): define(storage, .cache, of: id)
    case .require(let requirement): if !check(requirement) { world[id].isRefused = true }
    case .function: return
    case .loop(let loop): define(loop, of: id)
    case .conditional(let condition, let then, let otherwise, _):
      guard let holds = self.condition(condition) else { return forget(then + otherwise, of: id) }
      for member in holds ? then : otherwise { define(member, of: id) }
    }
  }

  /// Where it is not known what is made, nothing is said of it.
  private func forget(_ members: [Member], of id: InstanceID) {
    for member in members {
      switch member {
      case .binding(let binding):
        for name in binding.names where name.text != "_" { world[id].define(name.text, Value(.poison, name.span)) }
      case .param(let storage), .state(let storage), .cache(let storage):
        if storage.computedName == nil { world[id].define(storage.name.text, Value(.poison, storage.name.span)) }
      case .conditional(_, let then, let otherwise, _): forget(then + otherwise, of: id)
      case .loop, .require, .function: continue
      }
    }
    world[id].isPartial = true
  }

  private func define(_ loop: MemberLoop, of id: InstanceID) {
    guard let items = elements(of: evaluate(loop.values), at: loop.values.span) else {
      world[id].isPartial = true
      return
    }
    memberLoops += 1
    defer { memberLoops -= 1 }
    for item in items {
      guard step(loop.span) else { return }
      inBlock {
        let names = destructure(item, loop.names, isTuple: loop.isTuple, from: loop.values.span, at: loop.span)
        for (name, value) in names { frame.bind(name, value) }
        for member in loop.members { define(member, of: id) }
      }
    }
  }

  private func define(_ binding: Binding, of id: InstanceID) {
    let value = evaluate(binding.value)
    if let computed = binding.computedName {
      guard let name = memberName(computed, of: id) else { return }
      world[id].defineComputed(name, value)
      return
    }
    for (name, value) in destructure(value, binding) where name != "_" {
      if memberLoops == 0 {
        world[id].define(name, value)
      } else if value.isKept {
        fail(
          "a layer that a loop makes needs a name that differs in each round", at: binding.span,
          notes: ["compute it: let \"\(name)\\(i)\" = ..., which is read as member(\"\(name)\\(i)\")"])
      } else {
        frame.bind(name, value)
      }
    }
  }

  // MARK: Parameters and states

  private func define(_ member: StorageMember, _ kind: Storage.Kind, of id: InstanceID) {
    guard let storage = storage(member, kind, of: id) else {
      if member.computedName == nil { world[id].define(member.name.text, Value(.poison, member.span)) }
      return
    }
    if member.computedName == nil, world[id].kept(storage.name) != nil {
      fail("'\(storage.name)' is declared twice", at: member.name.span)
      return
    }
    world.storages.append(storage)
    let value = Value(.storage(StorageID(index: world.storages.count - 1)), member.name.span)
    if member.computedName == nil {
      world[id].define(storage.name, value)
    } else {
      world[id].defineComputed(storage.name, value)
    }
  }

  /// A parameter or a state as it is declared; `nil` after an error.
  private func storage(_ member: StorageMember, _ kind: Storage.Kind, of id: InstanceID) -> Storage? {
    guard let name = member.computedName.map({ memberName($0, of: id) }) ?? member.name.text else { return nil }
    guard case .tensor(let dtype, let dims, let span)? = member.type else {
      fail("'\(name)' is a tensor: it needs a type such as [features]", at: member.span)
      return nil
    }
    let type = dtype.flatMap { DType(rawValue: $0.text) } ?? .float
    if kind == .cache { return cache(name, type, member, of: id) }
    guard let shape = shape(dims), let sizes = sizes(shape, span) else { return nil }
    if !type.isFloating, kind == .parameter {
      fail("a parameter is trained, so it is a float, not \(type)", at: span, notes: ["a 'state' can hold integers"])
    }
    guard let written = member.initializer else { return nil }
    let start = initializer(written, for: InitializedStorage(shape: sizes, dtype: type))
    // What an initial value is matters to nobody who only checks.
    guard let initializer = isGeneric ? start ?? .constant(0) : start else { return nil }
    return Storage(
      name: name, owner: id, kind: kind, shape: shape, dtype: type, initializer: initializer,
      span: member.name.span)
  }

  /// A cache, whose symbolic dimensions are those of the entries that use it.
  private func cache(_ name: String, _ dtype: DType, _ member: StorageMember, of id: InstanceID) -> Storage? {
    guard case .tensor(_, let dims, _)? = member.type else { return nil }
    let known = frame.dims
    defer { frame.dims = known }
    defineSymbols(member.type)
    guard let shape = shape(dims) else { return nil }
    return Storage(
      name: name, owner: id, kind: .cache, shape: shape, dtype: dtype, initializer: .constant(0),
      span: member.name.span)
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

  // MARK: Computed names

  /// The name that an expression computes for a member; `nil` after an error.
  private func memberName(_ expr: Expr, of id: InstanceID) -> String? {
    guard case .string(let name) = evaluate(expr).kind else {
      world[id].isPartial = true
      return nil
    }
    let isPlain = name.utf8.allSatisfy { $0.isNamePart }
    guard isPlain, !name.isEmpty, name.utf8.count <= 255 else {
      fail(
        "\"\(name)\" is no name of a member", at: expr.span,
        notes: ["it is made of ASCII letters, digits and '_', 255 at most; a checkpoint joins such names by '.'"])
      return nil
    }
    let declaresFunction = world[id].type.declaration.members.contains { member in
      if case .function(let function) = member { function.name.text == name } else { false }
    }
    let other = world[id].kept(name)
    guard other == nil, !declaresFunction else {
      fail(
        "'\(name)' is declared twice", at: expr.span,
        labels: other.map { [.init($0.origin, "declared here too")] }?.filter { $0.span != expr.span } ?? [],
        notes: ["the names of a layer's parameters, states and layers are keys of the checkpoint: each stands once"])
      return nil
    }
    return name
  }

  /// `member("weight_\(layer)")`: what has a computed name.
  func member(_ given: Given, _ span: Span) -> Value {
    guard case .string(let name) = given.value.kind else {
      return fail("'member' takes the name of a member, a String, and this is \(describe(given.value))", at: given.span)
    }
    guard let owner = frame.owner else {
      return fail("'member' reads a member of the layer that the code stands in, and this stands in none", at: span)
    }
    let instance = world[owner]
    if let value = instance.computed[name] { return read(value, at: span) }
    if let value = member(name, of: owner, at: span) { return value }
    if instance.isPartial { return Value(.poison, span) }
    let near = suggestion(for: name, among: instance.order).map { ["did you mean '\($0)'?"] } ?? []
    let has = instance.order.isEmpty ? [] : ["it has \(instance.order.joined(separator: ", "))"]
    return fail(
      "the layer '\(instance.type.declaration.name.text)' has no member '\(name)'", at: given.span, notes: near + has)
  }
}

extension UInt8 {
  fileprivate var isNamePart: Bool {
    let lower = self | 0x20
    return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z") || self == UInt8(ascii: "_")
      || self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9")
  }
}

extension Member {
  /// Whether it declares a name, where its conditions hold.
  func mayDeclare(_ name: String) -> Bool {
    switch self {
    case .binding(let binding): binding.names.contains { $0.text == name }
    case .param(let storage), .state(let storage), .cache(let storage):
      storage.computedName == nil && storage.name.text == name
    case .conditional(_, let then, let otherwise, _): (then + otherwise).contains { $0.mayDeclare(name) }
    case .loop, .require, .function: false
    }
  }
}
