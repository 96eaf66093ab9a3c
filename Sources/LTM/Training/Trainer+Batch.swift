import LTMIR
import LTMKernelPasses
import LTMRuntime
import LTMSupport

extension Trainer {
  /// The largest batch, a power of two, whose training step fits into half of this machine's memory, up to all rows there are. Steps are
  /// planned for it, none is run.
  ///
  /// - Parameter bytes: what a step may take, where it is not half of the machine's memory.
  public func largestBatch(
    _ model: Model, data: TrainingData? = nil, within bytes: Int? = nil
  ) throws(LTMError) -> Int {
    var trainer = self
    trainer.resumePath = nil
    trainer.batchSize = execution.replicas.count
    let options = try settledOptions(model)
    let plan = try TrainingPlan(trainer, model, data, options)
    let limit = bytes ?? ResourceUsage.allowedBytes / 2
    var best = 0
    var batch = execution.replicas.count
    while batch <= plan.data.train.count {
      let needed = try self.bytes(of: batch / execution.replicas.count, model, plan)
      if needed > limit { break }
      best = batch
      batch *= 2
    }
    guard best > 0 else {
      throw LTMError(
        "not even a batch of \(batch) fits into \(limit) bytes",
        notes: ["a smaller model, 16 bits or --recompute blocks may"])
    }
    return best
  }

  /// What the plan of a step takes for so many rows.
  private func bytes(of rows: Int, _ model: Model, _ plan: TrainingPlan) throws(LTMError) -> Int {
    let graph = try model.graph(model.settings?.minimize?.value ?? "loss", training: true)
    let shapes = plan.data.train.shapes.mapValues { [rows] + $0.dropFirst() }
    let sizes = try reporting { try graph.bindings(shapes) }
    let program = try TrainingProgram(model, policy, sizes: sizes, replicas: plan.replicas)
    return try reporting { MemoryUse(program.lowered, try buildPlan(program.lowered)).total }
  }
}
