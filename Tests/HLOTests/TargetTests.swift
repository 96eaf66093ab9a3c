import Foundation
import LTM
import LTMHLO
import LTMSupport
import TestSupport
import Testing

/// The target `tpu` as a user meets it, on XLA's CPU compiler in place of a TPU.
@Suite("the target tpu")
struct TargetTests {
  static let missing =
    InstalledTools.cpuPlugin == nil ? "no PJRT plugin in .build/tools; scripts/tools.sh installs it" : nil

  static let levels: [(Precision, OptLevel)] = [
    (.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.sixteen, .O3), (.bf16, .O2),
  ]

  private func plugin() throws -> Execution { try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin) }

  private func digits() throws -> Model { try Model(contentsOf: root.appending(path: "samples/digits.ltm").path) }

  /// The losses of `count` tries.
  private func losses(_ trainer: Trainer, count: Int) throws -> [Double] {
    var (model, trainer) = (try digits(), trainer)
    trainer.maxSteps = count
    var losses: [Double] = []
    try trainer.fit(&model) { if case .step(let record) = $0 { losses.append(record.loss) } }
    return losses
  }

  @Test("gives the losses of the cpu", .enabled(if: missing == nil, "\(missing ?? "")"), arguments: levels.indices)
  func losses(index: Int) throws {
    let (precision, level) = Self.levels[index]
    let there = try Trainer(precision: precision, ampLevel: level, execution: plugin())
    // What 16 means is the target's own choice: the same policy runs on both.
    let here = Trainer(policy: there.policy, execution: try Execution())
    let (a, b) = (try losses(there, count: 20), try losses(here, count: 20))
    #expect(a.count == 20)
    expectClose(a, b, .relative((there.policy.half ?? .f32).tolerance))
  }

  /// Reports read the buffers that training leaves on the devices, or casts of them, on one core also where training has four.
  @Test(
    "reports with the weights that it has trained", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: levels.indices, [1, 4])
  func reports(index: Int, cores: Int) throws {
    let (precision, level) = Self.levels[index]
    let execution = try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin, tpuCores: cores)
    var trainer = try Trainer(precision: precision, ampLevel: level, execution: execution)
    trainer.maxSteps = 4
    trainer.batchSize = 256
    var model = try digits()
    try model.setReports(["loss"])
    let result = try trainer.fit(&model)
    let test = try ["image": "x_test", "label": "y_test"].mapValues {
      try TensorFile.read(root.appending(path: "samples/data/digits.safetensors").path + ":" + $0)
    }
    let rows = try #require(test["label"]?.shape.first)
    let entry = try model.compile("loss", policy: trainer.policy, execution: execution)
    let parts = try [0..<256, 256..<rows].map { range in
      try entry(test.mapValues { $0.rows(range) })[0].tensor.doubles[0] * Double(range.count)
    }
    #expect(result.report == parts.reduce(0, +) / Double(rows))
  }

  @Test("takes 16 for bf16", .enabled(if: missing == nil, "\(missing ?? "")"))
  func sixteen() throws {
    #expect(try Trainer(precision: .sixteen, execution: plugin()).policy.half == .bf16)
    #expect(try Trainer(precision: .sixteen).policy.half == .f16)
  }

  @Test("resumes what the cpu has saved, and the other way round", .enabled(if: missing == nil, "\(missing ?? "")"))
  func resume() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let (cpu, tpu) = (try Execution(), try plugin())
    let policy = try PrecisionPolicy(.bf16, level: .O2)
    let whole = try losses(Trainer(policy: policy, execution: cpu), count: 6)
    for (first, second) in [(cpu, tpu), (tpu, cpu)] {
      var begin = Trainer(policy: policy, execution: first)
      begin.savePath = file
      begin.maxSteps = 3
      var model = try digits()
      try begin.fit(&model)
      var end = Trainer(policy: policy, execution: second)
      end.resumePath = file
      let rest = try losses(end, count: 6)
      expectClose(rest, Array(whole.suffix(3)), .relative(DType.bf16.tolerance))
    }
  }

  /// Several tries are under way; the log must be exact all the same: which were skipped, and with which scale.
  @Test("skips the steps that the cpu skips", .enabled(if: missing == nil, "\(missing ?? "")"))
  func skips() throws {
    let policy = try PrecisionPolicy(
      precision: "16", level: "O2", overrides: [("loss-scale", "dynamic:init=16777216")], sixteen: .f16)
    func log(_ execution: Execution) throws -> [StepRecord] {
      var (model, trainer) = (try digits(), Trainer(policy: policy, execution: execution))
      trainer.maxSteps = 10
      var records: [StepRecord] = []
      try trainer.fit(&model) { if case .step(let record) = $0 { records.append(record) } }
      return records
    }
    let (there, here) = (try log(plugin()), try log(Execution()))
    #expect(there.contains(where: \.skipped) && !there.allSatisfy(\.skipped) && there.count == here.count)
    for (a, b) in zip(there, here) {
      #expect(a.attempt == b.attempt && a.step == b.step && a.skipped == b.skipped && a.scale == b.scale, "\(a), \(b)")
      expectClose(a.loss, b.loss, .relative(DType.f16.tolerance), "\(a), \(b): ")
    }
  }

  @Test("runs an entry", .enabled(if: missing == nil, "\(missing ?? "")"))
  func entry() throws {
    let model = try digits()
    let image = try #require(Tensor((0..<128).map { Double($0 % 7) }, shape: [2, 64], dtype: .f32))
    let there = try model.compile("forward", execution: plugin())(["image": image])
    let here = try model.compile("forward")(["image": image])
    #expect(there.map(\.name) == here.map(\.name))
    expectClose(there[0].tensor, here[0].tensor, .relative(1e-5))
  }

  @Test("without its plugin says what it looked for")
  func noPlugin() throws {
    let error = #expect(throws: LTMError.self) { try Execution(target: .tpu, pjrtPlugin: "/nowhere/libtpu.so") }
    #expect(error?.description.contains("/nowhere/libtpu.so") == true)
    #expect(error?.description.contains("--pjrt-plugin") == true)
    let elsewhere = #expect(throws: LTMError.self) {
      try Compilation(model: digits(), policy: PrecisionPolicy(.bf16, level: .O2))
        .compile(topology: "v5e:2x2", pjrtPlugin: "/nowhere/libtpu.so")
    }
    #expect(elsewhere?.description.contains("pip install libtpu") == true)
  }

  @Test(
    "says at once that a machine has no TPU, though it has libtpu",
    .enabled(
      if: InstalledTools.tpuPlugin != nil, "no libtpu in .build/tools; LTM_LIBTPU=1 scripts/tools.sh installs it"),
    .enabled(if: !PJRTPlugin.mayHaveTPU, "this machine may have a TPU"), .timeLimit(.minutes(1)))
  func noTPU() throws {
    let error = #expect(throws: LTMError.self) {
      try Execution(target: .tpu, pjrtPlugin: InstalledTools.tpuPlugin, tpuCores: 8)
    }
    #expect(error?.description.contains("starting the devices") == true)
    #expect(error?.description.contains("--tpu-cores 8 needs as many devices") == true)
  }

  @Test("writes StableHLO with the lines of the source")
  func text() throws {
    let policy = try PrecisionPolicy(.sixteen, level: .O2, sixteen: Target.tpu.sixteen)
    let compilation = Compilation(model: try digits(), policy: policy, isTrainingStep: true)
    let text = try #require(try compilation.emit(.stablehlo).text)
    #expect(text.contains("digits.ltm\":7:"))
    #expect(text.contains("loc(\"fc1\"("))
    #expect(text.contains("tensor<64x64xbf16>"))
  }

  @Test(
    "compiles for TPUs that are elsewhere",
    .enabled(
      if: InstalledTools.tpuPlugin != nil, "no libtpu in .build/tools; LTM_LIBTPU=1 scripts/tools.sh installs it"),
    arguments: ["v4:2x2x1", "v5e:2x2", "v6e:2x2"])
  func topology(name: String) throws {
    let policy = try PrecisionPolicy(.sixteen, level: .O2, sixteen: Target.tpu.sixteen)
    let compilation = Compilation(model: try digits(), policy: policy, isTrainingStep: true)
    let report = try compilation.compile(topology: name, pjrtPlugin: InstalledTools.tpuPlugin)
    #expect(report.description.hasPrefix("\(name): ") && report.description.contains(" x TPU v"))
    #expect(report.description.contains("flops: "))
    let error = #expect(throws: LTMError.self) {
      try compilation.compile(topology: "v5e:9x9x9", pjrtPlugin: InstalledTools.tpuPlugin)
    }
    #expect(error?.description.contains("v5e:9x9x9") == true)
  }
}
