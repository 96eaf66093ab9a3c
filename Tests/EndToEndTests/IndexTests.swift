import Foundation
import LTM
import TestSupport
import Testing

/// Indices outside of what they point into: an error where they are known, counted and said where they are computed.
@Suite struct IndexTests {
  private static func source(_ index: String, result: String = "mean(square(table(place)))") -> String {
    """
    model M() {
      let table = Embedding(4, 2)
      let out = Linear(2, 3)
      state turn: i32[] = zeros()
      func loss(x: [B, 2], label: i32[B]) -> [] {
        turn <- turn + 1
        let place = \(index)
        return \(result) + 0 * mean(x)
      }
      func forward(x: [B, 2], label: i32[B]) -> [] {
        let place = \(index)
        return \(result) + 0 * mean(x)
      }
    }
    train M {
      minimize  loss
      report    forward
      optimizer SGD(lr: 0.1)
      batch     4
      epochs    2
    }

    """
  }

  private static func data(labels: [Double] = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]) throws -> TrainingData {
    let x = try #require(Tensor([Float](repeating: 1, count: 24), shape: [12, 2]))
    let label = try #require(Tensor(labels, shape: [12], dtype: .i32))
    return TrainingData(train: ["x": x, "label": label], test: ["x": x, "label": label])
  }

  private func model(_ folder: borrowing TemporaryFolder, _ source: String) throws -> Model {
    try Model(contentsOf: try folder.write("model.ltm", source))
  }

  /// The state counts 1 to 6 in two epochs of three batches.
  @Test(arguments: [["32", "O0"], ["16", "O2"], ["bf16", "O3"]])
  func aStateIsCounted(_ flags: [String]) throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source("turn"))
    let trainer = Trainer(
      policy: try PrecisionPolicy(precision: flags[0], level: flags[1]), execution: try Execution())
    let result = try trainer.fit(&model, data: Self.data())
    let step = try #require(result.warnings.first)
    // A skipped step reads the same row again.
    let outside = 3 - result.skipped
    #expect(step.message == "\(outside) indices of 'gather' lay outside of its 4 rows in this run")
    #expect(step.rendered().contains("model.ltm:8:"), "\(step.rendered())")
    #expect(step.notes.first == "an index outside reads the nearest row; valid are 0 to 3")
  }

  @Test("arithmetic on an argument is counted, in an entry too")
  func arithmeticIsCounted() throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source("label + 2"))
    let data = try Self.data()
    let result = try Trainer().fit(&model, data: data)
    // Two of every four, in 24 rows of training and twice 12 rows of the report.
    #expect(result.warnings.map(\.message).first == "12 indices of 'gather' lay outside of its 4 rows in this run")
    let entry = try model.compile("forward")
    let results = try entry(data.test)
    #expect(results.count == 1)
    #expect(entry.warnings.map(\.message) == ["6 indices of 'gather' lay outside of its 4 rows in this run"])
  }

  @Test("labels that are computed are counted as classes")
  func labelsAreCounted() throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source("label + 1", result: "cross_entropy(out(x), place)"))
    let result = try Trainer().fit(&model, data: Self.data())
    let warning = try #require(result.warnings.first)
    #expect(warning.message == "12 indices of 'cross_entropy' lay outside of its 3 classes in this run")
    #expect(warning.notes == ["a label outside adds 0 to the loss, and has no gradient; valid are 0 to 2"])
  }

  @Test(
    "what is inside is not spoken of", arguments: ["label", "maximum(minimum(label + 9, 3), 0)", "argmax(x, axis: 1)"])
  func insideIsSilent(index: String) throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source(index))
    #expect(try Trainer().fit(&model, data: Self.data()).warnings.isEmpty)
  }

  @Test("an argument outside is refused, in the data of the report too")
  func argumentsAreRefused() throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source("label"))
    let wrong = try Self.data(labels: [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 4])
    #expect(throws: LTMError.self) { try Trainer().fit(&model, data: wrong) }
    #expect(throws: LTMError.self) { try model.compile("forward")(wrong.test) }
  }

  @Test(
    "a known index outside is an error before anything runs, with its place",
    arguments: ["iota([8], axis: 0)", "iota([B], axis: 0) + 1"])
  func knownIsAnError(index: String) throws {
    let folder = try TemporaryFolder()
    var model = try model(folder, Self.source(index))
    let error = #expect(throws: LTMError.self) { try Trainer().fit(&model, data: Self.data()) }
    let text = try #require(error).description
    #expect(
      text.contains("model.ltm:8:") && text.contains("'gather' has 4 rows") && text.contains("outside"), "\(text)")
  }
}
