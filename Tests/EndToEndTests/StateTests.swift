import Foundation
import LTM
import TestSupport
import Testing

/// What a run keeps beside its weights, and what it says where a step has no value.
@Suite struct StateTests {
  private func trained(
    _ source: String, _ data: TrainingData, _ level: OptLevel, _ precision: Precision = .sixteen
  ) throws -> Model {
    let folder = try TemporaryFolder()
    var model = try Model(contentsOf: try folder.write("model.ltm", source))
    try Trainer(precision: precision, ampLevel: level).fit(&model, data: data)
    return model
  }

  static let norm = """
    model M() {
      let bn = BatchNorm(1)
      func loss(x: [B, 1]) -> [] { return mean(square(bn(x))) }
    }
    train M {
      minimize loss
      optimizer SGD(lr: 0)
      batch 4
      epochs 3
    }
    """

  /// The variance of activations that f16 holds is one that it does not.
  @Test("a running variance is f32 at every level", arguments: [OptLevel.O1, .O2, .O3], [Precision.sixteen, .bf16])
  func runningVariance(_ level: OptLevel, _ precision: Precision) throws {
    let x = try #require(Tensor([300, -300, 300, -300] as [Float], shape: [4, 1]))
    let model = try trained(Self.norm, TrainingData(train: ["x": x]), level, precision)
    let variance = try #require(model.weights["bn.running_var"]).doubles[0]
    #expect(abs(variance - 32520.729) < 0.01, "\(variance)")
  }

  static let masked = """
    model N() {
      param w: [4, 4] = normal(1)
      func loss(x: [B, 4], m: [B, 4]) -> [] {
        let a = softmax(matmul(x, w) + where(m > 0, 0, -inf), axis: 1)
        return mean(square(where(m > 0, a, 0)))
      }
    }
    train N {
      minimize loss
      optimizer SGD(lr: 0.125)
      batch 2
    }
    """

  @Test("a masked row is the softmax's fault", arguments: [("32", "O0"), ("16", "O2"), ("bf16", "O1")])
  func maskedRow(_ flags: (String, String)) throws {
    let folder = try TemporaryFolder()
    var model = try Model(contentsOf: try folder.write("model.ltm", Self.masked))
    let ones = try #require(Tensor([Float](repeating: 1, count: 8), shape: [2, 4]))
    let mask = try #require(Tensor([1, 1, 0, 0, 0, 0, 0, 0] as [Float], shape: [2, 4]))
    let trainer = Trainer(
      policy: try PrecisionPolicy(precision: flags.0, level: flags.1), execution: try Execution())
    var events: [(done: Int, of: Int)] = []
    let error = #expect(throws: LTMError.self) {
      try trainer.fit(&model, data: TrainingData(train: ["x": ones, "m": mask])) {
        if case .replaying(let done, let total) = $0 { events.append((done, total)) }
      }
    }
    let text = try #require(error).description
    #expect(text.contains("model.ltm:4:13: error: step 0: softmax made the first NaN"), "\(text)")
    #expect(text.contains("nothing but -inf"), "\(text)")
    #expect(!text.contains("@f32"), "\(text)")
    #expect(events.last.map { $0.done == $0.of } == true)
  }
}
