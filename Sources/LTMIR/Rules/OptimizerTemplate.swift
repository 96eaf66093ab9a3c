import LTMSupport

/// What an optimizer keeps for one weight, or a schedule for the run.
package struct RuleState: Sendable, Hashable {
  /// What a state holds before the first update.
  package enum Initial: Sendable, Hashable {
    /// A rule of its own.
    case initializer(Initializer)
    /// The weight itself.
    case weight
  }

  /// Its name in the optimizer.
  package let name: String
  /// Its shape; an undecided float has the dtype of what is updated.
  package let type: TensorType
  /// Its first value.
  package let initial: Initial

  /// A state.
  package init(name: String, type: TensorType, initial: Initial) {
    self.name = name
    self.type = type
    self.initial = initial
  }
}

/// The update of one weight.
package struct RuleUpdate: Sendable {
  /// Inputs: `weight`, `grad`, what else of a step it reads (`step` is 1 at the first update, `total`, `loss`), the
  /// arguments that are given for each step, `lr` among them, and the states. Outputs: `weight` and the states.
  package let graph: Graph
  /// What it keeps; only what is read or written takes memory.
  package let states: [RuleState]

  /// An update.
  package init(graph: Graph, states: [RuleState]) {
    self.graph = graph
    self.states = states
  }
}

/// What a step needs of an optimizer.
package struct OptimizerTemplate: Sendable {
  /// Its name, for messages.
  package let name: String
  /// Where the user names it.
  package let span: Span?
  /// Its arguments that are numbers, which a schedule may move.
  package let arguments: [String: Double]
  /// The update of a weight of that shape, which is given those arguments for each step.
  package let update: @Sendable (_ shape: [Dim], _ moved: [String]) throws(DiagnosticSet) -> RuleUpdate

  /// A template.
  package init(
    name: String, span: Span? = nil, arguments: [String: Double] = [:],
    update: @escaping @Sendable (_ shape: [Dim], _ moved: [String]) throws(DiagnosticSet) -> RuleUpdate
  ) {
    self.name = name
    self.span = span
    self.arguments = arguments
    self.update = update
  }

  /// One whose states all have the shape of the weight.
  package init(
    name: String, span: Span? = nil, states: [(name: String, initial: Initializer)],
    graph: @escaping @Sendable ([Dim]) throws(DiagnosticSet) -> Graph
  ) {
    self.init(name: name, span: span) { (shape, _) throws(DiagnosticSet) in
      RuleUpdate(
        graph: try graph(shape),
        states: states.map {
          RuleState(name: $0.name, type: TensorType(.float, shape), initial: .initializer($0.initial))
        })
    }
  }
}
