import LTMIR
import LTMSupport
import LTMSyntax

/// An optimizer or a schedule by name with its arguments, as a `train` block or a flag gives them.
package struct RuleCall: Sendable {
  /// `AdamW`, `cosine`
  package var name: String
  /// Where the name is written; `nil` from outside.
  package var span: Span?
  /// In the order written.
  package var arguments: [Argument]
  /// An optimizer's `lr` from outside, in place of the one written.
  package var learningRate: Double?

  /// An argument of a rule.
  package struct Argument: Sendable {
    /// `nil` for a positional one.
    package var name: String?
    /// The value.
    package var value: CompileTimeValue
    /// Where it is written; `nil` from outside.
    package var span: Span?
    /// Where its name is written.
    package var nameSpan: Span?

    /// An argument.
    package init(name: String?, value: CompileTimeValue, span: Span? = nil, nameSpan: Span? = nil) {
      self.name = name
      self.value = value
      self.span = span
      self.nameSpan = nameSpan
    }
  }

  /// A call of a rule.
  package init(name: String, span: Span? = nil, arguments: [Argument] = []) {
    self.name = name
    self.span = span
    self.arguments = arguments
  }

  /// The arguments with the learning rate from outside, where there is one, by position or by name.
  func settled(for parameters: [Parameter]) -> [Argument] {
    guard let learningRate, let index = parameters.firstIndex(where: { $0.name.text == "lr" }) else { return arguments }
    var settled = arguments.filter { $0.name != "lr" }
    if index < settled.count, settled[index].name == nil {
      settled[index] = Argument(name: nil, value: .float(learningRate))
    } else {
      settled.append(Argument(name: "lr", value: .float(learningRate)))
    }
    return settled
  }

  /// Set where the arguments stand for any: then nothing is required of them.
  var generic: Generic?

  /// Gives an argument by name, in place of the one that was there.
  package mutating func set(_ name: String, _ value: CompileTimeValue) {
    arguments.removeAll { $0.name == name }
    arguments.append(Argument(name: name, value: value))
  }
}

/// An optimizer with its arguments.
package struct OptimizerInstance: Sendable {
  /// `AdamW`
  package let name: String
  /// What is kept per parameter, each of the parameter's shape; only what `update` reads or writes.
  package let states: [(name: String, initializer: Initializer)]
  /// The learning rate, before the schedule.
  package let learningRate: Double

  private let rule: Rule

  init(file: LoadedFile, call: RuleCall) throws(DiagnosticSet) {
    let rule = try Rule(.optimizer, call, in: file)
    let (all, rate) = try rule.elaborate { ($0.ruleStates(of: rule.type), $0.learningRate(of: rule)) }
    let graph = try rule.elaborate { $0.update(rule, all.map(\.name), shape: [Dim(symbol: "N")]) }
    (self.rule, name, learningRate) = (rule, rule.name, rate)
    states = all.filter { graph.input($0.name) != nil }
  }

  /// One update of a parameter of that shape. Inputs: `weight`, `grad`, `lr` and `step` (scalars; `step` is 1 in the
  /// first update), then the states, all of them undecided floats: with precision 64 the rate is an f64. Outputs:
  /// `weight`, then the states. What is not used is left out.
  package func graph(shape: [Dim]) throws(DiagnosticSet) -> Graph {
    try rule.elaborate { $0.update(rule, states.map(\.name), shape: shape) }
  }
}

/// A schedule with its arguments.
package struct ScheduleInstance: Sendable {
  /// `cosine`
  package let name: String
  private let rule: Rule

  init(file: LoadedFile, call: RuleCall) throws(DiagnosticSet) {
    rule = try Rule(.schedule, call, in: file)
    name = rule.name
    _ = try graph()
  }

  /// The factor of the learning rate. Inputs: `step` (updates made so far, from 0) and `total` (in the whole run),
  /// undecided scalars; output: `factor`.
  package func graph() throws(DiagnosticSet) -> Graph { try rule.elaborate { $0.factor(rule) } }
}

/// An optimizer or a schedule made with its arguments, as its functions see it.
private struct Rule: Sendable {
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
}

extension LoadedFile {
  /// Makes an optimizer.
  package func optimizer(_ call: RuleCall) throws(DiagnosticSet) -> OptimizerInstance {
    try OptimizerInstance(file: self, call: call)
  }

  /// Makes a schedule.
  package func schedule(_ call: RuleCall) throws(DiagnosticSet) -> ScheduleInstance {
    try ScheduleInstance(file: self, call: call)
  }
}

extension Elaborator {
  /// Makes an optimizer or a schedule.
  fileprivate func rule(
    _ kind: TypeDeclaration.Kind, _ call: RuleCall
  ) throws(DiagnosticSet) -> (TypeValue, InstanceID) {
    guard let found = file.rule(call.name, in: file.mainIndex), found.declaration.kind == kind else {
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
    let owner = make(TypeValue(declaration: found.declaration.withoutStates, module: found.module), given, span)
    try diagnostics.throwIfErrors()
    guard let owner else {
      throw DiagnosticSet([.internalError(in: "elaboration", "no \(kind.rawValue) '\(call.name)' and no message")])
    }
    return (type, owner)
  }

  /// The learning rate that an optimizer was given.
  fileprivate func learningRate(of rule: Rule) -> Double {
    if let rate = world[rule.owner].values["lr"]?.number { return rate }
    fail("an optimizer has a parameter 'lr: Float'", at: rule.type.declaration.name.span)
    return 0
  }

  /// The states that an optimizer declares.
  fileprivate func ruleStates(of type: TypeValue) -> [(name: String, initializer: Initializer)] {
    var states: [(name: String, initializer: Initializer)] = []
    for case .state(let member) in type.declaration.members {
      if let declared = member.type {
        fail("a state of an optimizer has the shape and dtype of its weight, so no type is given", at: declared.span)
      }
      let frame = Frame(
        name: type.declaration.name.text, module: type.module, blocks: [["weight": Value(.boolean(true), member.span)]])
      let initializer = within(frame) {
        self.initializer(member.initializer, for: InitializedStorage(shape: [], dtype: .float))
      }
      if let initializer { states.append((member.name.text, initializer)) }
    }
    return states
  }

  /// Elaborates `update`.
  fileprivate func update(_ rule: Rule, _ states: [String], shape: [Dim]) -> Graph {
    let type = rule.type
    begin("update")
    guard let function = ruleFunction("update", ["weight", "grad"], type) else { return builder.graph }
    builder.location = Location(type.declaration.name.span)
    var locals = inputs(["weight", "grad"], TensorType(.float, shape), role: .parameter, function)
    locals.merge(inputs(["lr", "step"], TensorType(.float, []), role: .control, function)) { _, new in new }
    ruleStates = RuleStates(owner: rule.owner, names: states, inputs: [:])
    for name in states {
      ruleStates?.inputs[name] = builder.input(name, TensorType(.float, shape), role: .optimizerState)
    }
    let result = runRule(function, locals, rule)
    if let id = floatTensor(result, shape, function) { builder.output("weight", id, updates: "weight") }
    for name in states {
      if let value = ruleStates?.written[name] { builder.output(name, value, updates: name) }
    }
    return builder.graph.withoutUnusedInputs
  }

  /// Elaborates `factor`.
  fileprivate func factor(_ rule: Rule) -> Graph {
    let type = rule.type
    begin("factor")
    guard let function = ruleFunction("factor", ["step", "total"], type) else { return builder.graph }
    builder.location = Location(type.declaration.name.span)
    let locals = inputs(["step", "total"], TensorType(.float, []), role: .control, function)
    let result = runRule(function, locals, rule)
    if let id = floatTensor(result, [], function) { builder.output("factor", id) }
    return builder.graph.withoutUnusedInputs
  }

  private func inputs(
    _ names: [String], _ type: TensorType, role: GraphInput.Role, _ function: FunctionDeclaration
  ) -> [String: Value] {
    var values: [String: Value] = [:]
    for name in names {
      let span = function.parameters.first { $0.name.text == name }?.span ?? function.name.span
      let inputRole = name == "grad" ? .argument : role
      values[name] = Value(.tensor(builder.input(name, type, role: inputRole)), span)
    }
    return values
  }

  private func runRule(
    _ function: FunctionDeclaration, _ locals: [String: Value], _ rule: Rule
  ) -> Value {
    let name = "\(rule.name).\(function.name.text)"
    let frame = Frame(
      name: name, module: rule.type.module, owner: rule.owner, blocks: [locals, [:]], function: function.span)
    return within(frame) { run(function.body) ?? missingReturn(function) }
  }

  private func ruleFunction(_ name: String, _ parameters: [String], _ type: TypeValue) -> FunctionDeclaration? {
    let declaration = type.declaration
    for case .function(let function) in declaration.members where function.name.text == name {
      if function.parameters.map(\.name.text) == parameters { return function }
      fail(
        "'\(name)' of \(declaration.kind.rawValue == "optimizer" ? "an optimizer" : "a schedule") takes (\(parameters.joined(separator: ", ")))",
        at: function.name.span)
      return nil
    }
    fail(
      "the \(declaration.kind.rawValue) '\(declaration.name.text)' has no 'func \(name)(\(parameters.joined(separator: ", ")))'",
      at: declaration.name.span)
    return nil
  }

  /// The result of a rule, which has the shape of what it is for.
  private func floatTensor(_ value: Value, _ shape: [Dim], _ function: FunctionDeclaration) -> ValueID? {
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
  /// What is made once: states are per parameter.
  fileprivate var withoutStates: TypeDeclaration {
    var copy = self
    copy.members = members.filter { if case .state = $0 { false } else { true } }
    return copy
  }
}
