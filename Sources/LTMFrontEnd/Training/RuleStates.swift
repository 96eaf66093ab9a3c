import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// The members of a rule in order: its `let`s are made, and its states declared, with inputs for them.
  ///
  /// - Parameter weight: the weight that an optimizer is made for.
  func makeMembers(of rule: Rule, weight: Value?) -> [RuleState] {
    let declaration = rule.type.declaration
    if let weight { world[rule.owner].values["weight"] = weight }
    let frame = Frame(name: rule.name, module: rule.type.module, owner: rule.owner)
    var states: [RuleState] = []
    within(frame) {
      for member in declaration.members {
        switch member {
        case .binding(let binding):
          for (name, value) in destructure(evaluate(binding.value), binding) where name != "_" {
            world[rule.owner].define(name, value)
          }
        case .require(let requirement): _ = check(requirement)
        case .state(let member): if let state = state(member, weight) { states.append(state) }
        case .cache(let member): fail("a rule keeps what it needs in a state, not in a cache", at: member.name.span)
        case .param, .function, .loop, .conditional: continue
        }
      }
    }
    ruleStates = RuleStates(owner: rule.owner, names: states.map(\.name), inputs: [:])
    for state in states {
      ruleStates?.inputs[state.name] = builder.input(state.name, state.type, role: .optimizerState)
    }
    return states
  }

  /// A state of a rule: of the shape that its type gives, or `zeros_like`, else of the weight's.
  private func state(_ member: StorageMember, _ weight: Value?) -> RuleState? {
    var (shape, dtype) = ([Dim](), DType.float)
    if let weight, case .tensor(let id) = weight.kind { shape = builder.type(id).shape }
    if let type = member.type {
      guard case .tensor(let word, let dims, let span) = type else {
        fail("a state is a tensor: its type is a shape, as in [weight.shape[0]]", at: type.span)
        return nil
      }
      dtype = word.flatMap { DType(rawValue: $0.text) } ?? .float
      guard dtype.isFloating else {
        fail("a state of a rule holds floats", at: span, notes: ["f32[] counts exactly up to 2^24"])
        return nil
      }
      guard let given = self.shape(dims) else { return nil }
      shape = given
    }
    guard let first = member.initializer else { return nil }
    // What is computed of the weight for its shape alone is no part of the update.
    let saved = builder
    likeShape = nil
    initialized = InitializedStorage(shape: [], dtype: dtype)
    let value = evaluate(first)
    initialized = nil
    builder = saved
    if member.type == nil, let likeShape { shape = likeShape }
    let type = TensorType(dtype, shape)
    if case .tensor(let id) = value.kind, let weight, case .tensor(id) = weight.kind {
      return RuleState(name: member.name.text, type: TensorType(dtype, builder.type(id).shape), initial: .weight)
    }
    guard let initializer = initializer(value, first, dtype) else { return nil }
    return RuleState(name: member.name.text, type: type, initial: .initializer(initializer))
  }

  private func initializer(_ value: Value, _ expr: Expr, _ dtype: DType) -> Initializer? {
    if value.isPoison { return nil }
    if case .initializer(let initializer) = value.kind { return initializer }
    if let number = value.number { return fits(number, dtype, at: expr.span) ? .constant(number) : nil }
    fail(
      "a state of a rule begins as a number, zeros_like(x), ones(), uniform(bound), normal(std), or the weight itself, and this is "
        + describe(value), at: expr.span)
    return nil
  }
}
