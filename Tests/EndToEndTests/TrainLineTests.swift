import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Lines of the `train` block that are given from outside.
@Suite struct TrainLineTests {
  /// Parameters that are called as their keys need no braces.
  @Test func dataWithoutBracesGoesByTheParametersNames() throws {
    let folder = try TemporaryFolder()
    let model = """
      model M() {
        let fc = Linear(64, 10)
        func loss(x: [B, 64], y: i32[B]) -> [] { return cross_entropy(fc(x), y) }
      }
      train M {
        data      "\(Command.root)/samples/data/digits.safetensors"
        minimize  loss
        optimizer SGD(lr: 0.01)
      }
      """
    let train = try Command(["train", try folder.write("model.ltm", model), "--max-steps", "2"])
    #expect(train.status == 0, "\(train.errors)")
  }

  static let update = ["optimizer SGD(lr: 0.1, momentum: 0.9)", "schedule linear_decay(warmup: 5)"]

  /// The digits' weights after some steps.
  private func trained(_ path: String, lines: [String]) throws -> [String: Tensor] {
    var model = try Model(contentsOf: path, seed: 1)
    for line in lines { try model.setTrainLine(line) }
    var trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
    trainer.maxSteps = 12
    try trainer.fit(&model)
    return model.weights
  }

  @Test func areAsIfTheyStoodInTheFile() throws {
    let folder = try TemporaryFolder()
    let text = try String(contentsOfFile: DigitsTests.sample, encoding: .utf8)
      .replacing("optimizer AdamW(lr: 3e-3, weight_decay: 0.01)", with: Self.update[0])
      .replacing("schedule  cosine(warmup: 50)", with: Self.update[1])
      .replacing("data/digits", with: Command.root + "/samples/data/digits")
    let given = try trained(DigitsTests.sample, lines: Self.update)
    #expect(try trained(folder.write("model.ltm", text), lines: []) == given)
    #expect(try trained(DigitsTests.sample, lines: []) != given)
  }

  /// A model whose file says nothing of training.
  static let bare = """
    model Bare() {
      let fc = Linear(64, 10)
      func loss(pixels: [B, 64], digit: i32[B]) -> [] {
        return cross_entropy(fc(pixels), digit)
      }
      func accuracy(pixels: [B, 64], digit: i32[B]) -> [] {
        return mean(argmax(fc(pixels), axis: -1) == digit)
      }
    }

    """

  @Test func trainAFileThatHasNone() throws {
    let folder = try TemporaryFolder()
    let flags = [
      "--minimize", "loss", "--report", "accuracy", "--optimizer", "SGD(lr: 0.1)", "--schedule", "cosine(warmup: 2)",
    ]
    let command = try Command(
      [
        "train", folder.write("bare.ltm", Self.bare), "--data", "samples/data/digits.safetensors", "--field",
        "pixels=x", "--field", "digit=y", "--max-steps", "5", "--json",
      ] + flags)
    #expect(command.status == 0, "\(command.errors)")
    let result = try JSON(parsing: Array(command.output.utf8))
    #expect(result["steps"]?.intValue == 5)
    #expect(result["report"]?.stringValue == "accuracy")
  }

  /// Flags, and what the message must say.
  static let mistakes: [([String], [String])] = [
    (["--optimizer", "Adm(lr: 1)"], ["train line:1:11: error: there is no optimizer 'Adm'", "replace with 'Adam'"]),
    (["--optimizer", "SGD(lr: base)"], ["train line:1:19: error: unknown name 'base'"]),
    (["--optimizer", "SGD(lr: 0.1"], ["train line:1:22: error: expected ')'"]),
    (["--optimizer", "SGD(lr: 0.1)\nbatch 3"], ["train line:2:1: error: expected the end of the line"]),
    (["--optimizer", "SGD(lr: 0.1) }"], ["train line:1:24: error: expected the end of the line"]),
    (["--optimizer", "SGD(lr: -1)"], ["'SGD' requires 0 <= lr"]),
    (["--optimizer", ""], ["train line:1:10: error: expected a name"]),
    (["--schedule", "cosin"], ["there is no schedule 'cosin'", "replace with 'cosine'"]),
    (["--minimize", "los"], ["has no entry 'los'", "replace with 'loss'"]),
    (["--report", "forward"], ["'forward' returns [B, 10], and a scalar float"]),
    (["--field", "img=x"], ["has a parameter 'img'", "image, label"]),
    (["--field", "image"], ["'--field image' is not written as --field image=x"]),
    (["--field", "image=x", "--field", "image=y"], ["'--field' gives 'image' twice"]),
    (["--field", "image=pixels"], ["digits.safetensors: holds no tensor 'pixels_train'"]),
  ]

  @Test(arguments: mistakes) func areErrorsWithAPlace(_ flags: [String], _ message: [String]) throws {
    let command = try Command(["train", "samples/digits.ltm", "--max-steps", "1"] + flags)
    #expect(command.status == 1)
    for part in message { #expect(command.errors.contains(part), "\(command.errors)") }
  }

  @Test func doNotMoveTheSeedOfWeightsThatAreThere() throws {
    var model = try Model(contentsOf: DigitsTests.sample)
    let error = #expect(throws: LTMError.self) { try model.setTrainLine("seed 3") }
    #expect(try #require(error).description.contains("the seed cannot be set"))
  }
}

/// What a run that is resumed takes from its checkpoint, and what is said of the rest.
@Suite struct ResumeTests {
  @Test func keepsTheRateAndTheOrderThatWereGiven() throws {
    let folder = try TemporaryFolder()
    let half = folder.file("half.safetensors")
    func train(_ steps: Int, isGiven: Bool, resume: String? = nil) throws -> [String: Tensor] {
      var model = try Model(contentsOf: DigitsTests.sample, seed: 1)
      var trainer = try Trainer()
      trainer.maxEpochs = 2
      if isGiven { (trainer.learningRate, trainer.shuffles) = (1e-2, false) }
      trainer.resumePath = resume
      trainer.savePath = resume == nil ? half : nil
      let counter = Counter(limit: steps)
      trainer.stopRequested = { counter.count() }
      try trainer.fit(&model)
      return model.weights
    }
    let whole = try train(1000, isGiven: true)
    _ = try train(10, isGiven: true)
    #expect(try train(1000, isGiven: false, resume: half) == whole)
    #expect(try train(1000, isGiven: false) != whole)
  }

  @Test func warnsOfAnotherPrecision() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("a.safetensors")
    let half = ["--precision", "16", "--amp-level", "O2"]
    let first = ["train", "samples/digits.ltm", "--quiet", "--max-steps", "2", "--save", saved]
    #expect(try Command(first + half).status == 0)
    let resumed = ["train", "samples/digits.ltm", "--quiet", "--max-steps", "4", "--resume", saved]
    let same = try Command(resumed + half)
    #expect(same.status == 0 && same.errors == "", "\(same.errors)")
    let other = try Command(resumed)
    #expect(other.status == 0)
    #expect(
      other.errors.contains("written at precision 16, O2, and this run is at precision 32, O0"), "\(other.errors)")
  }

  @Test func isNotAStartFromWeights() throws {
    let both = try Command(["train", "samples/digits.ltm", "--resume", "a.safetensors", "--weights", "b.safetensors"])
    #expect(both.status == 1)
    #expect(both.errors.contains("--weights and --resume both"), "\(both.errors)")
  }

  @Test func addsToTheLogAndABadRunLeavesItAlone() throws {
    let folder = try TemporaryFolder()
    let (log, saved) = (folder.file("log.jsonl"), folder.file("a.safetensors"))
    let command = ["train", "samples/digits.ltm", "--quiet", "--log", log]
    func lines() throws -> Int { try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").count }
    #expect(try Command(command + ["--max-steps", "3", "--save", saved]).status == 0)
    #expect(try lines() == 3)
    #expect(try Command(command + ["--max-steps", "5", "--resume", saved]).status == 0)
    #expect(try lines() == 5)
    let bad = try Command(command + ["--data", "samples/data/wine.safetensors"])
    #expect(bad.status == 1)
    #expect(
      bad.errors.contains("'image' has shape [64, 13]") && bad.errors.contains("wine.safetensors"), "\(bad.errors)")
    #expect(try lines() == 5)
    #expect(try Command(command + ["--max-steps", "2"]).status == 0)
    #expect(try lines() == 2)
  }
}
