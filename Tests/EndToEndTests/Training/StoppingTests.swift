import Foundation
import LTM
import TestSupport
import Testing

/// When a run ends before its last step, and what it keeps.
@Suite struct StoppingTests {
  /// A metric that is best at once, for it never moves.
  private func fit(
    _ change: (inout Trainer) -> Void, epochs: Int = 20
  ) throws -> (result: TrainingResult, validations: [ValidationRecord]) {
    var model = try Model(text: ValidationTests.source)
    var trainer = try Trainer()
    trainer.maxEpochs = epochs
    change(&trainer)
    var validations: [ValidationRecord] = []
    let data = try TrainingData(train: ValidationTests.rows(40), validation: ValidationTests.rows(8, from: 40))
    let result = try trainer.fit(&model, data: data) { event in
      if case .validation(let record) = event { validations.append(record) }
    }
    return (result, validations)
  }

  @Test func patienceEndsIt() throws {
    let (result, validations) = try fit { trainer in
      (trainer.options.monitor, trainer.options.monitorMode) = ("val_largest", .max)
      trainer.options.patience = 3
    }
    #expect(validations.map(\.isBest) == [true, false, false, false])
    #expect(result.steps == 40 && result.best?.step == 10 && !result.wasStopped)
    #expect(result.ending?.contains("val_largest was not better in 3 validations in a row") == true)
  }

  @Test func theLeastIsTrainedAllTheSame() throws {
    for (epochs, steps, expected) in [(7, nil, 70), (nil, 55, 55), (nil, nil, 20)] as [(Int?, Int?, Int)] {
      let (result, _) = try fit { trainer in
        (trainer.options.monitor, trainer.options.monitorMode, trainer.options.patience) = ("val_largest", .max, 1)
        (trainer.options.minEpochs, trainer.options.minSteps) = (epochs, steps)
      }
      #expect(result.steps == expected)
    }
  }

  @Test func theLeastDifferenceCounts() throws {
    let (result, _) = try fit { trainer in
      (trainer.options.monitor, trainer.options.patience, trainer.options.minDelta) = ("val_error", 2, 1e9)
    }
    #expect(result.steps == 30)
    let (long, _) = try fit(
      { trainer in
        (trainer.options.monitor, trainer.options.patience) = ("train_loss", 2)
      }, epochs: 5)
    #expect(long.steps == 50 && long.ending == nil)
  }

  @Test func timeEndsIt() throws {
    let (result, _) = try fit({ $0.options.maxTime = 0.05 }, epochs: 1_000_000)
    #expect(result.ending?.contains("0.05 s") == true)
  }

  @Test func whichWayIsBetterMustBeKnown() throws {
    let error = #expect(throws: LTMError.self) { try fit { $0.options.monitor = "val_largest" } }
    #expect(try #require(error).description.contains("--monitor-mode min, or max"))
  }

  @Test func aMetricThatIsNoNumberIsSaid() throws {
    let text = ValidationTests.source.replacing("max(abs(y))", with: "mean(log(0 - abs(y)))")
    var model = try Model(text: text)
    var trainer = try Trainer()
    (trainer.options.monitor, trainer.options.monitorMode, trainer.options.patience) = ("val_largest", .min, 2)
    var warnings: [String] = []
    let data = try TrainingData(train: ValidationTests.rows(40), validation: ValidationTests.rows(8, from: 40))
    let result = try trainer.fit(&model, data: data) { event in
      if case .warning(let warning) = event { warnings.append(warning.message) }
    }
    #expect(warnings == ["val_largest is not a number after step 10"])
    #expect(result.steps == 20 && result.best == nil)
  }

  // MARK: A schedule that observes

  /// The rates of the steps of four epochs of ten.
  private func rates(_ schedule: String, _ change: (inout TrainingOptions) -> Void) throws -> [Double] {
    var model = try Model(text: ValidationTests.source)
    try model.setTrainLine("schedule \(schedule)")
    var trainer = try Trainer(precision: .sixtyFour)
    trainer.maxEpochs = 4
    change(&trainer.options)
    var rates: [Double] = []
    let data = try TrainingData(train: ValidationTests.rows(40), validation: ValidationTests.rows(8, from: 40))
    try trainer.fit(&model, data: data) { event in
      if case .step(let record) = event { rates.append(record.values.first { $0.name == "lr" }?.value ?? .nan) }
    }
    return rates
  }

  /// A metric that never moves is never better, while the training loss falls.
  @Test func plateauWatchesWhatIsMonitored() throws {
    let every = try rates("plateau(factor: 0.5, patience: 0)") { options in
      (options.monitor, options.monitorMode, options.valCheckInterval) = ("val_largest", .min, 5)
    }
    let halved = (0..<40).map { (step: Int) -> Double in 0.05 * pow(0.5, Double(max(step / 5 - 1, 0))) }
    #expect(every == halved)
    let patient = try rates("plateau(factor: 0.5, patience: 1, larger_is_better: true)") { options in
      (options.monitor, options.monitorMode) = ("val_largest", .max)
    }
    let once = Array(repeating: 0.05, count: 30) + Array(repeating: 0.025, count: 10)
    #expect(patient == once)
    let ofLoss = try rates("plateau(factor: 0.5, patience: 0)") { _ in }
    #expect(ofLoss == Array(repeating: 0.05, count: 40))
  }

  @Test func plateauAndMonitorMustWantTheSame() throws {
    let accuracy = #expect(throws: LTMError.self) {
      try rates("plateau()") { ($0.monitor, $0.monitorMode) = ("val_largest", .max) }
    }
    #expect(try #require(accuracy).description.contains("write plateau(larger_is_better: true)"))
    let loss = #expect(throws: LTMError.self) { try rates("plateau(larger_is_better: true)") { _ in } }
    #expect(try #require(loss).description.contains("'plateau' waits for a larger train_loss"))
  }

  // MARK: Checkpoints

  @Test func theBestAreKept() throws {
    let folder = try TemporaryFolder()
    let (result, validations) = try fit(
      { trainer in
        trainer.options.monitor = "val_error"
        (trainer.options.saveDir, trainer.options.saveTopK) = (folder.path, 2)
        trainer.options.saveName = "{step}-{val_error:.5f}"
      }, epochs: 6)
    let best = validations.sorted { $0.reports[0].value < $1.reports[0].value }.prefix(2).map { "step=\($0.step)-" }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("step") }
    #expect(names.count == 2 && best.allSatisfy { prefix in names.contains { $0.hasPrefix(prefix) } }, "\(names)")
    #expect(result.best?.value == validations.map(\.reports[0].value).min())
  }

  /// Weights, states and what the loop carries are as if nothing had happened; from the best one the run goes on from there.
  @Test(arguments: ["last", "best"]) func isResumedBitForBit(_ from: String) throws {
    let folder = try TemporaryFolder()
    func run(_ folder: String, resume: String? = nil, stop: Int? = nil) throws -> (Model, TrainingResult) {
      var model = try Model(contentsOf: DigitsTests.sample, seed: 3)
      var trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
      (trainer.maxEpochs, trainer.resumePath) = (4, resume)
      (trainer.options.valSplit, trainer.options.monitor) = (0.2, "val_loss")
      (trainer.options.saveDir, trainer.options.saveTopK, trainer.options.valCheckInterval) = (folder, 1, 7)
      let counter = Counter(limit: stop ?? .max)
      trainer.stopRequested = { counter.count() }
      let result = try trainer.fit(&model)
      return (model, result)
    }
    let (whole, result) = try run(folder.file("a"))
    _ = try run(folder.file("b"), stop: 31)
    let (resumed, again) = try run(folder.file("b"), resume: from)
    #expect(resumed.weights == whole.weights)
    #expect(again.best?.value == result.best?.value && again.best?.step == result.best?.step)
  }

  @Test func withoutACheckpointItStartsAnew() throws {
    let folder = try TemporaryFolder()
    let command = try Command([
      "train", "samples/digits.ltm", "--max-steps", "2", "--save-dir", folder.file("new"), "--resume", "last",
    ])
    #expect(command.status == 0 && command.errors.contains("training starts anew"), "\(command.errors)")
  }
}
