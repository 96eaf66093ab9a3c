import LTMIR
import LTMSupport
import LTMSyntax

/// An optimizer with its arguments.
package struct OptimizerInstance: Sendable {
  /// `AdamW`
  package let name: String
  /// The learning rate, before the schedule.
  package let learningRate: Double
  private let rule: Rule

  init(file: LoadedFile, call: RuleCall) throws(DiagnosticSet) {
    let rule = try Rule(.optimizer, call, in: file)
    (self.rule, name) = (rule, rule.name)
    learningRate = try rule.elaborate { $0.learningRate(of: rule) }
    // A vector and a matrix stand for all weights until a model is there.
    _ = try update(shape: [Dim(symbol: "N")])
    _ = try update(shape: [7, 5])
  }

  /// The update of a weight of that shape. Inputs that it does not read are left out.
  ///
  /// - Parameter moved: arguments that are given for each step, beside `lr`.
  package func update(shape: [Dim], moved: [String] = []) throws(DiagnosticSet) -> RuleUpdate {
    try rule.elaborate { $0.update(rule, shape, moved) }
  }

  /// What a training step needs of it.
  package func template(at span: Span? = nil) -> OptimizerTemplate {
    OptimizerTemplate(name: name, span: span, arguments: rule.numbers) { (shape, moved) throws(DiagnosticSet) in
      try update(shape: shape, moved: moved)
    }
  }
}

extension Elaborator {
  /// The learning rate that an optimizer was given.
  fileprivate func learningRate(of rule: Rule) -> Double {
    if let rate = world[rule.owner].values["lr"]?.number { return rate }
    fail("an optimizer has a parameter 'lr: Float'", at: rule.type.declaration.name.span)
    return 0
  }

  /// Elaborates `update` for a weight.
  fileprivate func update(_ rule: Rule, _ shape: [Dim], _ moved: [String]) -> RuleUpdate {
    begin("update")
    let type = TensorType(.float, shape)
    guard let function = ruleFunction("update", of: rule.type) else {
      return RuleUpdate(graph: builder.graph, states: [])
    }
    builder.location = Location(rule.type.declaration.name.span)
    var locals = ["weight": input("weight", type, .parameter, function)]
    locals["grad"] = input("grad", type, .argument, function)
    let arguments = (["lr"] + moved.filter { $0 != "lr" }).map {
      ($0, input($0, TensorType(.float, []), .control, function))
    }
    locals.merge(scalars(["step", "total", "loss"], of: function)) { _, new in new }
    let states = makeMembers(of: rule, weight: locals["weight"])
    // Members are made of the arguments as they were given; the update reads those of the step.
    for (name, value) in arguments { world[rule.owner].values[name] = value }
    let result = runRule(function, locals, rule)
    if let id = floatTensor(result, shape, function) { builder.output("weight", id, updates: "weight") }
    for state in states {
      if let value = ruleStates?.written[state.name] { builder.output(state.name, value, updates: state.name) }
    }
    let graph = builder.graph.withoutUnusedInputs
    return RuleUpdate(graph: graph, states: states.filter { graph.input($0.name) != nil })
  }
}
