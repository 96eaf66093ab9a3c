import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// What is reported over the test data, and for how long is trained.
@Suite struct ReportTests {
  static let model = """
    model R() {
      let fc = Linear(2, 1)
      func forward(x: [B, 2]) -> [B] { return squeeze(fc(x), axis: 1) }
      func loss(x: [B, 2], y: [B]) -> [] { return mse_loss(forward(x), y) }
      func rmse(x: [B, 2], y: [B]) -> [] { return sqrt(loss(x, y)) }
      func total(x: [B, 2], y: [B]) -> [] { return sum(abs(forward(x) - y)) }
      func worst(x: [B, 2], y: [B]) -> [] { return max(abs(forward(x) - y)) }
      func accuracy(x: [B, 2], y: [B]) -> [] { return mean(forward(x) > y) }
    }
    train R {
      data "d.safetensors"
      minimize loss
      report rmse
      optimizer SGD(lr: 0.05)
      batch 4
      epochs 2
      steps 3
    }

    """

  /// Eight rows to train on, 700 to test on, the last of which are far off.
  private func folder(test: Bool = true) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.model)
    func x(_ count: Int) throws -> Tensor {
      try #require(Tensor((0..<2 * count).map { Float($0 % 5) - 2 }, shape: [count, 2]))
    }
    func y(_ count: Int) throws -> Tensor {
      try #require(Tensor((0..<count).map { $0 > 500 ? Float($0) : Float($0 % 3) }, shape: [count]))
    }
    let train = [("x_train", try x(8)), ("y_train", try y(8))]
    try TensorFile.write(
      train + (test ? [("x_test", try x(700)), ("y_test", try y(700))] : []), to: folder.file("d.safetensors"))
    return folder
  }

  private func value(_ name: String, in folder: TemporaryFolder) throws -> Double {
    let run = try Command(
      [
        "run", "m.ltm", "--entry", name, "--weights", "w.safetensors", "--input", "x=d.safetensors:x_test", "--input",
        "y=d.safetensors:y_test", "--json",
      ], in: folder.path)
    #expect(run.status == 0, "\(run.errors)")
    return try #require(try JSON(parsing: Array(run.output.utf8))["result"]?["data"]?[0]?.doubleValue)
  }

  /// A root, a sum, a maximum and a mean: each as if all test rows were one batch.
  @Test func areTheValuesOnAllTestRows() throws {
    let folder = try folder()
    let names = ["rmse", "total", "worst", "loss", "accuracy"]
    let train = try Command(
      ["train", "m.ltm", "--json", "--save", "w.safetensors"] + names.flatMap { ["--report", $0] }, in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    let reports = try #require(try JSON(parsing: Array(train.output.utf8))["reports"])
    for name in names {
      let reported = try #require(reports[name]?.doubleValue)
      let expected = try value(name, in: folder)
      #expect(abs(reported - expected) <= 1e-5 * abs(expected), "\(name): \(reported), not \(expected)")
    }
  }

  @Test func areAllShownAndTheLossIsNamed() throws {
    let folder = try folder()
    let train = try Command(["train", "m.ltm", "--report", "rmse", "--report", "total"], in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    let last = try #require(train.output.split(separator: "\n").last { $0.contains("steps") })
    for part in ["test rmse", "test total", "training loss of the last batch"] {
      #expect(last.contains(part), "\(last)")
    }
  }

  @Test func needTestData() throws {
    let folder = try folder(test: false)
    let train = try Command(["train", "m.ltm"], in: folder.path)
    #expect(train.status == 1)
    #expect(train.errors.contains("'rmse' cannot be reported: 'd.safetensors' has no test rows"), "\(train.errors)")
    let none = try Command(["train", "m.ltm", "--no-report"], in: folder.path)
    #expect(none.status == 0, "\(none.errors)")
    #expect(!none.output.contains("rmse"))
  }

  @Test(arguments: ["unread"]) func nothingToTrainIsAnError(_ entry: String) throws {
    let folder = try folder()
    try folder.write(
      "m.ltm",
      Self.model.replacing(
        "  func rmse", with: "  func unread(x: [B, 2], y: [B]) -> [] { return mean(y) }\n  func rmse"))
    let train = try Command(["train", "m.ltm", "--minimize", entry], in: folder.path)
    #expect(train.status == 1, "\(train.output)")
    #expect(train.errors.contains("'\(entry)' cannot be minimized: no gradient"), "\(train.errors)")
  }

  /// Flags, and how many steps there are of two an epoch.
  static let lengths: [([String], Int)] = [
    ([], 3), (["--max-steps", "11"], 11), (["--epochs", "4"], 8), (["--epochs", "4", "--max-steps", "5"], 5),
    (["--epochs", "1", "--max-steps", "9"], 2),
  ]

  @Test(arguments: lengths) func aFlagWinsOverTheFile(_ flags: [String], _ steps: Int) throws {
    let folder = try folder()
    let train = try Command(["train", "m.ltm", "--json"] + flags, in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    #expect(try JSON(parsing: Array(train.output.utf8))["steps"]?.intValue == steps)
  }

  @Test func aCheckpointBeyondTheEndSaysWhatWasAskedFor() throws {
    let folder = try folder()
    let train = ["train", "m.ltm", "--save", "w.safetensors"]
    #expect(try Command(train, in: folder.path).status == 0)
    let again = try Command(["train", "m.ltm", "--resume", "w.safetensors", "--epochs", "1"], in: folder.path)
    #expect(again.status == 0)
    #expect(
      again.errors.contains("3 steps on already") && again.errors.contains("1 epoch of 2 steps"), "\(again.errors)")
  }

  @Test func aRunThatDivergesWhileItEvaluatesSaysSo() throws {
    let folder = try folder()
    let train = try Command(
      [
        "train", "m.ltm", "--precision", "16", "--amp-level", "O1", "--loss-scale", "16", "--lr", "1e5", "--batch", "8",
        "--max-steps", "1",
      ], in: folder.path)
    #expect(train.status == 1)
    #expect(train.errors.contains("after step 1 the run has diverged: the weight 'fc."), "\(train.errors)")
  }
}
