import Foundation
import LTM
import LTMIR
import LTMSupport
import OpCases
import TestSupport
import Testing

/// Every sample as StableHLO and on the plugin.
@Suite("the samples on the target tpu")
struct SampleTests {
  static let names = ["cnn", "digits", "gpt", "lstm", "mlp", "norm", "tour"]
  /// Precisions and levels, as flags name them; 16 means bf16 there, and f16 is asked for.
  static let levels: [(precision: Precision, level: OptLevel, sixteen: DType)] = [
    (.sixtyFour, .O0, .bf16), (.thirtyTwo, .O0, .bf16), (.sixteen, .O1, .bf16), (.sixteen, .O2, .bf16),
    (.sixteen, .O3, .bf16), (.sixteen, .O1, .f16), (.sixteen, .O2, .f16), (.sixteen, .O3, .f16),
  ]
  /// With `LTM_WHOLE=1` every level is trained, and compiled by libtpu. In pure fp16, the last, Adam's eps is 0, and two right computations part.
  static let trained = isWhole ? Array(levels.indices.dropLast()) : [1, 3]
  static let missing = TargetTests.missing

  private func model(_ name: String, narrow: Bool = false) throws -> Model {
    let path = root.appending(path: "samples/\(name).ltm").path
    // The digits' rows have 64 numbers.
    return try Model(contentsOf: path, arguments: narrow && name == "mlp" ? ["inputs": 64, "hidden": 64] : [:])
  }

  private func policy(_ index: Int) throws -> PrecisionPolicy {
    let (precision, level, sixteen) = Self.levels[index]
    // A core's gradients, means over fewer rows, are larger, and would skip the first tries of fp16 where the cpu's do not.
    var scaled = level
    if sixteen == .f16, level.name != "O3" { scaled.lossScale = .dynamic(DynamicScaling(initial: 1024)) }
    return try PrecisionPolicy(precision, level: scaled, sixteen: sixteen)
  }

  private func job(_ name: String, _ index: Int, _ entry: String?, cores: Int = 1) throws -> Job {
    let compilation = Compilation(
      model: try model(name), policy: try policy(index), entry: entry, isTrainingStep: entry == nil, tpuCores: cores)
    let text = try #require(try compilation.emit(.stablehlo).text)
    let level = Self.levels[index]
    return Job(
      name: "\(name) \(level.precision) \(level.level.name) \(level.sixteen) \(entry ?? "step") \(cores)", module: text,
      run: false)
  }

  @Test("there are no others")
  func all() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "samples").path)
    #expect(files.filter { $0.hasSuffix(".ltm") }.sorted() == Self.names.map { "\($0).ltm" })
  }

  @Test(
    "parse and verify at every level: the entry, the step, the step on 4 cores, narrowing casts as barriers",
    .enabled(if: StableHLOTools.missing == nil, "\(StableHLOTools.missing ?? "")"), arguments: names)
  func verify(_ name: String) throws {
    let jobs = try Self.levels.indices.flatMap { index in
      [try job(name, index, "forward"), try job(name, index, nil), try job(name, index, nil, cores: 4)]
    }
    let outcomes = try StableHLOTools.evaluate(jobs)
    for job in jobs {
      let outcome = try #require(outcomes[job.name], "\(job.name)")
      #expect(outcome.error == nil, "\(job.name): \(outcome.error ?? "")")
      #expect(narrowingWithoutBarrier(job.module) == [], "\(job.name)")
      #expect(!job.module.contains("chlo.") && !job.module.contains("x?"), "\(job.name)")
      #expect(job.module.contains("\(name).ltm\":"), "\(job.name) has no lines of the source")
    }
  }

  /// Converts to a float of fewer digits whose operand is not rounded to them.
  private func narrowingWithoutBarrier(_ text: String) -> [Substring] {
    let digits: [Substring: Int] = ["bf16": 7, "f16": 10, "f32": 23, "f64": 52]
    var rounded: [Substring: Int] = [:]
    for match in text.matches(of: /(%[\w.]+) = stablehlo\.reduce_precision .* format = e\d+m(\d+)/) {
      rounded[match.1] = Int(match.2)
    }
    let type = #/(%[\w.]+) = stablehlo\.convert (%[\w.]+) : \(tensor<(?:\d+x)*(\w+)>\) -> tensor<(?:\d+x)*(\w+)>/#
    return text.matches(of: type).compactMap { match in
      guard let from = digits[match.3], let to = digits[match.4], to < from else { return nil }
      return rounded[match.2] == to ? nil : match.0
    }
  }

  private func data(_ name: String) throws -> TrainingData? {
    guard name == "mlp" else { return nil }
    var random = SeededGenerator(seed: 7)
    let rows = 1024
    let labels = (0..<rows).map { _ in Double(Int.random(in: 0..<10, using: &random)) }
    let pixels = labels.flatMap { label in
      (0..<64).map { Double.random(in: 0..<1, using: &random) + ($0 == Int(label) ? 2 : 0) }
    }
    return TrainingData(train: [
      "x": try #require(Tensor(pixels, shape: [rows, 64], dtype: .f32)),
      "y": try #require(Tensor(labels, shape: [rows], dtype: .i32)),
    ])
  }

  private func train(_ name: String, _ policy: PrecisionPolicy, _ execution: Execution, tries: Int) throws -> (
    losses: [Double], weights: [String: Tensor]
  ) {
    var model = try model(name, narrow: true)
    var trainer = Trainer(policy: policy, execution: execution)
    trainer.maxSteps = tries
    var losses: [Double] = []
    try trainer.fit(&model, data: data(name)) { if case .step(let record) = $0 { losses.append(record.loss) } }
    return (losses, model.weights)
  }

  /// The digits have tests of their own. A layer that normalises over the rows of a batch sees only its core's, so `tour`
  /// is the same on one core alone.
  @Test(
    "train for 20 tries with the losses and weights of the cpu", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: ["mlp", "norm", "tour"], trained)
  func trains(_ name: String, _ index: Int) throws {
    let policy = try policy(index)
    let here = try train(name, policy, Execution(), tries: 20)
    #expect(here.losses.count == 20)
    for cores in name == "tour" ? [1] : [1, 4] {
      let execution = try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin, tpuCores: cores)
      let there = try train(name, policy, execution, tries: 20)
      #expect(there.losses.count == 20)
      // Adam makes a whole step of a gradient that is but rounding.
      let tolerance = 8 * (policy.half ?? .f32).tolerance
      expectClose(there.losses, here.losses, .relative(tolerance), "\(cores) cores: ")
      for (weight, tensor) in there.weights where !isNoise(weight, in: name) {
        let wanted = try #require(here.weights[weight]).doubles
        expectNear(tensor.doubles, wanted, 8 * tolerance, "\(cores) cores, \(weight)")
      }
    }
  }

  /// What comes before a batch norm has no use for its bias, whose gradient is rounding; `tour`'s optimizer takes a whole step
  /// in its direction, and the running mean follows.
  private func isNoise(_ weight: String, in name: String) -> Bool {
    name == "tour" && ["stem.0.bias", "stem.1.running_mean"].contains(weight)
  }

  @Test(
    "compile for TPUs that are elsewhere",
    .enabled(
      if: InstalledTools.tpuPlugin != nil, "no libtpu in .build/tools; LTM_LIBTPU=1 scripts/tools.sh installs it"),
    arguments: names, ["v4:2x2x1", "v5e:2x2", "v6e:2x2"])
  func topology(_ name: String, _ topology: String) throws {
    for index in Self.levels.indices where Self.levels[index].precision != .sixtyFour && (isWhole || index == 3) {
      for cores in [1, 4] {
        let compilation = Compilation(
          model: try model(name), policy: try policy(index), isTrainingStep: true, tpuCores: cores)
        let report = try compilation.compile(topology: topology, pjrtPlugin: InstalledTools.tpuPlugin).description
        #expect(report.contains("\(cores) in use") && report.contains("flops: ") && report.contains("temporaries "))
      }
    }
  }
}
