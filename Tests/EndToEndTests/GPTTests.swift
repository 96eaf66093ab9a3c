import LTM
import LTMIR
import TestSupport
import Testing

/// The sample that reads text with attention, trained and run as a whole.
@Suite struct GPTTests {
  static let sample = Command.root + "/samples/gpt.ltm"

  private func model(depth: ModelArgument = 2) throws -> Model {
    try Model(contentsOf: Self.sample, arguments: ["dim": 64, "depth": depth], seed: 1)
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
    #expect(bits > 3 && bits < 4.3, "\(bits)")
  }

  @Test("equal blocks are planned once, forward and backward") func blocks() throws {
    func plan(_ depth: ModelArgument) throws -> [Substring] {
      let policy = try PrecisionPolicy(.bf16, level: .O2)
      let compilation = Compilation(model: try model(depth: depth), policy: policy, isTrainingStep: true)
      return try #require(try compilation.emit(.kernels).text).split(separator: "\n")
    }
    let (few, many) = (try plan(8), try plan(12))
    func count(_ lines: [Substring], _ word: String) -> Int { lines.count { $0.hasPrefix(word) } }
    #expect(count(many, "kernel @") == count(few, "kernel @") && count(few, "body @") >= 2)
    #expect(count(many, "body @") == count(few, "body @"))
  }
}
