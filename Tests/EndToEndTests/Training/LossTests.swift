import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Two losses, each with its weights, its optimizer and its loss scale (scripts/reference/losses.py).
@Suite struct LossTests {
  static let source = """
    layer Net(inputs: Int, hidden: Int, outputs: Int) {
      let fc1 = Linear(inputs, hidden)
      let fc2 = Linear(hidden, outputs)
      func call(x: [B, inputs]) -> [B, outputs] { return x |> fc1 |> tanh |> fc2 }
    }
    model GAN() {
      let generator = Net(3, 6, 4)
      let critic = Net(4, 6, 1)
      func judge(x: [B, 4]) -> [B] { return squeeze(critic(x), axis: 1) }
      func critic_loss(x: [B, 4], z: [B, 3]) -> [] {
        return mean(softplus(-judge(x))) + mean(softplus(judge(stop_gradient(generator(z)))))
      }
      func generator_loss(z: [B, 3]) -> [] { return mean(softplus(-judge(generator(z)))) }
    }
    train GAN {
      minimize critic_loss for "critic.**" { optimizer Adam(lr: 2e-2, beta1: 0.5) }
      minimize generator_loss for "generator.**" {
        optimizer SGD(lr: 0.3, momentum: 0.9)
        schedule  exponential(gamma: 0.9)
        every     2
      }
      batch 8
      steps 20
    }

    """

  private static func fixture() throws -> JSON {
    let path = Command.root + "/Tests/EndToEndTests/Fixtures/losses.json"
    return try JSON(parsing: Array(Data(contentsOf: URL(filePath: path))))
  }

  private static func numbers(_ json: JSON?) throws -> [Double] {
    try #require(json?.elements).compactMap(\.doubleValue)
  }

  private static func data() throws -> TrainingData {
    let fixture = try fixture()
    let x = Tensor(try numbers(fixture["x"]), shape: [160, 4], dtype: .f64)
    let z = Tensor(try numbers(fixture["z"]), shape: [160, 3], dtype: .f64)
    return TrainingData(train: ["x": try #require(x), "z": try #require(z)])
  }

  /// A run, its weights and its steps.
  private func train(
    _ text: String, _ precision: Precision, _ level: OptLevel? = nil,
    change: (inout Trainer) -> Void = { _ in }
  ) throws -> (model: Model, steps: [StepRecord]) {
    var model = try Model(text: text)
    let first = try #require(try Self.fixture()["first"]?.members)
    let shapes = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.shape) })
    for member in first {
      let tensor = Tensor(try Self.numbers(member.value), shape: try #require(shapes[member.key]), dtype: .f64)
      try model.set([member.key: try #require(tensor)])
    }
    var trainer = try Trainer(precision: precision, ampLevel: level)
    trainer.shuffles = false
    change(&trainer)
    var steps: [StepRecord] = []
    try trainer.fit(&model, data: Self.data()) { event in
      if case .step(let record) = event { steps.append(record) }
    }
    return (model, steps)
  }

  private func value(_ name: String, _ record: StepRecord) -> Double? {
    record.values.first { $0.name == name }?.value
  }

  @Test func areThoseOfPyTorch() throws {
    let fixture = try Self.fixture()
    let (model, steps) = try train(Self.source, .sixtyFour)
    let losses = steps.flatMap { [$0.loss] + [value("generator_loss", $0)].compactMap(\.self) }
    expectClose(losses, try Self.numbers(fixture["losses"]), .absolute(1e-10))
    for member in try #require(fixture["last"]?.members) {
      let weight = try #require(model.weights[member.key])
      expectClose(weight.doubles, try Self.numbers(member.value), .absolute(1e-10))
    }
    let rates = steps.compactMap { value("lr/generator_loss", $0) }
    #expect(rates.count == 10)
    expectClose(rates, (0..<10).map { (step: Int) -> Double in 0.3 * pow(0.9, Double(step)) }, .absolute(1e-12))
  }

  @Test(arguments: [false, true]) func areResumedBitForBit(_ isShared: Bool) throws {
    let folder = try TemporaryFolder()
    let text = Self.source.replacing("batch 8", with: "batch 8\n  average ema(0.9)")
    func run(_ steps: Int, resume: String? = nil) throws -> Model {
      try train(text, .sixteen, .O2) { trainer in
        (trainer.maxSteps, trainer.resumePath) = (steps, resume)
        (trainer.savePath, trainer.options.shareLossScale) = (folder.file("\(steps).safetensors"), isShared)
      }.model
    }
    let whole = try run(20)
    let first = folder.file("20.safetensors")
    let kept = folder.file("whole.safetensors")
    try FileManager.default.moveItem(atPath: first, toPath: kept)
    _ = try run(7)
    let resumed = try run(20, resume: folder.file("7.safetensors"))
    #expect(resumed.weights == whole.weights)
    let names = try TensorFile.names(kept)
    #expect(names.contains("control/generator_loss/step") && names.contains("current/critic.fc1.weight"))
    #expect(names.contains("control/generator_loss/loss_scale") != isShared)
    for name in names { #expect(try TensorFile.read("\(kept):\(name)") == TensorFile.read("\(first):\(name)")) }
  }

  /// The critic's gradients overflow at first: the generator's steps and scale stay as they are, where the scale is its own.
  @Test(arguments: [false, true]) func aSkipIsOfOneLoss(_ isShared: Bool) throws {
    let text = Self.source.replacing(
      "return mean(softplus(-judge(x)))", with: "return 5000 * mean(softplus(-judge(x)))")
    let (_, steps) = try train(text, .sixteen, .O2) { $0.options.shareLossScale = isShared }
    let skipped = steps.count { $0.skipped }
    #expect(skipped > 0 && skipped < 20)
    #expect(steps.allSatisfy { value("skipped/generator_loss", $0) != 1 })
    let scales = steps.compactMap { value("scale/generator_loss", $0) }
    #expect(scales.allSatisfy { ($0 < 65536) == isShared }, "\(scales)")
  }

  @Test func logsNameThem() throws {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.source)
    let data = try Self.data().train
    try TensorFile.write(data.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, to: folder.file("d.safetensors"))
    let command = try Command(
      ["train", "m.ltm", "--data", "d.safetensors", "--logger", "csv", "--log-dir", "log", "--track-grad-norm"],
      in: folder.path)
    #expect(command.status == 0, "\(command.errors)")
    let rows = try String(contentsOfFile: folder.file("log/metrics.csv"), encoding: .utf8).split(separator: "\n")
    let columns = rows[0].split(separator: ",")
    for name in ["generator_loss", "lr/generator_loss", "scale/generator_loss", "grad_norm/generator_loss"] {
      #expect(columns.contains { $0 == name }, "\(rows[0])")
    }
  }

  /// What stands in place of the losses, and what the message must say.
  static let mistakes: [(String, String)] = [
    ("minimize critic_loss\n  minimize generator_loss for \"generator.**\"", "'minimize' is given twice"),
    (
      "minimize critic_loss for \"**\"\n  minimize generator_loss for \"generator.**\"",
      "'critic_loss' and 'generator_loss' both train 'generator.fc1.weight'"
    ),
    (
      "minimize critic_loss for \"critic.**\"\n  minimize generator_loss for \"generator.fc1\"",
      "no loss is minimized for 'generator.fc2.weight'"
    ),
    ("minimize critic_loss for \"critik\"", "no weight of 'GAN' has the path \"critik\""),
    ("minimize critic_loss for \"critic.**\" { every 3 }", "the first of several losses is minimized with every batch"),
    ("minimize critic_loss for \"critic.**\" { patience 3 }", "'patience' is no line of what is minimized"),
    ("minimize critic_loss { optimizer Adm(lr: 1) }", "there is no optimizer 'Adm'"),
  ]

  @Test(arguments: mistakes) func mistakesHaveAPlace(_ lines: String, _ message: String) throws {
    let folder = try TemporaryFolder()
    let start = Self.source.prefix(upTo: try #require(Self.source.range(of: "minimize critic_loss")).lowerBound)
    try folder.write("m.ltm", start + lines + "\n  optimizer SGD(lr: 0.1)\n}\n")
    let command = try Command(["check", "m.ltm"], in: folder.path)
    #expect(command.status == 1 && command.errors.contains(message), "\(command.errors)")
    #expect(command.errors.contains("m.ltm:1"), "\(command.errors)")
  }
}
