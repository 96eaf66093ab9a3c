import Foundation
import LTM
import LTMIR
import LTMPrecision
import LTMSupport
import OpCases
import TestSupport
import Testing

/// Training split over several cores, on XLA's CPU compiler with as many devices.
@Suite("the target tpu on several cores")
struct CoreTests {
  static let missing = TargetTests.missing
  static let levels: [(Precision, OptLevel)] = [(.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.sixteen, .O3)]

  private func cores(_ count: Int) throws -> Execution {
    try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin, tpuCores: count)
  }

  private func digits() throws -> Model { try Model(contentsOf: root.appending(path: "samples/digits.ltm").path) }

  private func train(
    _ trainer: Trainer, data: TrainingData? = nil, _ change: (inout Model) throws -> Void = { _ in }
  ) throws -> (model: Model, records: [StepRecord]) {
    var model = try digits()
    try change(&model)
    var records: [StepRecord] = []
    try trainer.fit(&model, data: data) { if case .step(let record) = $0 { records.append(record) } }
    return (model, records)
  }

  @Test(
    "gives the losses and the weights of one core and of the cpu", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: levels.indices)
  func agrees(index: Int) throws {
    let (precision, level) = Self.levels[index]
    var four = try Trainer(precision: precision, ampLevel: level, execution: cores(4))
    four.maxSteps = 20
    let found = try train(four)
    for execution in [try cores(1), try Execution()] {
      var one = Trainer(policy: four.policy, execution: execution)
      one.maxSteps = 20
      let expected = try train(one)
      let tolerance = (four.policy.half ?? .f32).tolerance
      #expect(found.records.count == 20 && expected.records.count == 20)
      for (a, b) in zip(found.records, expected.records) {
        expectClose(a.loss, b.loss, .relative(tolerance), "\(execution.target), try \(a.attempt): ")
        #expect(a.step == b.step && a.skipped == b.skipped && a.scale == b.scale)
      }
      for (name, tensor) in found.model.weights {
        let other = try #require(expected.model.weights[name])
        expectNear(tensor.doubles, other.doubles, 4 * tolerance, "\(execution.target), \(name)")
      }
    }
  }

  @Test(
    "micro-batches on cores are those of one process", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: levels.indices)
  func accumulates(index: Int) throws {
    let (precision, level) = Self.levels[index]
    let policy = try Trainer(precision: precision, ampLevel: level, execution: cores(4)).policy
    // The fifth window ends with the data, after two of its three batches.
    func train(_ execution: Execution) throws -> [StepRecord] {
      var trainer = Trainer(policy: policy, execution: execution)
      (trainer.batchSize, trainer.maxSteps) = (96, 7)
      return try self.train(trainer) { try $0.setTrainLine("accumulate 3") }.records
    }
    let (found, expected) = (try train(cores(4)), try train(Execution()))
    #expect(found.count == 7)
    expectClose(found.map(\.loss), expected.map(\.loss), .relative((policy.half ?? .f32).tolerance), "losses")
    #expect(found.map(\.scale) == expected.map(\.scale) && found.map(\.skipped) == expected.map(\.skipped))
  }

  /// Two batches of eight rows; one value of the second, in the last core's share, is as large as a dtype holds.
  private func overflowing() throws -> TrainingData {
    var random = SeededGenerator(seed: 5)
    var pixels = (0..<16 * 64).map { _ in Double.random(in: 0..<1, using: &random) }
    for index in 15 * 64..<16 * 64 { pixels[index] = 3e38 }
    let labels = (0..<16).map { Double($0 % 10) }
    return TrainingData(train: [
      "image": try #require(Tensor(pixels, shape: [16, 64], dtype: .f32)),
      "label": try #require(Tensor(labels, shape: [16], dtype: .i32)),
    ])
  }

  @Test("what overflows on one core is skipped on all", .enabled(if: missing == nil, "\(missing ?? "")"))
  func skips() throws {
    let policy = try PrecisionPolicy(.bf16, level: .O2, onNonfinite: .skip)
    var trainer = Trainer(policy: policy, execution: try cores(4))
    (trainer.batchSize, trainer.shuffles, trainer.maxEpochs) = (8, false, 2)
    let (model, records) = try train(trainer, data: overflowing())
    #expect(records.map(\.skipped) == [false, true, false, true])
    #expect(records.map(\.step) == [1, 1, 2, 2])
    #expect(model.weights.values.allSatisfy { $0.doubles.allSatisfy(\.isFinite) })
    trainer = Trainer(policy: try PrecisionPolicy(.bf16, level: .O2, onNonfinite: .stop), execution: trainer.execution)
    (trainer.batchSize, trainer.shuffles) = (8, false)
    let error = #expect(throws: LTMError.self) { try train(trainer, data: overflowing()) }
    #expect(error?.description.contains("linear") == true && error?.description.contains("step 1") == true)
  }

  @Test("all cores hold the same bits", .enabled(if: missing == nil, "\(missing ?? "")"), arguments: [2, 4])
  func sameBits(count: Int) throws {
    let policy = try PrecisionPolicy(.bf16, level: .O2)
    let compilation = Compilation(model: try digits(), policy: policy, isTrainingStep: true, tpuCores: count)
    let executable = try #require(try compilation.executable(on: cores(count)) as? PJRTExecutable)
    let rows = try executable.read("image").shape[0]
    #expect(rows == 64)
    for _ in 0..<3 { try executable.run() }
    for name in ["loss", "fc1.weight", "master/fc1.weight", "optimizer/fc2.weight/exp_avg"] {
      let values = try executable.replicas(of: name)
      #expect(values.count == count && Set(values).count == 1, "\(name)")
    }
  }

  @Test("warns of a loss that adds up rows", .enabled(if: missing == nil, "\(missing ?? "")"))
  func rowSums() throws {
    let source = """
      model M {
        let fc = Linear(3, 1)
        func loss(x: [B, 3], y: [B]) -> [] {
          let e = reshape(fc(x), [B]) - y
          return %
        }
      }
      train M {
        minimize loss
        optimizer SGD(lr: 0.1)
        batch 4
      }
      """
    let data = TrainingData(train: [
      "x": try #require(Tensor([Double](repeating: 1, count: 24), shape: [8, 3], dtype: .f32)),
      "y": try #require(Tensor([Double](repeating: 1, count: 8), shape: [8], dtype: .f32)),
    ])
    for (loss, warns) in [("sum(e * e)", true), ("mean(e * e)", false)] {
      let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).ltm")
      defer { try? FileManager.default.removeItem(at: file) }
      try source.replacing("%", with: loss).write(to: file, atomically: true, encoding: .utf8)
      var model = try Model(contentsOf: file.path)
      var warnings: [String] = []
      try Trainer(policy: PrecisionPolicy(.thirtyTwo), execution: cores(2)).fit(&model, data: data) {
        if case .started(let overview) = $0 { warnings = overview.warnings.map { $0.rendered() } }
      }
      #expect(warnings.contains { $0.contains("1/2 of itself on 2 cores") } == warns, "\(loss): \(warnings)")
    }
  }

  @Test("says what cannot be split", .enabled(if: missing == nil, "\(missing ?? "")"))
  func uneven() throws {
    var trainer = Trainer(policy: try PrecisionPolicy(.bf16), execution: try cores(3))
    trainer.batchSize = 64
    let error = #expect(throws: LTMError.self) { try train(trainer) }
    #expect(error?.description.contains("64 rows cannot be split evenly over 3 cores") == true)
    #expect(error?.description.contains("63 say") == true)
  }

  @Test("says what number of cores cannot be", arguments: [0, -1, 1 << 40])
  func badCounts(count: Int) throws {
    let error = #expect(throws: LTMError.self) {
      try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin ?? "/nowhere.so", tpuCores: count)
    }
    #expect(error?.description.contains("\(count) TPU cores") == true)
    let policy = try PrecisionPolicy(.bf16)
    let compilation = Compilation(model: try digits(), policy: policy, isTrainingStep: true, tpuCores: count)
    #expect(throws: LTMError.self) { try compilation.emit(.stablehlo) }
  }

  @Test("are of no other target")
  func otherTargets() throws {
    let error = #expect(throws: LTMError.self) { try Execution(target: .cpu, tpuCores: 2) }
    #expect(error?.description.contains("not of cpu") == true)
    let entry = Compilation(model: try digits(), policy: try PrecisionPolicy(.bf16), entry: "loss", tpuCores: 2)
    #expect(throws: LTMError.self) { try entry.emit(.stablehlo) }
  }

  @Test(
    "the step of each parses and verifies",
    .enabled(if: StableHLOTools.missing == nil, "\(StableHLOTools.missing ?? "")"))
  func verifies() throws {
    let policy = try PrecisionPolicy(.sixteen, level: .O2, sixteen: .bf16)
    let compilation = Compilation(model: try digits(), policy: policy, isTrainingStep: true, tpuCores: 8)
    let text = try #require(try compilation.emit(.stablehlo).text)
    #expect(text.contains("mhlo.num_replicas = 8") && text.contains("tensor<8x64xbf16>"))
    let outcome = try StableHLOTools.evaluate([Job(name: "step", module: text, run: false)])["step"]
    #expect(outcome?.error == nil, "\(outcome?.error ?? "")")
  }
}
