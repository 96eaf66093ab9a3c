import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMSupport

/// A training step as a graph, before a backend takes it.
struct TrainingProgram {
  /// The step: its graph as built, its slots, its warnings.
  let step: StepProgram
  /// The graph that a backend takes.
  let lowered: Graph
  /// The loss after casts, which `explain` reads.
  let loss: CastResult
  /// The programs that share each batch.
  let replicas: Replicas
  private let rowSums: Diagnostic?

  init(
    _ model: Model, _ policy: PrecisionPolicy, sizes: [String: Int], minimize: String? = nil,
    replicas: Replicas = .one,
    sharesScale: Bool = false, dump: StageDump? = nil
  ) throws(LTMError) {
    self.replicas = replicas
    let settings = model.settings
    guard let entry = minimize ?? settings?.minimize?.value else {
      throw LTMError(
        "\(model.path) does not say what to minimize", notes: ["add a 'train \(model.name) { minimize loss }' block"])
    }
    let graph = try model.graph(entry, training: true).carrying(model.program.carried(entry))
    try graph.refuseCaches(of: entry)
    dump?.add("graph.ltir", graph.text)
    rowSums = graph.warningOfRowSums(cores: replicas.count)
    let cast = try Pipeline.loss(sizes, policy, model.recomputation).run(graph, dump: dump)
    loss = try reporting { try insertCasts(graph.bound(sizes), policy) }
    let index = settings?.losses.firstIndex { $0.entry.value == entry } ?? 0
    let rules = try model.stepRules(of: settings.flatMap { $0.losses.indices.contains(index) ? $0.losses[index] : nil })
    let built = try reporting { try buildStep(loss: cast, rules: rules, policy: policy, replicas: replicas) }
    let shared: Set<StepControl> = sharesScale ? [.lossScale, .goodSteps, .skips] : []
    step = index == 0 ? built : built.withScalars(of: entry, sharing: shared)
    dump?.add("step.ltir", step.graph.text)
    lowered = try Pipeline.lowering.run(step.graph, stage: [.bound, .afterCasts], dump: dump)
  }

  /// What the user should know before training.
  var warnings: [Diagnostic] { loss.warnings + step.warnings + [rowSums].compactMap(\.self) }
}

extension Graph {
  /// What is trained keeps nothing from call to call.
  fileprivate func refuseCaches(of entry: String) throws(LTMError) {
    guard let cache = inputs.first(where: { $0.role == .cache }) else { return }
    var problem = Diagnostic(
      .error, "'\(entry)' uses the cache '\(cache.name)', and what is trained keeps nothing from call to call",
      notes: ["minimize an entry that sees a whole text at once"])
    problem.location = self[cache.value].location
    throw LTMError(problem)
  }
}
