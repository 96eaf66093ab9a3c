import LTMIR
import LTMSupport

extension LoadedFile {
  /// What a training step does with the gradients of a model, as its settings say.
  ///
  /// - Parameter optimizer: the optimizer of weights that are in no group.
  package func stepRules(
    _ optimizer: RuleCall, _ settings: TrainSettings, of program: Program
  ) throws(DiagnosticSet) -> StepRules {
    var rules = StepRules(optimizers: [try self.optimizer(optimizer).template(at: optimizer.span)])
    try addGroups(to: &rules, optimizer, settings, of: program)
    rules.frozen = program.frozen(by: settings).union(program.untouched(by: settings))
    if let schedule = settings.schedule { rules.schedule = try self.schedule(schedule) }
    if let clip = settings.clip { rules.clip = try self.clip(clip) }
    if let average = settings.average { rules.average = try self.average(average) }
    rules.accumulation = settings.accumulate?.value ?? 1
    return rules
  }

  /// Weights that the same groups hold for share an optimizer.
  private func addGroups(
    to rules: inout StepRules, _ call: RuleCall, _ settings: TrainSettings, of program: Program
  ) throws(DiagnosticSet) {
    var known: [[Int]: Int] = [:]
    for (name, indices) in program.groups(of: settings).sorted(by: { $0.key < $1.key }) {
      if known[indices] == nil {
        var own = call
        own.overrides = indices.flatMap { settings.groups[$0].arguments }
        known[indices] = rules.optimizers.count
        rules.optimizers.append(try optimizer(own).template(at: call.span))
      }
      rules.groups[name] = known[indices]
    }
  }
}
