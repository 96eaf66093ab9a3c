import LTMIR
import LTMPrecision
import LTMSupport

extension Model {
  /// The loss on a batch and the gradient of each parameter, unscaled, in full precision: what one training step would
  /// hand to the optimizer.
  ///
  /// - Parameters:
  ///   - batch: arrays by parameter of the entry that the `train` block minimizes.
  ///   - policy: how 16 bits are used.
  ///   - execution: where to compute.
  public func gradients(
    on batch: [String: Tensor], policy: PrecisionPolicy, execution: Execution
  ) throws(LTMError) -> (loss: Double, gradients: [String: Tensor]) {
    guard let entry = settings?.minimize?.value else { throw LTMError("\(path) does not say what to minimize") }
    let graph = try graph(entry, training: true)
    let sizes = try reporting { try graph.bindings(batch.mapValues(\.shape)) }
    let loss = try Pipeline.loss(sizes, policy).run(graph)
    let gradients = try reporting { try buildGradients(loss: loss, policy: policy) }
    let executable = try execution.backend.compile(try Pipeline.lowering.run(gradients, stage: [.bound, .afterCasts]))
    for input in gradients.inputs {
      if let tensor = batch[input.name] ?? weight(input.name) {
        try executable.write(converting: tensor, to: input.name)
      } else if input.name == StepControl.lossScale.rawValue,
        let scale = Tensor([policy.level.lossScale.initial], shape: [], dtype: .f32)
      {
        try executable.write(scale, to: input.name)
      }
    }
    if gradients.input(Graph.seed) != nil { try executable.write(seed: seed, attempt: 0) }
    try executable.run()
    var results: [String: Tensor] = [:]
    for output in gradients.outputs where output.name.hasPrefix("gradient/") {
      results[String(output.name.dropFirst("gradient/".count))] = try executable.read(output.name)
    }
    return (try executable.read(StepProgram.loss).doubles.first ?? .nan, results)
  }
}
