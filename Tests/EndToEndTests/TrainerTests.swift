import Foundation
import LTM
import TestSupport
import Testing

/// What a run counts, averages, saves and takes up again.
@Suite struct TrainerTests {
  /// A layer that the loss does not read, and no number of epochs.
  static let source = """
    model M() {
      let fc = Linear(4, 2)
      let head = Linear(4, 3)
      func loss(x: [B, 4], label: i32[B]) -> [] {
        return cross_entropy(fc(x), label)
      }
      func score(x: [B, 4], label: i32[B]) -> [] {
        return mean(cast(label, f32))
      }
    }
    train M {
      minimize  loss
      report    score
      optimizer SGD(lr: 0.1)
      batch     4
    }
    """

  /// Four batches to train on; 300 rows to test on, of which one batch takes 256.
  private static func data() throws -> TrainingData {
    let labels = (0..<300).map { $0 < 256 ? 0.0 : 1 }
    return TrainingData(
      train: [
        "x": try #require(Tensor((0..<64).map { sin(Float($0)) }, shape: [16, 4])),
        "label": try #require(Tensor((0..<16).map { Double($0 % 2) }, shape: [16], dtype: .i32)),
      ],
      test: [
        "x": try #require(Tensor(zeros: [300, 4], dtype: .f32)),
        "label": try #require(Tensor(labels, shape: [300], dtype: .i32)),
      ])
  }

  private func model(_ folder: TemporaryFolder) throws -> Model {
    try Model(contentsOf: try folder.write("model.ltm", Self.source))
  }

  @Test func anEpochsLossIsTheMeanOfItsSteps() throws {
    var model = try model(TemporaryFolder())
    var trainer = try Trainer()
    trainer.maxEpochs = 3
    var (losses, epochs): ([Double], [EpochRecord]) = ([], [])
    try trainer.fit(&model, data: Self.data()) { event in
      switch event {
      case .step(let record): losses.append(record.loss)
      case .epoch(let record): epochs.append(record)
      default: break
      }
    }
    try #require(losses.count == 12 && epochs.count == 3)
    let means = (0..<3).map { epoch in losses[4 * epoch..<4 * epoch + 4].reduce(0, +) / 4 }
    expectClose(epochs.map(\.loss), means, .relative(1e-12))
  }

  @Test func aReportCountsEveryRowOnce() throws {
    var model = try model(TemporaryFolder())
    var trainer = try Trainer()
    trainer.maxSteps = 1
    let result = try trainer.fit(&model, data: Self.data())
    expectClose(try #require(result.report), 44.0 / 300, .absolute(1e-6))
  }

  @Test func stepsAloneGoOnThroughEpochs() throws {
    var model = try model(TemporaryFolder())
    var trainer = try Trainer()
    trainer.maxSteps = 10
    #expect(try trainer.fit(&model, data: Self.data()).steps == 10)
  }

  @Test func whatTheLossDoesNotReadIsSavedToo() throws {
    let folder = try TemporaryFolder()
    var model = try model(folder)
    var trainer = try Trainer()
    (trainer.maxSteps, trainer.savePath) = (1, folder.file("a.safetensors"))
    try trainer.fit(&model, data: Self.data())
    let saved = try TensorFile.read(folder.file("a.safetensors") + ":head.weight")
    #expect(saved == model.weights["head.weight"])
  }

  @Test func aResumedRunKeepsItsBatch() throws {
    let folder = try TemporaryFolder()
    let half = folder.file("half.safetensors")
    func train(_ steps: Int, batch: Int?, resume: String? = nil) throws -> [String: Tensor] {
      var model = try model(folder)
      var trainer = try Trainer()
      (trainer.maxSteps, trainer.batchSize, trainer.resumePath) = (steps, batch, resume)
      trainer.savePath = resume == nil ? half : nil
      try trainer.fit(&model, data: Self.data())
      return model.weights
    }
    let whole = try train(6, batch: 8)
    _ = try train(3, batch: 8)
    #expect(try train(6, batch: nil, resume: half) == whole)
    #expect(try train(6, batch: nil) != whole)
  }

  @Test func aCheckpointThatNoRunCanHaveSavedIsRefused() throws {
    let folder = try TemporaryFolder()
    var model = try model(folder)
    var trainer = try Trainer()
    (trainer.maxSteps, trainer.savePath) = (2, folder.file("a.safetensors"))
    try trainer.fit(&model, data: Self.data())
    let names = try TensorFile.names(folder.file("a.safetensors"))
    #expect(names.contains("control/step"))
    try TensorFile.write(
      names.map { name in
        guard name == "control/step" else {
          return (name, try TensorFile.read(folder.file("a.safetensors") + ":\(name)"))
        }
        return (name, try #require(Tensor([3], shape: [], dtype: .i32)))
      }, to: folder.file("b.safetensors"))
    trainer.resumePath = folder.file("b.safetensors")
    let error = #expect(throws: LTMError.self) { try trainer.fit(&model, data: Self.data()) }
    #expect(try #require(error).description.contains("3.0 updates in 2.0 tries"))
  }
}
