import Foundation
import LTM
import LTMIR
import LTMKernelPasses
import LTMLLVM
import LTMRuntime
import LTMSupport
import OpCases
import TestSupport
import Testing

/// Whole training steps in which contractions reduce what they compute.
@Suite struct EpilogueTests {
  private static let sizes: [(batch: Int, width: Int)] = [(50, 70), (700, 40)]

  @Test(
    "give what separate kernels give, and the same bits on any number of threads", arguments: sizes,
    [(Precision.thirtyTwo, OptLevel.O0), (.sixteen, .O2), (.bf16, .O2), (.sixtyFour, .O0)])
  func steps(_ size: (batch: Int, width: Int), _ recipe: (Precision, OptLevel)) throws {
    let plan = try Compilation(
      model: model(size), policy: PrecisionPolicy(recipe.0, level: recipe.1), isTrainingStep: true,
      dimensions: ["B": size.batch]
    ).plan()
    #expect(plan.kernels.contains { $0.epilogueReductions })
    let runs = try [1, 2, 3].map { try train(size, recipe, processor(threads: $0)) }
    #expect(runs[0] == runs[1] && runs[0] == runs[2])
    let separate = try train(
      size, recipe, CPUBackend(pool: ThreadPool(threads: 2), compiler: KernelCompiler(cache: nil), fuses: false))
    let bound: Double =
      switch recipe.0 {
      case .sixtyFour: 1e-9
      case .thirtyTwo: 1e-4
      case .sixteen: 1e-2
      case .bf16: 5e-2
      }
    #expect(runs[0].keys == separate.keys)
    for (name, tensor) in separate {
      expectClose(try #require(runs[0][name]), tensor, .absolute(bound), name)
    }
  }

  private func model(_ size: (batch: Int, width: Int)) throws -> Model {
    try Model(
      contentsOf: root.path + "/samples/mlp.ltm",
      arguments: ["inputs": 37, "hidden": ModelArgument(integerLiteral: size.width)], seed: 1)
  }

  /// The weights after two steps.
  private func train(
    _ size: (batch: Int, width: Int), _ recipe: (Precision, OptLevel), _ backend: any Backend
  ) throws -> [String: Tensor] {
    var model = try model(size)
    let execution = try Execution(target: .cpu, threads: 1).running(on: backend)
    var trainer = try Trainer(precision: recipe.0, ampLevel: recipe.1, execution: execution)
    trainer.batchSize = size.batch
    trainer.maxSteps = 2
    trainer.shuffles = false
    let rows = 2 * size.batch
    let values = (0..<rows * 37).map { sin(Double($0) * 0.7) }
    let x = try #require(Tensor(values, shape: [rows, 37], dtype: .f32))
    let y = try #require(Tensor((0..<rows).map { Double($0 % 10) }, shape: [rows], dtype: .i32))
    try trainer.fit(&model, data: TrainingData(train: ["x": x, "y": y])) { _ in }
    return model.weights
  }
}
