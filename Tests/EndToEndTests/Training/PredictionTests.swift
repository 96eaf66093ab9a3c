import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// `ltm eval`, `ltm predict`, `ltm summary`, and the batch that a plan chooses.
@Suite struct PredictionTests {
  @Test func rowsArePredictedBatchByBatch() throws {
    let model = try Model(contentsOf: DigitsTests.sample, seed: 4)
    let trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
    let all = try trainer.predict(model, on: .train)
    #expect(all.map(\.name) == ["result"] && all[0].tensor.shape == [1437, 10])
    let image = try TensorFile.read("\(Command.root)/samples/data/digits.safetensors:x_train")
    let whole = try model.compile("forward", policy: trainer.policy, execution: trainer.execution)(["image": image])
    expectClose(all[0].tensor.doubles, whole[0].tensor.doubles, .absolute(2e-3))
  }

  @Test func theCommandWritesWhatTheEntryGives() throws {
    let folder = try TemporaryFolder()
    let outputs = ["y.csv", "y.npy", "y.safetensors"].map(folder.file)
    for output in outputs {
      let command = try Command(["predict", "samples/digits.ltm", "-o", output])
      #expect(command.status == 0, "\(command.errors)")
    }
    let array = try TensorFile.read(outputs[1])
    let other = try TensorFile.read(outputs[2] + ":result")
    #expect(array.shape == [360, 10] && array == other)
    let lines = try String(contentsOfFile: outputs[0], encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 361 && lines[0].hasPrefix("result_0,result_1,"))
    #expect(lines[1].split(separator: ",").compactMap { Float($0) } == array.doubles.prefix(10).map { Float($0) })
    let scalar = try Command(["predict", "samples/digits.ltm", "--entry", "accuracy", "-o", folder.file("a.npy")])
    #expect(scalar.status == 1 && scalar.errors.contains("does not give a result for each row"), "\(scalar.errors)")
  }

  /// The file to predict holds other texts than the one that was trained on: each keeps its number.
  @Test func categoriesAreThoseOfTraining() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      "m.ltm",
      """
      model M() {
        let table = Embedding(4, 1)
        func forward(color: i32[B]) -> [B] { return squeeze(table(color), axis: 1) }
        func loss(color: i32[B], y: [B]) -> [] { return mse_loss(forward(color), y) }
      }
      train M {
        data      "a.csv"
        minimize  loss
        optimizer SGD(lr: 0.1)
        batch     4
        epochs    2
      }
      """)
    try folder.write("a.csv", "color,y\nred,1\ngreen,2\nblue,3\nred,1\n")
    try folder.write("b.csv", "color,y\nred,1\nblue,3\n")
    try folder.write("c.csv", "color,y\npink,1\nred,1\n")
    func run(_ arguments: [String]) throws -> Command { try Command(arguments, in: folder.path) }
    let train = try run(["train", "m.ltm", "--save", "w.safetensors", "--quiet"])
    #expect(train.status == 0, "\(train.errors)")
    let rows = try TensorFile.read("\(folder.file("w.safetensors")):table.weight").doubles
    func predict(_ data: String, _ flags: [String] = []) throws -> [Double] {
      let flags = ["--weights", "w.safetensors", "--data", data, "-o", "y.npy"] + flags
      let command = try run(["predict", "m.ltm"] + flags)
      #expect(command.status == 0, "\(command.errors)")
      return try TensorFile.read(folder.file("y.npy")).doubles
    }
    #expect(try predict("b.csv") == [rows[2], rows[0]])
    #expect(try predict("c.csv", ["--unseen", "last"]) == [rows[3], rows[2]])
    #expect(try predict("c.csv", ["--unseen", "drop"]) == [rows[2]])
    let again = ["--resume", "w.safetensors", "--epochs", "3", "--quiet"]
    let others = [["eval", "m.ltm", "--weights", "w.safetensors", "--report", "loss"], ["train", "m.ltm"] + again]
    for command in others {
      let refused = try run(command + ["--data", "c.csv"])
      #expect(refused.status == 1, "\(command)")
      #expect(
        refused.errors.contains("c.csv:2:1: 'pink' in column 'color' is no category that training saw"),
        "\(refused.errors)")
    }
    let known = try run(["train", "m.ltm", "--val-data", "c.csv", "--epochs", "1"])
    #expect(known.status == 1 && known.errors.contains("'pink' in column 'color'"), "\(known.errors)")
    var model = try Model(contentsOf: folder.file("m.ltm"))
    try model.load(weightsFrom: folder.file("w.safetensors"))
    #expect(model.categories == ["color": ["blue", "green", "red"]])
  }

  @Test func evaluationIsThatOfTraining() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("w.safetensors")
    let flags = ["--report", "accuracy", "--report", "loss", "--json"]
    let train = try Command(["train", "samples/digits.ltm", "--epochs", "1", "--save", saved] + flags)
    #expect(train.status == 0, "\(train.errors)")
    let reports = try #require(try JSON(parsing: Array(train.output.utf8))["reports"])
    let eval = try Command(["eval", "samples/digits.ltm", "--weights", saved] + flags)
    let values = try JSON(parsing: Array(eval.output.utf8))
    #expect(values["test_accuracy"] == reports["accuracy"] && values["test_loss"] == reports["loss"], "\(eval.output)")
    let other = try Command(["eval", "samples/digits.ltm", "--weights", saved, "--on", "dev"])
    #expect(other.status == 1 && other.errors.contains("--on is train, val or test, not 'dev'"), "\(other.errors)")
    let split = try Command(["eval", "samples/digits.ltm", "--weights", saved, "--on", "val", "--val-split", "0.1"])
    #expect(split.status == 0 && split.output.hasPrefix("val_accuracy "), "\(split.errors)")
  }

  @Test func theTableAddsUp() throws {
    let summary = try Command(["summary", "samples/digits.ltm", "--entry", "forward", "--dim", "B=8", "--json"])
    #expect(summary.status == 0, "\(summary.errors)")
    let layers = try #require(try JSON(parsing: Array(summary.output.utf8))["layers"]?.elements)
    #expect(layers.compactMap { $0["layer"]?.stringValue } == ["fc1", "", "fc2"])
    #expect(layers[0]["weights"]?.intValue == 64 * 128 + 128)
    // Products and sums, and the bias.
    #expect(layers[0]["operations"]?.intValue == 8 * 128 * (2 * 64 + 1))
    #expect(layers[0]["weight_bytes"]?.intValue == 4 * (64 * 128 + 128))
    let text = try Command(["summary", "samples/lstm.ltm", "--precision", "16", "--amp-level", "O2"])
    #expect(text.output.contains("lstm ") && text.output.contains("O3 "), "\(text.output)\(text.errors)")
  }

  @Test func theLargestBatchFits() throws {
    let model = try Model(contentsOf: DigitsTests.sample)
    let trainer = try Trainer()
    #expect(try trainer.largestBatch(model) == 1024)
    let small = try trainer.largestBatch(model, within: 400_000)
    #expect(small >= 1 && small < 1024)
    let error = #expect(throws: LTMError.self) { try trainer.largestBatch(model, within: 1000) }
    #expect(try #require(error).description.contains("not even a batch of 1 fits"))
  }
}
