import LTM
import Synchronization
import TestSupport
import Testing

/// What a step does when a gradient is infinite.
@Suite struct OverflowTests {
  /// Scales so large that the first gradients overflow fp16.
  @Test(arguments: [OptLevel.O1, .O2]) func skipsChangeNothingAndHalveTheScale(_ level: OptLevel) throws {
    var records: [StepRecord] = []
    var model = try Model(contentsOf: DigitsTests.sample, seed: 1)
    let before = model.weights
    let scaling = OptLevelSetting.lossScale(.dynamic(DynamicScaling(initial: 0x1p30, maximum: 0x1p30)))
    var trainer = try Trainer(precision: .sixteen, ampLevel: level, configureAmp: [scaling])
    trainer.maxEpochs = 2
    trainer.stopRequested = { false }
    try trainer.fit(&model) { if case .step(let record) = $0 { records.append(record) } }
    let skips = records.prefix { $0.skipped }
    #expect(skips.count >= 3)
    for (index, record) in skips.enumerated() {
      #expect(record.scale == 0x1p30 / Double(1 << index))
      #expect(record.step == 0)
    }
    #expect(records.contains { !$0.skipped })
    #expect(model.weights != before)
  }

  @Test func aSkippedStepLeavesTheCheckpointAsItWas() throws {
    let folder = try TemporaryFolder()
    func train(steps: Int, to name: String) throws -> [String: Tensor] {
      var model = try Model(contentsOf: DigitsTests.sample, seed: 1)
      let scaling = OptLevelSetting.lossScale(.dynamic(DynamicScaling(initial: 0x1p30, maximum: 0x1p30)))
      var trainer = try Trainer(precision: .sixteen, ampLevel: .O2, configureAmp: [scaling])
      trainer.maxEpochs = 2
      trainer.savePath = folder.file(name)
      let counter = Counter(limit: steps)
      trainer.stopRequested = { counter.count() }
      try trainer.fit(&model)
      let names = try TensorFile.names(folder.file(name))
      return try Dictionary(uniqueKeysWithValues: names.map { ($0, try TensorFile.read("\(folder.file(name)):\($0)")) })
    }
    let one = try train(steps: 1, to: "one.safetensors")
    let three = try train(steps: 3, to: "three.safetensors")
    #expect(one["control/step"] == three["control/step"])
    for (name, tensor) in one where !name.hasPrefix("control/") { #expect(three[name] == tensor, "\(name) changed") }
    #expect(three["control/loss_scale"]?.doubles == [0x1p27])
    #expect(three["control/attempt"]?.doubles == [3])
  }

  /// A network whose forward pass overflows fp16 whatever the scale.
  static let hopeless = """
    model Hopeless() {
      let fc = Linear(4, 2)
      func forward(x: [B, 4]) -> [B, 2] {
        return fc(x) * 60000.0 * 60000.0
      }
      func loss(x: [B, 4], label: i32[B]) -> [] {
        return cross_entropy(forward(x), label)
      }
    }
    train Hopeless {
      minimize loss
      optimizer SGD(lr: 0.1)
      batch 4
      epochs 100
    }
    """

  static func data() throws -> TrainingData {
    TrainingData(train: [
      "x": try #require(Tensor([Float](repeating: 1, count: 16), shape: [4, 4])),
      "label": try #require(Tensor([0, 1, 0, 1], shape: [4], dtype: .i32)),
    ])
  }

  @Test func theScaleKeepsItsFloorAndTheRunNamesTheOp() throws {
    let folder = try TemporaryFolder()
    var model = try Model(contentsOf: try folder.write("hopeless.ltm", Self.hopeless))
    let trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
    var records: [StepRecord] = []
    let error = #expect(throws: LTMError.self) {
      try trainer.fit(&model, data: Self.data()) { if case .step(let record) = $0 { records.append(record) } }
    }
    #expect(records.allSatisfy { $0.scale >= 1 && $0.skipped })
    #expect(records.last?.scale == 1)
    let message = try #require(error).description
    #expect(message.contains("hopeless.ltm:4"), "\(message)")
    #expect(message.contains("mul"), "\(message)")
  }

  @Test func withoutAScaleTheRunStopsAtOnce() throws {
    let folder = try TemporaryFolder()
    var model = try Model(contentsOf: try folder.write("hopeless.ltm", Self.hopeless))
    let before = model.weights
    let trainer = try Trainer(precision: .sixteen, ampLevel: .O3)
    var count = 0
    let error = #expect(throws: LTMError.self) {
      try trainer.fit(&model, data: Self.data()) { if case .step = $0 { count += 1 } }
    }
    #expect(count == 1)
    #expect(try #require(error).description.contains("step 0"))
    // O3 keeps its weights in f16.
    #expect(model.weights == before.mapValues { $0.converted(to: .f16).converted(to: .f32) })
  }
}
