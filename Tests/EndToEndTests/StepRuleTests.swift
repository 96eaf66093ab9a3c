import Foundation
import LTM
import LTMSupport
import Synchronization
import TestSupport
import Testing

/// Clipping, accumulation, averages, groups and frozen weights, from the command and from Swift, compiled.
@Suite struct StepRuleTests {
  private static let sample = Command.root + "/samples/digits.ltm"

  private func train(
    _ lines: [String], _ precision: Precision = .sixtyFour, _ level: OptLevel? = nil, batch: Int? = nil,
    steps: Int = 12, configure: (inout Trainer) -> Void = { _ in }
  ) throws -> (model: Model, records: [StepRecord], result: TrainingResult) {
    var model = try Model(contentsOf: Self.sample, seed: 1)
    for line in lines { try model.setTrainLine(line) }
    var trainer = try Trainer(precision: precision, ampLevel: level)
    trainer.batchSize = batch
    trainer.maxSteps = steps
    configure(&trainer)
    var records: [StepRecord] = []
    let result = try trainer.fit(&model) { if case .step(let record) = $0 { records.append(record) } }
    return (model, records, result)
  }

  @Test("four batches of 16 are one of 64", arguments: [Precision.sixtyFour, .thirtyTwo])
  func accumulates(_ precision: Precision) throws {
    let parts = try train(["accumulate 4", "clip norm(0.5)"], precision, batch: 16)
    let whole = try train(["clip norm(0.5)"], precision, batch: 64)
    let tolerance = Tolerance.absolute(precision == .sixtyFour ? 1e-12 : 1e-5)
    expectClose(parts.records.map(\.loss), whole.records.map(\.loss), tolerance)
    expectClose(parts.records.compactMap(\.gradientNorm), whole.records.compactMap(\.gradientNorm), tolerance)
    #expect(parts.records.compactMap(\.gradientNorm).count == 12)
    #expect(parts.result.steps == 12)
  }

  @Test("the last window of an epoch holds what is left of it")
  func endsEarly() throws {
    // 1437 rows: 22 batches of 64, 6 windows of 4 at most.
    let parts = try train(["accumulate 4", "optimizer SGD(lr: 0.1)"], batch: 64, steps: 7)
    var overview: TrainingOverview?
    var model = try Model(contentsOf: Self.sample, seed: 1)
    try model.setTrainLine("accumulate 4")
    var trainer = try Trainer(precision: .sixtyFour)
    trainer.maxEpochs = 1
    trainer.batchSize = 64
    try trainer.fit(&model) { if case .started(let found) = $0 { overview = found } }
    #expect(overview?.stepsPerEpoch == 6)
    #expect(parts.records.allSatisfy { $0.loss.isFinite && !$0.skipped })
  }

  @Test(
    "what is reported and given back is the average",
    arguments: [(Precision.thirtyTwo, OptLevel.O0), (.sixteen, .O2), (.bf16, .O1)])
  func average(_ precision: Precision, _ level: OptLevel) throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("w.safetensors")
    let lines = ["average ema(0.9)", "optimizer SGD(lr: 0.5)"]
    let averaged = try train(lines, precision, level, steps: 22) { $0.savePath = saved }
    let plain = try train([lines[1]], precision, level, steps: 22)
    for (name, weight) in averaged.model.weights {
      #expect(try TensorFile.read("\(saved):\(name)").bytes == weight.bytes, "\(name)")
      #expect(try TensorFile.read("\(saved):current/\(name)").bytes == plain.model.weights[name]?.bytes, "\(name)")
      #expect(weight.bytes != plain.model.weights[name]?.bytes, "\(name)")
    }
    // What is evaluated beside training is what the weights that are saved give.
    var again = try Model(contentsOf: Self.sample)
    try again.load(weightsFrom: saved)
    let entry = try again.compile("accuracy", precision: precision, ampLevel: level)
    let data = Command.root + "/samples/data/digits.safetensors"
    let found = try entry(["image": TensorFile.read("\(data):x_test"), "label": TensorFile.read("\(data):y_test")])
    let value = try #require(found.first?.tensor.doubles.first)
    expectClose([try #require(averaged.result.report)], [value], .absolute(1e-6))
  }

  static let runs: [[String]] = [
    ["accumulate 3", "average ema(0.9)", "clip norm(0.3)", "schedule plateau(patience: 0, factor: 0.5)"],
    ["optimizer Muon(lr: 0.02)", "average swa(start: 0.4)", "freeze \"fc1.bias\"", "schedule one_cycle()"],
    ["optimizer Adafactor(lr: 0.02)", "group \"**.bias\" { lr: 0.1 }", "schedule warmup(steps: 9) then cosine()"],
  ]

  @Test("a resumed run has the bits of one that was not stopped", arguments: runs)
  func resumes(_ lines: [String]) throws {
    let folder = try TemporaryFolder()
    let half = folder.file("half.safetensors")
    for (precision, level) in [(Precision.sixteen, OptLevel.O2), (.thirtyTwo, .O0)] {
      func run(_ limit: Int, save: String? = nil, resume: String? = nil) throws -> [String: Tensor] {
        let stop = Counter(limit: limit)
        return try train(lines, precision, level, batch: 64, steps: 3 * 22) { trainer in
          trainer.savePath = save
          trainer.resumePath = resume
          trainer.stopRequested = { stop.count() }
        }.model.weights
      }
      let whole = try run(1000)
      // At an epoch's end, and within a window of several batches: a window is one try.
      let epoch = lines.contains("accumulate 3") ? 8 : 22
      _ = try run(epoch, save: half)
      #expect(try run(1000, resume: half) == whole)
    }
  }

  @Test("frozen weights that a checkpoint brings stay what they are")
  func frozen() throws {
    let folder = try TemporaryFolder()
    let (first, second) = (folder.file("a.safetensors"), folder.file("b.safetensors"))
    let trained = try train([], .sixteen, .O2, steps: 10) { $0.savePath = first }
    var model = try Model(contentsOf: Self.sample, seed: 9)
    try model.load(weightsFrom: first)
    try model.setTrainLine("freeze \"fc1\"")
    var trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
    trainer.maxSteps = 3
    trainer.savePath = second
    try trainer.fit(&model)
    var other = try Model(contentsOf: Self.sample, seed: 5)
    try other.setTrainLine("freeze \"fc1\"")
    trainer.maxSteps = 6
    trainer.resumePath = second
    trainer.savePath = folder.file("c.safetensors")
    try trainer.fit(&other)
    for name in ["fc1.weight", "fc1.bias"] {
      #expect(other.weights[name]?.bytes == trained.model.weights[name]?.bytes, "\(name)")
    }
    #expect(other.weights["fc2.weight"] != trained.model.weights["fc2.weight"])
  }

  @Test(
    "flags say what lines say",
    arguments: [
      (["--gradient-clip-val", "0.5"], "clip norm(0.5)"),
      (["--gradient-clip-val", "0.01", "--gradient-clip-algorithm", "value"], "clip value(0.01)"),
      (["--accumulate-grad-batches", "2"], "accumulate 2"), (["--ema", "0.9"], "average ema(0.9)"),
      (["--stochastic-weight-avg"], "average swa()"), (["--freeze", "fc1.*"], "freeze \"fc1.*\""),
      (["--group", "\"**.bias\" { weight_decay: 0 }"], "group \"**.bias\" { weight_decay: 0 }"),
    ])
  func flags(_ flags: [String], _ line: String) throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("w.safetensors")
    let run = try Command(
      [
        "train", Self.sample, "--seed", "1", "--max-steps", "4", "--save", saved, "--track-grad-norm", "--log",
        folder.file("log.jsonl"),
      ] + flags)
    #expect(run.status == 0, "\(run.errors)")
    let expected = try train([line], .thirtyTwo, .O0, steps: 4)
    for (name, weight) in expected.model.weights {
      #expect(try TensorFile.read("\(saved):\(name)").bytes == weight.bytes, "\(name)")
    }
    let log = try String(contentsOfFile: folder.file("log.jsonl"), encoding: .utf8)
    #expect(log.split(separator: "\n").allSatisfy { $0.contains("\"grad_norm\":") })
  }

  @Test(
    "flags that contradict each other are refused",
    arguments: [
      (["--gradient-clip-algorithm", "norm"], "has no limit"),
      (["--gradient-clip-val", "0"], "no positive finite number"),
      (["--clip", "norm(1)", "--gradient-clip-val", "1"], "both say how gradients are clipped"),
      (["--ema", "0.9", "--stochastic-weight-avg"], "a weight has one average"),
      (["--freeze", "fc3"], "no weight of 'Digits' has the path \"fc3\""),
      (["--freeze", "**"], "4 weights are frozen"),
      (["--accumulate-grad-batches", "0"], "'accumulate' is an Int of 1 or more"),
      (["--accumulate-grad-batches", "65537"], "'accumulate' is 65536 at most, and this is 65537"),
    ])
  func refused(_ flags: [String], _ message: String) throws {
    let run = try Command(["train", Self.sample, "--max-steps", "1"] + flags)
    #expect(run.status == 1 && run.errors.contains(message), "\(run.status) \(run.errors)")
  }
}
