import LTMSupport

/// A schedule with those that follow it.
package struct ScheduleTemplate: Sendable {
  /// One schedule.
  package struct Stage: Sendable {
    /// Its name, for messages.
    package let name: String
    /// How many updates it lasts; `nil` for the last one.
    package let length: Int?
    /// For each argument of the optimizer that it moves, what gives the value of an update. Inputs: the argument as it was
    /// given, under its name, `step` (updates made, from 0), `total` and the states; output: the argument.
    package let moves: [String: Graph]
    /// What it keeps.
    package let states: [RuleState]
    /// What it makes of a value that is watched. Inputs: `metric` and the states; outputs: the states.
    package let observe: Graph?
    /// Whether it takes a larger one for better; `nil` where it does not say, or observes nothing.
    package let seeksMore: Bool?

    /// A stage.
    package init(
      name: String, length: Int? = nil, moves: [String: Graph], states: [RuleState] = [], observe: Graph? = nil,
      seeksMore: Bool? = nil
    ) {
      self.name = name
      self.length = length
      self.moves = moves
      self.states = states
      self.observe = observe
      self.seeksMore = seeksMore
    }
  }

  /// In the order of time.
  package let stages: [Stage]

  /// A schedule.
  package init(stages: [Stage]) { self.stages = stages }

  /// Whether it follows a value that is watched.
  package var observes: Bool { stages.contains { $0.observe != nil } }
}

/// A rule that limits gradients before the optimizer gets them.
package struct ClipTemplate: Sendable {
  /// Its name, for messages.
  package let name: String
  /// For a weight of that shape a scalar, `measured`, which is added up over all weights. Inputs: `grad`, `weight`.
  package let measure: (@Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph)?
  /// For a weight of that shape the gradient that the optimizer gets. Inputs: `grad`, `weight`, `measured`; output: `grad`.
  package let clip: @Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph

  /// A rule.
  package init(
    name: String, measure: (@Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph)?,
    clip: @escaping @Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph
  ) {
    self.name = name
    self.measure = measure
    self.clip = clip
  }
}

/// A rule that keeps an average of each weight.
package struct AverageTemplate: Sendable {
  /// Its name, for messages.
  package let name: String
  /// For a weight of that shape the new average. Inputs: `average`, `weight`, `step` (1 at the first update), `total`;
  /// output: `average`.
  package let update: @Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph

  /// A rule.
  package init(name: String, update: @escaping @Sendable (_ shape: [Dim]) throws(DiagnosticSet) -> Graph) {
    self.name = name
    self.update = update
  }
}

/// Everything that a training step does with the gradients of a loss.
package struct StepRules: Sendable {
  /// The optimizers, the one of weights that are in no group first: the same one with other arguments.
  package var optimizers: [OptimizerTemplate]
  /// The index of a weight's optimizer, where it is not the first.
  package var groups: [String: Int] = [:]
  /// The names of weights that are not trained.
  package var frozen: Set<String> = []
  package var schedule: ScheduleTemplate?
  package var clip: ClipTemplate?
  package var average: AverageTemplate?
  /// Batches whose gradients make one update.
  package var accumulation = 1
  /// Whether the step gives the norm of all its gradients.
  package var tracksNorm = false
  /// Whether the step gives each gradient.
  package var givesGradients = false

  /// Rules with an optimizer for each group.
  package init(optimizers: [OptimizerTemplate]) { self.optimizers = optimizers }

  /// Rules with one optimizer for all weights.
  package init(optimizer: OptimizerTemplate, schedule: ScheduleTemplate? = nil) {
    optimizers = [optimizer]
    self.schedule = schedule
  }
}
