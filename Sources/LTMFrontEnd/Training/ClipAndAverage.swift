import LTMIR
import LTMSupport
import LTMSyntax

extension LoadedFile {
  /// Makes a rule that clips gradients.
  package func clip(_ call: RuleCall) throws(DiagnosticSet) -> ClipTemplate {
    let rule = try Rule(.clip, call, in: self)
    let measures = rule.type.declaration.function("measure") != nil
    let measure: @Sendable ([Dim]) throws(DiagnosticSet) -> Graph = { (shape) throws(DiagnosticSet) in
      try rule.elaborate { $0.function("measure", of: rule, ["grad": shape, "weight": shape], "measured", []) }
    }
    let template = ClipTemplate(name: rule.name, measure: measures ? measure : nil) { (shape) throws(DiagnosticSet) in
      try rule.elaborate {
        $0.function("clip", of: rule, ["grad": shape, "weight": shape, "measured": []], "grad", shape)
      }
    }
    _ = try template.measure?([Dim(symbol: "N")])
    let graph = try template.clip([Dim(symbol: "N")])
    guard measures || graph.input("measured") == nil else {
      throw DiagnosticSet([
        Diagnostic(
          "'clip' reads 'measured', and the clip '\(rule.name)' measures nothing",
          at: rule.type.declaration.name.span,
          notes: ["'func measure(grad)' gives the scalar that is added up over all weights"])
      ])
    }
    return template
  }

  /// Makes a rule that averages weights.
  package func average(_ call: RuleCall) throws(DiagnosticSet) -> AverageTemplate {
    let rule = try Rule(.average, call, in: self)
    let template = AverageTemplate(name: rule.name) { (shape) throws(DiagnosticSet) in
      try rule.elaborate {
        $0.function(
          "update", of: rule, ["average": shape, "weight": shape, "step": [], "total": []], "average", shape)
      }
    }
    _ = try template.update([Dim(symbol: "N")])
    return template
  }
}

extension Elaborator {
  /// Elaborates a function of a rule that keeps nothing itself.
  fileprivate func function(
    _ name: String, of rule: Rule, _ shapes: [String: [Dim]], _ output: String, _ shape: [Dim]
  ) -> Graph {
    begin(name)
    guard let function = ruleFunction(name, of: rule.type) else { return builder.graph }
    builder.location = Location(rule.type.declaration.name.span)
    for case .state(let member) in rule.type.declaration.members {
      fail(
        "\(rule.type.declaration.kindText) has no 'state'", at: member.span,
        notes: ["an optimizer or a schedule has; an average is what is kept itself"])
    }
    var locals: [String: Value] = [:]
    for parameter in function.parameters {
      guard let shape = shapes[parameter.name.text] else { continue }
      let role: GraphInput.Role = parameter.name.text == "grad" ? .argument : shape.isEmpty ? .control : .parameter
      locals[parameter.name.text] = input(parameter.name.text, TensorType(.float, shape), role, function)
    }
    let result = runRule(function, locals, rule)
    if let id = floatTensor(result, shape, function) { builder.output(output, id) }
    return builder.graph.withoutUnusedInputs
  }
}
