import LTM
import Testing

/// Half means half.
@Suite struct MemoryTests {
  static func memory(_ precision: Precision, _ level: OptLevel) throws -> MemoryUse {
    var model = try Model(contentsOf: Command.root + "/samples/mlp.ltm")
    var trainer = try Trainer(precision: precision, ampLevel: level)
    trainer.maxSteps = 1
    trainer.batchSize = 256
    let data = TrainingData(train: [
      "x": try #require(Tensor(zeros: [256, 784], dtype: .f32)),
      "y": try #require(Tensor(zeros: [256], dtype: .i32)),
    ])
    return try trainer.fit(&model, data: data).memory
  }

  @Test(arguments: [Precision.sixteen, .bf16]) func weightsAndActivationsAreHalved(_ precision: Precision) throws {
    let full = try Self.memory(.thirtyTwo, .O0)
    let half = try Self.memory(precision, .O2)
    #expect(full.masters == 0)
    #expect(half.masters == full.weights)
    #expect(half.optimizerState == full.optimizerState)
    #expect(Double(half.weightsAndActivations) <= 0.55 * Double(full.weightsAndActivations), "\(half) of \(full)")
    #expect(Double(half.arena) <= 0.6 * Double(full.arena), "\(half.arena) of \(full.arena)")
  }
}
