import LTM
import Synchronization
import TestSupport
import Testing

/// The sample on the digits: what the README promises.
@Suite struct DigitsTests {
  static let sample = Command.root + "/samples/digits.ltm"

  static let recipes: [(Precision, OptLevel)] = [
    (.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.bf16, .O1), (.bf16, .O2), (.bf16, .O3),
  ]

  static func accuracy(_ precision: Precision, _ level: OptLevel, seed: UInt64) throws -> Double {
    var model = try Model(contentsOf: sample, seed: seed)
    let result = try Trainer(precision: precision, ampLevel: level).fit(&model)
    return try #require(result.report)
  }

  @Test(arguments: recipes) func trainsAtEveryLevel(_ precision: Precision, _ level: OptLevel) throws {
    let accuracies = try (0..<3).map { try Self.accuracy(precision, level, seed: UInt64($0)) }
    #expect(accuracies.reduce(0, +) / 3 >= 0.965, "\(accuracies)")
    #expect(accuracies.allSatisfy { $0 >= 0.955 }, "\(accuracies)")
  }

  @Test func sameBitsForAnyNumberOfThreads() throws {
    for level in [OptLevel.O1, .O2] {
      let weights = try [1, 2, 3].map { threads in
        var model = try Model(contentsOf: Self.sample, seed: 1)
        var trainer = try Trainer(precision: .sixteen, ampLevel: level, execution: Execution(threads: threads))
        trainer.maxEpochs = 2
        try trainer.fit(&model)
        return model.weights
      }
      #expect(weights[0] == weights[1])
      #expect(weights[0] == weights[2])
    }
  }

  @Test(arguments: [(Precision.thirtyTwo, OptLevel.O0), (.sixteen, .O2), (.bf16, .O3)])
  func resumesBitForBit(_ precision: Precision, _ level: OptLevel) throws {
    let folder = try TemporaryFolder()
    func train(_ steps: Int, save: String? = nil, resume: String? = nil) throws -> [String: Tensor] {
      var model = try Model(contentsOf: Self.sample, seed: 1)
      var trainer = try Trainer(precision: precision, ampLevel: level)
      trainer.maxEpochs = 3
      trainer.savePath = save
      trainer.resumePath = resume
      // Stopping keeps the schedule of the whole run; the step limit would change its length.
      let counter = Counter(limit: steps)
      trainer.stopRequested = { counter.count() }
      try trainer.fit(&model)
      return model.weights
    }
    let whole = try train(1000)
    _ = try train(30, save: folder.file("half.safetensors"))
    let resumed = try train(1000, resume: folder.file("half.safetensors"))
    #expect(whole == resumed)
  }

  @Test func pureHalfWarnsOfAdamsEpsilon() throws {
    var model = try Model(contentsOf: Self.sample)
    var trainer = try Trainer(precision: .sixteen, ampLevel: .O3)
    trainer.maxSteps = 1
    var warnings: [String] = []
    _ = try? trainer.fit(&model) {
      if case .started(let overview) = $0 { warnings = overview.warnings.map { $0.rendered() } }
    }
    #expect(warnings.contains { $0.contains("1e-08") && $0.contains("f16") }, "\(warnings)")
  }
}

/// Counts calls; says yes from the limit on.
final class Counter: Sendable {
  private let calls: Mutex<Int>
  private let limit: Int
  init(limit: Int) {
    self.limit = limit
    calls = Mutex(0)
  }
  func count() -> Bool {
    calls.withLock {
      $0 += 1
      return $0 >= limit
    }
  }
}
