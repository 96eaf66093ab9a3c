import LTMIR
import LTMSupport
import LTMSyntax

/// The functions of the training step's rules, with what a step gives them: one table.
enum RuleFunction {
  /// What a function of a rule can name among its parameters, in any order.
  static func given(to function: String, of kind: TypeDeclaration.Kind) -> [String] {
    switch (kind, function) {
    case (.optimizer, "update"): ["weight", "grad", "step", "total", "loss"]
    case (.schedule, "observe"): ["metric"]
    case (.schedule, _): [function, "step", "total"]
    case (.clip, "measure"): ["grad", "weight"]
    case (.clip, "clip"): ["grad", "weight", "measured"]
    case (.average, "update"): ["average", "weight", "step", "total"]
    case (.layer, _), (.model, _), (.optimizer, _), (.clip, _), (.average, _): []
    }
  }

  /// How the function that a rule cannot do without is written.
  static func example(of kind: TypeDeclaration.Kind) -> String {
    switch kind {
    case .optimizer: "func update(weight, grad)"
    case .schedule: "func lr(lr, step, total)"
    case .clip: "func clip(grad)"
    case .average: "func update(average, weight)"
    case .layer, .model: "func call(x: [...]) -> [...]"
    }
  }

  /// Whether a function gives nothing, and needs no `return`.
  static func onlyWrites(_ function: String, of kind: TypeDeclaration.Kind?) -> Bool {
    kind == .schedule && function == "observe"
  }
}

extension TypeDeclaration {
  /// The functions of the name.
  func function(_ name: String) -> FunctionDeclaration? {
    for case .function(let function) in members where function.name.text == name { return function }
    return nil
  }

  /// `an optimizer`
  var kindText: String { kind == .optimizer || kind == .average ? "an \(kind.rawValue)" : "a \(kind.rawValue)" }
}

/// A rule made with its arguments, as its functions see it.
struct Rule: Sendable {
  let type: TypeValue
  let owner: InstanceID
  private let file: LoadedFile
  private let world: World
  private let generic: Generic?

  var name: String { type.declaration.name.text }

  init(_ kind: TypeDeclaration.Kind, _ call: RuleCall, in file: LoadedFile) throws(DiagnosticSet) {
    let elaborator = Elaborator(file)
    elaborator.generic = call.generic
    (type, owner) = try elaborator.rule(kind, call)
    (self.file, world, generic) = (file, elaborator.world, call.generic)
  }

  /// Elaborates a part of it; throws what was reported meanwhile.
  func elaborate<Part>(_ body: (Elaborator) -> Part) throws(DiagnosticSet) -> Part {
    let elaborator = Elaborator(file, world: world)
    elaborator.generic = generic
    let part = body(elaborator)
    try elaborator.diagnostics.throwIfErrors()
    return part
  }

  /// An argument that is a Bool; `nil` where there is no such.
  func flag(_ name: String) -> Bool? {
    if case .boolean(let value)? = world[owner].values[name]?.kind { value } else { nil }
  }

  /// The arguments that are numbers.
  var numbers: [String: Double] {
    let values = world[owner].values
    let parameters = type.declaration.parameters.map(\.name.text)
    return Dictionary(
      parameters.compactMap { name in values[name]?.number.map { (name, $0) } }, uniquingKeysWith: { first, _ in first }
    )
  }
}

extension Elaborator {
  /// Makes a rule.
  fileprivate func rule(
    _ kind: TypeDeclaration.Kind, _ call: RuleCall
  ) throws(DiagnosticSet) -> (TypeValue, InstanceID) {
    guard let found = file.rule(kind, call.name, in: file.mainIndex) else {
      let names = file.visibleRules(kind, in: file.mainIndex)
      let nearest = suggestion(for: call.name, among: names)
      throw DiagnosticSet([
        Diagnostic(
          "there is no \(kind.rawValue) '\(call.name)'", at: call.span,
          notes: ["there are \(names.joined(separator: ", "))"],
          fixIt: call.span.flatMap { span in nearest.map { .init(span, $0) } })
      ])
    }
    let type = TypeValue(declaration: found.declaration, module: found.module)
    let span = call.span ?? found.declaration.name.span
    let parameters = found.declaration.parameters
    let given = call.settled(for: parameters).enumerated().map { index, argument in
      let place = argument.span ?? span
      let parameter =
        argument.name.map { name in parameters.first { $0.name.text == name } }
        ?? (parameters.indices.contains(index) ? parameters[index] : nil)
      return Given(
        name: argument.name.map { Identifier($0, argument.nameSpan ?? place) },
        value: outside(argument.value, for: parameter, in: found.module, at: place), span: place)
    }
    let owner = make(TypeValue(declaration: found.declaration.beforeTraining, module: found.module), given, span)
    try diagnostics.throwIfErrors()
    guard let owner else {
      throw DiagnosticSet([.internalError(in: "elaboration", "no \(kind.rawValue) '\(call.name)' and no message")])
    }
    return (type, owner)
  }

  /// The function of a rule, where it asks for nothing that it is not given.
  func ruleFunction(_ name: String, of type: TypeValue) -> FunctionDeclaration? {
    let declaration = type.declaration
    guard let function = declaration.function(name) else {
      fail(
        "the \(declaration.kind.rawValue) '\(declaration.name.text)' has no '\(RuleFunction.example(of: declaration.kind))'",
        at: declaration.name.span)
      return nil
    }
    let given = RuleFunction.given(to: name, of: declaration.kind)
    guard let other = function.parameters.first(where: { !given.contains($0.name.text) }) else { return function }
    fail(
      "'\(name)' of \(declaration.kindText) is not given '\(other.name.text)'", at: other.name.span,
      notes: ["it is given \(given.joined(separator: ", ")): it names what it reads, in any order"],
      fixIt: suggestion(for: other.name.text, among: given).map { .init(other.name.span, $0) })
    return nil
  }

  /// An input of a rule's graph.
  func input(
    _ name: String, _ type: TensorType, _ role: GraphInput.Role, _ function: FunctionDeclaration
  ) -> Value {
    let span = function.parameters.first { $0.name.text == name }?.span ?? function.name.span
    return Value(.tensor(builder.input(name, type, role: role)), span)
  }

  /// The scalars that a function names among its parameters.
  func scalars(_ names: [String], of function: FunctionDeclaration) -> [String: Value] {
    let named = names.filter { name in function.parameters.contains { $0.name.text == name } }
    return Dictionary(
      named.map { ($0, input($0, TensorType(.float, []), .control, function)) }, uniquingKeysWith: { first, _ in first }
    )
  }

  /// Runs a function of a rule; `nil` where it returns nothing.
  func runRule(_ function: FunctionDeclaration, _ locals: [String: Value], _ rule: Rule) -> Value? {
    let name = "\(rule.name).\(function.name.text)"
    let frame = Frame(
      name: name, module: rule.type.module, owner: rule.owner, blocks: [locals, [:]], function: function.span)
    return within(frame) { run(function.body) }
  }

  /// The result of a rule, which has the shape of what it is for.
  func floatTensor(_ value: Value?, _ shape: [Dim], _ function: FunctionDeclaration) -> ValueID? {
    let value = value ?? missingReturn(function)
    if value.isPoison { return nil }
    if value.isNumeric, let id = constant(value, .float, at: value.origin) { return builder.broadcast(id, to: shape) }
    guard case .tensor(let id) = value.kind else {
      fail("'\(function.name.text)' returns a tensor, and this is \(describe(value))", at: value.origin)
      return nil
    }
    guard builder.type(id).shape == shape, builder.type(id).dtype.isFloating else {
      fail("'\(function.name.text)' returns \(Self.text(shape)), and this is \(typeText(id))", at: value.origin)
      return nil
    }
    return id
  }
}

extension TypeDeclaration {
  /// What is made once, before training: states are per weight. What looks at the weight is not known yet.
  fileprivate var beforeTraining: TypeDeclaration {
    var copy = self
    copy.members = members.filter { if case .state = $0 { false } else { true } }
    if kind == .optimizer {
      copy.members.insert(.binding(Binding(unknown: Identifier("weight", name.span))), at: 0)
    }
    return copy
  }
}
