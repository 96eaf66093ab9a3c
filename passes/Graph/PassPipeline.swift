import LTMIR
import LTMSupport

/// Passes in order, each followed by the verifier.
package struct PassPipeline: Sendable {
  /// A pass, and what holds once it has run.
  package struct Step: Sendable {
    /// The pass.
    package let pass: GraphPass
    /// What the graph has been through after it, besides what held before.
    package let establishes: GraphStage

    /// A step.
    package init(_ pass: GraphPass, establishes: GraphStage = .traced) {
      self.pass = pass
      self.establishes = establishes
    }
  }

  /// In order.
  package var steps: [Step]

  /// The steps given.
  package init(_ steps: [Step]) { self.steps = steps }

  /// What runs once casts and gradients are placed: from a step's graph to one that kernels are made of.
  package static let lowering = PassPipeline([
    Step(.deadCode), Step(.decomposeForTargets, establishes: .decomposed), Step(.sinkTransposes), Step(.simplify),
    Step(.commonSubexpressions),
    Step(.deadCode),
  ])

  /// Runs the steps on a graph of the given stage. `dump` gets each result under a numbered name (`03-simplify.ltir`).
  ///
  /// A mistake of the user's is a `DiagnosticSet`; a pass that breaks the graph is a ``PassFailure``.
  package func run(
    _ graph: Graph, stage: GraphStage = .traced, firstNumber: Int = 1,
    dump: ((_ file: String, _ text: String) -> Void)? = nil
  ) throws -> Graph {
    var graph = graph
    var stage = stage
    for (index, step) in steps.enumerated() {
      let before = graph
      graph = try step.pass.run(before)
      stage.formUnion(step.establishes)
      let violations = graph.verify(stage: stage)
      guard violations.isEmpty else {
        throw PassFailure(pass: step.pass.name, violations: violations, reproducer: before.text)
      }
      let number = String(firstNumber + index)
      dump?("\(String(repeating: "0", count: max(0, 2 - number.count)))\(number)-\(step.pass.name).ltir", graph.text)
    }
    return graph
  }
}

/// A pass made an illegal graph out of a legal one: a bug of the compiler's.
package struct PassFailure: Error, CustomStringConvertible {
  /// The culprit.
  package let pass: String
  /// The rules that its result breaks.
  package let violations: [GraphViolation]
  /// The graph before the pass, in its text form.
  package let reproducer: String

  /// The message for the user.
  package var diagnostic: Diagnostic {
    var diagnostic = Diagnostic.internalError(
      in: "pass `\(pass)`", violations.first.map { "\($0)" } ?? "it broke the graph")
    diagnostic.notes.append("--dump FOLDER writes every stage, so that the graphs before and after it can be compared")
    return diagnostic
  }

  /// The culprit, the rules, and how to see it again.
  package var description: String {
    let rules = violations.prefix(5).map { "  \($0)" }.joined(separator: "\n")
    return "internal error: pass `\(pass)` broke the graph\n\(rules)\nit was given:\n\(reproducer)"
  }
}
