import LTM
import LTMIR
import TestSupport
import Testing

/// The sample that reads text: recurrence with symbolic sizes, trained and run as a whole.
@Suite struct LSTMTests {
  static let sample = Command.root + "/samples/lstm.ltm"

  private func model() throws -> Model {
    try Model(contentsOf: Self.sample, arguments: ["hidden": 48, "features": 16], seed: 1)
  }

  /// By how often each occurs, the text's bytes take 4.84 bits.
  @Test(
    arguments: [
      (Precision.thirtyTwo, OptLevel.O0), (.sixteen, .O1), (.sixteen, .O2), (.bf16, .O1), (.bf16, .O2),
    ] as [(Precision, OptLevel)])
  func trainsAtEveryLevel(_ precision: Precision, _ level: OptLevel) throws {
    var model = try model()
    var trainer = try Trainer(precision: precision, ampLevel: level)
    trainer.maxEpochs = 2
    trainer.batchSize = 16
    let bits = try #require(try trainer.fit(&model).report)
    #expect(bits > 3 && bits < 4.1, "\(bits)")
  }

  @Test func aReportInPartsIsThatOfTheWhole() throws {
    let model = try model()
    let text = try TensorFile.read(Self.sample.replacing("lstm.ltm", with: "data/pages.safetensors") + ":text_test")
    let entry = try model.compile("bits", precision: .sixtyFour)
    let whole = try #require(try entry(["text": text]).first?.tensor.doubles.first)
    var trainer = try Trainer(precision: .sixtyFour)
    trainer.maxEpochs = 1
    trainer.batchSize = 300
    trainer.learningRate = 0
    var trained = model
    let report = try #require(try trainer.fit(&trained).report)
    #expect(abs(whole - report) < 1e-9, "\(whole) \(report)")
  }

  @Test("a step at a time gives what all steps at once give") func steps() throws {
    let model = try model()
    let (forward, step) = (
      try model.compile("forward", precision: .sixtyFour), try model.compile("step", precision: .sixtyFour)
    )
    let bytes = Array("[B, T] -> [B]".utf8).map(Double.init)
    let text = try #require(Tensor(bytes, shape: [1, bytes.count], dtype: .i32))
    let all = try #require(try forward(["text": text]).first?.tensor).doubles
    var state = [try #require(Tensor([Double](repeating: 0, count: 48), shape: [1, 1, 48], dtype: .f64))]
    state.append(state[0])
    for (index, byte) in bytes.enumerated() {
      let results = try step([
        "text": try #require(Tensor([byte], shape: [1, 1], dtype: .i32)), "h": state[0], "c": state[1],
      ])
      expectClose(results[0].tensor.doubles, Array(all[index * 256..<(index + 1) * 256]), .absolute(1e-12))
      state = results.dropFirst().map(\.tensor)
    }
  }
}
