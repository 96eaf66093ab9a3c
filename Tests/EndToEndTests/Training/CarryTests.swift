import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Truncated back-propagation through time: what a loss hands from batch to batch (scripts/reference/tbptt.py).
@Suite struct CarryTests {
  static let source = """
    model Text() {
      let embed = Embedding(7, 3)
      let lstm = LSTM(3, 5)
      let head = Linear(5, 7)
      func loss(text: i32[B, T + 1], h: [1, B, 5], c: [1, B, 5]) -> ([], [1, B, 5], [1, B, 5]) {
        let (states, h1, c1) = lstm(embed(text[..<, ..<T]), h, c)
        return (cross_entropy(head(states), text[..<, 1..<]), h1, c1)
      }
      func bits(text: i32[B, T + 1]) -> [] {
        let (states, _, _) = lstm(embed(text[..<, ..<T]))
        return cross_entropy(head(states), text[..<, 1..<]) / log(2)
      }
    }
    train Text {
      data      "text.txt"
      minimize  loss
      optimizer Adam(lr: 2e-2)
      batch     2
      epochs    2
      truncated_bptt_steps 4
    }

    """

  private static func fixture() throws -> JSON {
    let path = Command.root + "/Tests/EndToEndTests/Fixtures/tbptt.json"
    return try JSON(parsing: Array(Data(contentsOf: URL(filePath: path))))
  }

  private static func numbers(_ json: JSON?) throws -> [Double] {
    try #require(json?.elements).compactMap(\.doubleValue)
  }

  private func folder(_ text: String = source) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", text)
    let bytes = try Self.numbers(Self.fixture()["text"]).map { UInt8($0) }
    try Data(bytes).write(to: URL(filePath: folder.file("text.txt")))
    return folder
  }

  private func train(
    _ folder: TemporaryFolder, _ precision: Precision, _ level: OptLevel? = nil, change: (inout Trainer) -> Void
  ) throws -> (model: Model, losses: [Double]) {
    var model = try Model(contentsOf: folder.file("m.ltm"))
    let shapes = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.shape) })
    for member in try #require(try Self.fixture()["first"]?.members) {
      let tensor = Tensor(try Self.numbers(member.value), shape: try #require(shapes[member.key]), dtype: .f64)
      try model.set([member.key: try #require(tensor)])
    }
    var trainer = try Trainer(precision: precision, ampLevel: level)
    change(&trainer)
    var losses: [Double] = []
    try trainer.fit(&model) { event in
      if case .step(let record) = event { losses.append(record.loss) }
    }
    return (model, losses)
  }

  @Test func isThatOfPyTorch() throws {
    let (folder, fixture) = (try folder(), try Self.fixture())
    let saved = folder.file("w.safetensors")
    let (model, losses) = try train(folder, .sixtyFour) { $0.savePath = saved }
    expectClose(losses, try Self.numbers(fixture["losses"]), .absolute(1e-10))
    for member in try #require(fixture["last"]?.members) {
      let weight = try #require(model.weights[member.key])
      expectClose(weight.doubles, try Self.numbers(member.value), .absolute(1e-10))
    }
    for (index, name) in ["h", "c"].enumerated() {
      let state = try TensorFile.read("\(saved):carry/\(name)")
      expectClose(state.doubles, try Self.numbers(fixture["state"]?[index]), .absolute(1e-10))
    }
  }

  /// In the middle of an epoch, with two batches an update too.
  @Test(arguments: [1, 2]) func isResumedBitForBit(_ window: Int) throws {
    let folder = try folder(Self.source.replacing("batch     2", with: "batch 2\n  accumulate \(window)"))
    func run(_ steps: Int, resume: String? = nil) throws -> Model {
      try train(folder, .sixteen, .O2) { trainer in
        (trainer.maxSteps, trainer.resumePath) = (steps, resume)
        trainer.savePath = folder.file("\(steps).safetensors")
      }.model
    }
    let whole = try run(9)
    _ = try run(3)
    #expect(try run(9, resume: folder.file("3.safetensors")).weights == whole.weights)
    let carried = try TensorFile.read("\(folder.file("3.safetensors")):carry/h")
    #expect(carried.dtype == .f32 && carried.doubles.contains { $0 != 0 })
  }

  @Test func theCommandReportsAndEvaluates() throws {
    let folder = try folder()
    let flags = ["--val-data", "text.txt", "--report", "bits"]
    let train = try Command(["train", "m.ltm", "--save", "w.safetensors"] + flags, in: folder.path)
    #expect(train.status == 0 && train.output.contains("val_bits"), "\(train.errors)")
    let eval = try Command(
      ["eval", "m.ltm", "--weights", "w.safetensors", "--report", "bits", "--window", "5"], in: folder.path)
    #expect(eval.status == 0 && !eval.errors.contains("warning"), "\(eval.errors)")
    #expect(try Command(["explain", "m.ltm", "--precision", "16"], in: folder.path).status == 0)
    #expect(try Command(["compile", "m.ltm", "--step", "--emit", "kernels"], in: folder.path).status == 0)
  }

  /// What stands in the model, flags, and what the message must say.
  static let mistakes: [(String, String, [String], String)] = [
    ("  truncated_bptt_steps 4\n", "", [], "'loss' hands 'h' from batch to batch"),
    ("minimize  loss", "minimize  bits", [], "'bits' carries nothing from batch to batch"),
    ("steps 4", "steps 9223372036854775807", [], "and a row takes 9223372036854775807"),
    ("", "", ["--window", "9"], "a row of 'text.txt' holds 9 places for 'text', and truncated_bptt_steps is 4"),
    ("", "", ["--keep-last-batch"], "and keep_last_batch takes them out of it"),
    ("", "", ["--val-split", "0.2", "--report", "bits"], "--val-split-by time keeps the last rows"),
    ("h: [1, B, 5], c: [1, B, 5]) ->", "h: [1, B, 5], c: i32[1, B, 5]) ->", [], "'loss' returns"),
  ]

  @Test(arguments: mistakes) func mistakesSayWhatToWrite(
    _ old: String, _ new: String, _ flags: [String], _ message: String
  ) throws {
    let text = old.isEmpty ? Self.source : Self.source.replacing(old, with: new)
    let folder = try folder(text)
    let command = try Command(["train", "m.ltm", "--max-steps", "1"] + flags, in: folder.path)
    #expect(command.status == 1 && command.errors.contains(message), "\(command.errors)")
  }
}
