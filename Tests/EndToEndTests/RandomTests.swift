import Foundation
import LTM
import TestSupport
import Testing

/// Random numbers as a user meets them: repeatable, resumed, the same for any number of threads.
@Suite struct RandomTests {
  static let source = """
    model M() {
      let fc1 = Linear(8, 32)
      let drop = Dropout(0.5)
      let fc2 = Linear(32, 4)
      func forward(x: [B, 8]) -> [B, 4] { return x |> fc1 |> relu |> drop |> fc2 }
      func loss(x: [B, 8], y: [B, 4]) -> [] { return mse_loss(forward(x), y + 0.01 * normal(y.shape)) }
      func noise(x: [B, 8]) -> ([B, 8], bool[B, 8], i32[B], i32[1000]) {
        let p = uniform(x.shape)
        return (uniform(x.shape, low: -1, high: 1), bernoulli(p), categorical(x), permutation(1000))
      }
    }
    train M {
      data "d.safetensors" { x: x, y: y }
      minimize loss
      optimizer Adam(lr: 0.01)
      batch 16
    }

    """

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.source)
    var random = SeededGenerator(seed: 3)
    let rows = [("x", 8), ("y", 4)]
    try TensorFile.write(
      try rows.map { name, width -> (String, Tensor) in
        let numbers = random.numbers(64 * width)
        return (name, try #require(Tensor(numbers, shape: [64, width], dtype: .f32)))
      }, to: folder.file("d.safetensors"))
    return folder
  }

  private func train(_ folder: TemporaryFolder, _ name: String, _ flags: [String]) throws -> [String: Tensor] {
    let all = ["train", "m.ltm", "--quiet", "--data", "d.safetensors", "--save", name] + flags
    let run = try Command(all, in: folder.path)
    #expect(run.status == 0, "\(run.errors)")
    let path = folder.file(name)
    return Dictionary(
      uniqueKeysWithValues: try TensorFile.names(path).map { ($0, try TensorFile.read("\(path):\($0)")) })
  }

  @Test(
    "a run that was stopped and resumed draws what one run draws",
    arguments: [["--precision", "32"], ["--precision", "16", "--amp-level", "O2"]])
  func resume(_ precision: [String]) throws {
    let folder = try folder()
    let whole = try train(folder, "a.safetensors", precision + ["--seed", "5", "--epochs", "3"])
    _ = try train(folder, "b.safetensors", precision + ["--seed", "5", "--epochs", "1"])
    // The checkpoint knows the seed.
    let resumed = try train(
      folder, "c.safetensors", precision + ["--resume", "b.safetensors", "--epochs", "3"])
    #expect(whole == resumed)
  }

  @Test("threads and repetition change nothing, another seed does")
  func threads() throws {
    let folder = try folder()
    func weights(threads: Int, seed: UInt64) throws -> [String: Tensor] {
      var model = try Model(contentsOf: folder.file("m.ltm"), seed: 1)
      var trainer = try Trainer(execution: try Execution(threads: threads))
      trainer.dataPath = folder.file("d.safetensors")
      trainer.shuffles = false
      trainer.seed = seed
      trainer.maxSteps = 4
      try trainer.fit(&model)
      return model.weights
    }
    let first = try weights(threads: 1, seed: 2)
    #expect(try weights(threads: 3, seed: 2) == first)
    #expect(try weights(threads: 1, seed: 2) == first)
    #expect(try weights(threads: 1, seed: 3) != first)
  }

  @Test("targets draw the same bits", arguments: [Target.interpreter, .cpu])
  func targets(_ target: Target) throws {
    let folder = try folder()
    let model = try Model(contentsOf: folder.file("m.ltm"))
    let x = try #require(Tensor((0..<80).map { Float($0 % 7) - 3 }, shape: [10, 8]))
    let noise = try model.compile("noise", execution: try Execution(target: target))
    let other = try model.compile("noise", execution: try Execution(threads: 2))
    let found = try noise(["x": x], seed: 77, attempt: 3)
    for (a, b) in zip(found, try other(["x": x], seed: 77, attempt: 3)) { #expect(a.tensor == b.tensor, "\(a.name)") }
    for changed in [try noise(["x": x], seed: 78, attempt: 3), try noise(["x": x], seed: 77, attempt: 4)] {
      for (a, b) in zip(found, changed) { #expect(a.tensor != b.tensor, "\(a.name)") }
    }
    #expect(noise.draws)
  }

  static let recurrent = """
    model R() {
      let cell = Linear(6, 6)
      func loss(x: [B, T, 6]) -> [] {
        var h = full([B, 6], 0.5)
        let all = for step in x.along(1) {
          h = tanh(cell(dropout(h, 0.4)) + step * uniform(step.shape))
          yield h
        }
        return mean(square(all))
      }
    }
    train R {
      minimize loss
      optimizer SGD(lr: 0.1)
    }

    """

  @Test("a loop's gradient draws what its rounds drew, on every target") func loop() throws {
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: try folder.write("r.ltm", Self.recurrent), seed: 6)
    let x = try #require(Tensor((0..<90).map { sin(Float($0)) }, shape: [3, 5, 6]))
    let policy = try PrecisionPolicy(precision: "32", level: nil)
    let found = try [Target.cpu, .interpreter].map { (target) throws(LTMError) in
      try model.gradients(on: ["x": x], policy: policy, execution: try Execution(target: target))
    }
    #expect(abs(found[0].loss - found[1].loss) < 1e-6)
    for (name, gradient) in found[0].gradients {
      let expected = try #require(found[1].gradients[name])
      #expect(zip(gradient.doubles, expected.doubles).allSatisfy { abs($0 - $1) < 1e-6 }, "\(name)")
      #expect(gradient.doubles.contains { abs($0) > 1e-4 })
    }
  }

  @Test("dropout is nothing in evaluation") func evaluation() throws {
    let folder = try folder()
    let model = try Model(contentsOf: folder.file("m.ltm"))
    let forward = try model.compile()
    #expect(!forward.draws)
    let x = try #require(Tensor((0..<16).map { Float($0) }, shape: [2, 8]))
    #expect(try forward(["x": x], seed: 1)[0].tensor == forward(["x": x], seed: 2, attempt: 9)[0].tensor)
  }

  @Test("ltm run draws by its seed") func command() throws {
    let folder = try folder()
    func run(_ flags: [String]) throws -> String {
      let command = try Command(
        ["run", "m.ltm", "--entry", "noise", "--input", "x=d.safetensors:x"] + flags, in: folder.path)
      #expect(command.status == 0, "\(command.errors)")
      return command.output
    }
    let first = try run(["--seed", "4"])
    #expect(try run(["--seed", "4"]) == first && run(["--seed", "5"]) != first)
  }
}
