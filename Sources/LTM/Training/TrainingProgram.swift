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
  private let rowSums: Diagnostic?

  init(
    _ model: Model, _ policy: PrecisionPolicy, sizes: [String: Int], minimize: String? = nil, replicas: Int = 1,
    dump: StageDump? = nil
  ) throws(LTMError) {
    let settings = model.settings
    guard let entry = minimize ?? settings?.minimize?.value else {
      throw LTMError(
        "\(model.path) does not say what to minimize", notes: ["add a 'train \(model.name) { minimize loss }' block"])
    }
    let graph = try model.graph(entry, training: true)
    dump?.add("graph.ltir", graph.text)
    rowSums = graph.warningOfRowSums(cores: replicas)
    let cast = try Pipeline.loss(sizes, policy, model.recomputation).run(graph, dump: dump)
    loss = try reporting { try insertCasts(graph.bound(sizes), policy) }
    let (optimizer, schedule) = try reporting {
      (try model.optimizerTemplate(), try model.settings?.schedule.map { try model.file.schedule($0).graph() })
    }
    step = try reporting {
      try buildStep(loss: cast, optimizer: optimizer, schedule: schedule, policy: policy, replicas: replicas)
    }
    dump?.add("step.ltir", step.graph.text)
    lowered = try Pipeline.lowering.run(step.graph, stage: [.bound, .afterCasts], dump: dump)
  }

  /// What the user should know before training.
  var warnings: [Diagnostic] { loss.warnings + step.warnings + [rowSums].compactMap(\.self) }
}

extension Model {
  /// The optimizer of the `train` block, with another learning rate where one is given.
  func optimizer(learningRate: Double? = nil) throws(LTMError) -> OptimizerInstance {
    guard var call = settings?.optimizer else {
      throw LTMError("\(path) names no optimizer", notes: ["add a line 'optimizer AdamW(lr: 1e-3)' to the train block"])
    }
    call.learningRate = learningRate
    return try reporting { [call] in try file.optimizer(call) }
  }

  fileprivate func optimizerTemplate() throws(LTMError) -> OptimizerTemplate {
    let optimizer = try optimizer()
    return OptimizerTemplate(
      name: optimizer.name, span: settings?.optimizer?.span, states: optimizer.states.map { ($0.name, $0.initializer) }
    ) { (shape) throws(DiagnosticSet) in try optimizer.graph(shape: shape) }
  }
}
