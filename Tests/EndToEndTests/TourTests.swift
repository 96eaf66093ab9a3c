import LTM
import TestSupport
import Testing

/// `samples/tour.ltm`: layers with states, lists, tuples, a pinned dtype, an optimizer and a schedule of one's own.
@Suite struct TourTests {
  static let sample = Command.root + "/samples/tour.ltm"

  static let recipes: [(Precision, OptLevel)] = [
    (.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.sixteen, .O3), (.bf16, .O2),
  ]

  @Test(arguments: recipes) func trainsAtEveryLevel(_ precision: Precision, _ level: OptLevel) throws {
    var model = try Model(contentsOf: Self.sample)
    let result = try Trainer(precision: precision, ampLevel: level).fit(&model)
    #expect(try #require(result.report) >= 0.97)
    // The state counted every step: what it is in f16 would end at 2048.
    #expect(model.weights["stem.3.steps"]?.doubles == [Double(result.steps)])
  }

  @Test func targetsAgree() throws {
    let losses = try [Target.cpu, .interpreter].map { target in
      var model = try Model(contentsOf: Self.sample)
      var trainer = try Trainer(precision: .bf16, ampLevel: .O1, execution: Execution(target: target))
      trainer.maxSteps = 3
      trainer.batchSize = 16
      return try trainer.fit(&model).loss
    }
    expectClose(losses[0], losses[1], .absolute(1e-2))
  }
}
