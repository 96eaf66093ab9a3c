import LTMIR
import LTMSupport
import LTMSyntax

extension LoadedFile {
  /// Makes a schedule, with those that follow it.
  package func schedule(_ call: RuleCall) throws(DiagnosticSet) -> ScheduleTemplate {
    var stages: [ScheduleTemplate.Stage] = []
    let calls = [call] + call.then
    for (index, call) in calls.enumerated() {
      stages.append(try stage(call, isLast: index == calls.count - 1))
    }
    return ScheduleTemplate(stages: stages)
  }

  private func stage(_ call: RuleCall, isLast: Bool) throws(DiagnosticSet) -> ScheduleTemplate.Stage {
    let rule = try Rule(.schedule, call, in: self)
    let length = rule.numbers["steps"].map { Int($0) }
    guard isLast || length != nil else {
      throw DiagnosticSet([
        Diagnostic(
          "'\(call.name)' has no parameter 'steps', so that nothing could follow it", at: call.span,
          notes: [
            "'steps: Int' says after how many updates the next schedule begins, as in warmup(steps: 50) then cosine()"
          ])
      ])
    }
    let names = rule.movedArguments
    guard !names.isEmpty else {
      _ = try rule.elaborate { $0.refuseWithoutMoves(rule) }
      return ScheduleTemplate.Stage(name: rule.name, moves: [:])
    }
    var moves: [String: Graph] = [:]
    var states: [RuleState] = []
    for name in names { (moves[name], states) = try rule.elaborate { $0.move(name, rule) } }
    let observe =
      rule.type.declaration.function("observe") == nil ? nil : try rule.elaborate { $0.observe(rule) }
    return ScheduleTemplate.Stage(
      name: rule.name, length: isLast ? nil : length, moves: moves, states: states, observe: observe,
      seeksMore: observe == nil ? nil : rule.flag("larger_is_better"))
  }
}

extension Rule {
  /// The arguments of the optimizer that a schedule has functions for: those that take what they are named after.
  fileprivate var movedArguments: [String] {
    type.declaration.members.compactMap { member in
      guard case .function(let function) = member else { return nil }
      let name = function.name.text
      return function.parameters.contains { $0.name.text == name } ? name : nil
    }
  }
}

extension Elaborator {
  fileprivate func refuseWithoutMoves(_ rule: Rule) {
    let declaration = rule.type.declaration
    let old = declaration.function("factor")
    fail(
      "the schedule '\(rule.name)' has no 'func lr(lr, step, total)'", at: old?.name.span ?? declaration.name.span,
      notes: old == nil
        ? ["a function with the name of an argument of the optimizer, which it is given, gives its value for a step"]
        : ["it gives the rate itself: func lr(lr, step, total) { return lr * ... }"])
  }

  /// Elaborates what gives an argument for a step.
  fileprivate func move(_ name: String, _ rule: Rule) -> (Graph, [RuleState]) {
    begin(name)
    guard let function = ruleFunction(name, of: rule.type) else { return (builder.graph, []) }
    builder.location = Location(rule.type.declaration.name.span)
    let locals = scalars([name, "step", "total"], of: function)
    let states = makeMembers(of: rule, weight: nil)
    let result = runRule(function, locals, rule)
    if let id = floatTensor(result, [], function) { builder.output(name, id) }
    if let written = ruleStates?.written.keys.sorted().first {
      fail(
        "'\(name)' of a schedule writes no state", at: function.name.span,
        notes: ["'\(written)' is written by 'func observe(metric)'"])
    }
    return (builder.graph.withoutUnusedInputs, states)
  }

  /// Elaborates what a schedule makes of a value that is watched.
  fileprivate func observe(_ rule: Rule) -> Graph {
    begin("observe")
    guard let function = ruleFunction("observe", of: rule.type) else { return builder.graph }
    builder.location = Location(rule.type.declaration.name.span)
    let locals = scalars(["metric"], of: function)
    let states = makeMembers(of: rule, weight: nil)
    _ = runRule(function, locals, rule)
    for state in states {
      if let value = ruleStates?.written[state.name] { builder.output(state.name, value, updates: state.name) }
    }
    return builder.graph.withoutUnusedInputs
  }
}
