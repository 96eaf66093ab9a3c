import LTMGraphPasses
import LTMIR
import LTMPrecision
import LTMSupport

/// The order of the passes, from the front end's graph to the one that a backend takes.
enum Pipeline {
  /// An entry as it is called: dimensions bound, casts placed, weights cast where they are loaded.
  static func inference(_ sizes: [String: Int], _ policy: PrecisionPolicy) -> PassPipeline {
    PassPipeline(inferenceCasts(sizes, policy).steps + PassPipeline.lowering.steps)
  }

  /// The first half of ``inference(_:_:)``, which ``lowering`` follows.
  static func inferenceCasts(_ sizes: [String: Int], _ policy: PrecisionPolicy) -> PassPipeline {
    PassPipeline([.bind(sizes), .castsForInference(policy)])
  }

  /// The loss of a training step: dimensions bound, casts placed. `buildStep` makes the step of it.
  static func loss(
    _ sizes: [String: Int], _ policy: PrecisionPolicy, _ recomputation: Recomputation = .none
  ) -> PassPipeline {
    let first = recomputation.contains(.blocks) ? [PassPipeline.Step(.recomputeBlocks)] : []
    let last = recomputation.contains(.loops) ? [PassPipeline.Step(.segmentLoops)] : []
    return PassPipeline(first + [.bind(sizes), .casts(policy)] + last)
  }

  /// What follows `buildStep`, and the casts of an entry.
  static let lowering = PassPipeline.lowering
}

extension PassPipeline.Step {
  /// Symbolic dimensions become numbers.
  static func bind(_ sizes: [String: Int]) -> Self {
    Self(
      GraphPass("bind", "replaces symbolic dimensions by numbers") { (graph) throws(DiagnosticSet) in
        let bound = try graph.bound(sizes)
        try DiagnosticSet(bound.knownIndexProblems).throwIfErrors()
        return bound
      }, establishes: .bound)
  }

  /// Every undecided float gets its dtype.
  static func casts(_ policy: PrecisionPolicy) -> Self { Self(insertCastsPass(policy), establishes: .afterCasts) }

  /// The same, with weights cast once, when they are loaded.
  static func castsForInference(_ policy: PrecisionPolicy) -> Self {
    Self(
      GraphPass("insert-casts", "decides every undecided float; weights are cast when they are loaded") {
        (graph) throws(DiagnosticSet) in try inferenceGraph(graph, policy)
      }, establishes: .afterCasts)
  }
}

extension PassPipeline {
  /// Runs on a graph, with whatever goes wrong as an ``LTMError``.
  func run(_ graph: Graph, stage: GraphStage = .traced, dump: StageDump? = nil) throws(LTMError) -> Graph {
    try reporting {
      let first = dump?.next ?? 1
      // Texts cost as much as the passes: only where someone reads them.
      let write = dump.map { dump in { (file: String, text: String) in dump.write(file, text) } }
      return try run(graph, stage: stage, firstNumber: first, dump: write)
    }
  }
}
