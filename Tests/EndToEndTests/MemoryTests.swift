import Foundation
import LTM
import TestSupport
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
    #expect(half.layerState == 0)
    #expect(Double(half.arena) <= 0.6 * Double(full.arena), "\(half.arena) of \(full.arena)")
  }

  @Test("what explain reports is what training allocates", arguments: [OptLevel.O0, .O1, .O2])
  func reportedAsAllocated(_ level: OptLevel) throws {
    let precision = level == .O0 ? Precision.thirtyTwo : .sixteen
    let memory = try Self.memory(precision, level)
    let model = try Model(contentsOf: Command.root + "/samples/mlp.ltm")
    let policy = try Trainer(precision: precision, ampLevel: level).policy
    let text = try Compilation(model: model, policy: policy, dimensions: ["B": 256]).explanationJSON()
    let report = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let totals = try #require(report["totals"] as? [String: Int])
    #expect(totals["weight_bytes"] == memory.weights)
    #expect(totals["activation_bytes"] == memory.activations && memory.activations > 0)
    #expect(totals["master_bytes"] == memory.masters)
    #expect(totals["optimizer_bytes"] == memory.optimizerState)
    #expect(totals["arena_bytes"] == memory.arena)
  }
}
