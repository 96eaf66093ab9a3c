import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPrecision
import TestSupport
import Testing

@Suite("the training step on several replicas")
struct DataParallelTests {
  private func arguments(_ policy: PrecisionPolicy, rows: Int, seed: UInt64 = 11) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: seed)
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    let labels = (0..<rows).map { Double($0 * 2 % 3) }
    return [
      "x": try tensor(random.numbers(rows * 3), [rows, 3], dtype), "label": try tensor(labels, [rows], .i32),
    ]
  }

  /// The rows of a batch, dealt out in order.
  private func shares(_ batch: [String: Tensor], _ replicas: Int) throws -> [[String: Tensor]] {
    try (0..<replicas).map { replica in
      try batch.mapValues { whole in
        let rows = whole.shape[0] / replicas
        let size = whole.doubles.count / replicas
        return try tensor(
          Array(whole.doubles[replica * size..<(replica + 1) * size]), [rows] + whole.shape.dropFirst(), whole.dtype)
      }
    }
  }

  @Test(
    "makes the steps of one replica on the whole batch", arguments: ["64 O0", "32 O0", "16 O1", "16 O2", "bf16 O2"],
    [2, 3, 4])
  func agrees(_ line: String, _ replicas: Int) throws {
    let policy = try policy(line)
    var one = try StepMachine(step(smallLoss(batch: 12), policy, optimizer: adam), parameters: smallParameters())
    var several = try StepMachine(
      step(smallLoss(batch: 12 / replicas), policy, optimizer: adam, replicas: replicas), parameters: smallParameters())
    #expect(several.program.graph.verify(stage: [.afterCasts, .bound]) == [])
    let tolerance = line.hasPrefix("64") ? 1e-12 : line.hasPrefix("32") ? 1e-5 : line.hasPrefix("bf16") ? 3e-2 : 5e-3
    for index in 0..<3 {
      let batch = try arguments(policy, rows: 12, seed: UInt64(index))
      let (a, b) = (try one.run(batch)["loss"], try several.run(replicas: shares(batch, replicas))["loss"])
      let (x, y) = (try #require(a?.first), try #require(b?.first))
      expectClose(y, x, .relative(tolerance, least: 0), "try \(index): ")
    }
    #expect(try several.number(.step) == 3)
  }

  @Test(
    "the loss scale falls and rises as on one replica", arguments: ["16 O1", "16 O2"],
    [Replicas(count: 2), Replicas(count: 4), Replicas(count: 2, rank: 0), Replicas(count: 4, rank: 0)])
  func scales(_ line: String, _ replicas: Replicas) throws {
    let policy = try policy(line)
    func machine(_ rows: Int, _ replicas: Replicas) throws -> StepMachine {
      let cast = try insertCasts(smallLoss(batch: rows, isNormalized: false), policy).graph
      return try StepMachine(
        buildStep(loss: cast, optimizer: momentum, policy: policy, replicas: replicas), parameters: smallParameters())
    }
    var one = try machine(12, .one)
    var several = try machine(12 / replicas.count, replicas)
    var skips: [Double] = []
    for size in [1.0, 40, 3, 900, 0.5, 8, 200, 2] {
      // A row as large as that on one replica only: its part of the sums is as good as all.
      var batch = try arguments(policy, rows: 12, seed: UInt64(size * 2))
      let x = try #require(batch["x"])
      let values = x.doubles.enumerated().map { $0 >= 33 ? $1 * size : $1 }
      batch["x"] = try tensor(values, x.shape, x.dtype)
      let (a, b) = (try one.run(batch), try several.run(replicas: shares(batch, replicas.count)))
      #expect(a["found_inf"] == b["found_inf"], "of \(size)")
      skips += try #require(a["found_inf"])
      #expect(try one.number(.lossScale) == several.number(.lossScale))
    }
    #expect(skips.contains(1) && skips.contains(0), "\(skips)")
  }

  @Test("gradients of an accumulated step travel under the backward pass of its last micro-batch")
  func exchangeIsHidden() throws {
    let policy = try policy("32 O0")
    var rules = StepRules(optimizer: momentum, schedule: decay())
    rules.accumulation = 3
    // Each weight fills a bucket.
    let loss = try insertCasts(smallLoss(batch: 2, hidden: 3 << 20), policy).graph
    let program = try buildStep(loss: loss, rules: rules, policy: policy, replicas: Replicas(count: 2, rank: 0))
    let steps = try buildPlan(PassPipeline.lowering.run(program.graph, stage: [.afterCasts, .bound])).steps
    let kinds = steps.map(kind)
    let loop = try #require(kinds.firstIndex(of: "loop"))
    let start = try #require(kinds.firstIndex(of: "start"))
    let wait = try #require(kinds.firstIndex(of: "wait"))
    #expect(loop < start)
    #expect(kinds[start..<wait].count { $0 == "launch" } >= 2, "\(kinds)")
  }

  private func kind(_ step: PlanStep) -> String {
    switch step {
    case .launch: "launch"
    case .loop: "loop"
    case .start: "start"
    case .wait: "wait"
    }
  }

  @Test("what is not finite on one replica is skipped by all", arguments: ["32 O0", "16 O2", "bf16 O2"])
  func skips(_ line: String) throws {
    let policy = try policy(line, onNonfinite: .skip)
    var machine = try StepMachine(step(smallLoss(batch: 2), policy, replicas: 3), parameters: smallParameters())
    let before = machine.state
    var parts = try shares(arguments(policy, rows: 6), 3)
    let x = try #require(parts[2]["x"])
    parts[2]["x"] = try tensor([.infinity] + x.doubles.dropFirst(), x.shape, x.dtype)
    let outputs = try machine.run(replicas: parts)
    #expect(outputs["found_inf"] == [1])
    for slot in machine.program.slots where slot.role != .control {
      #expect(machine.state[slot.name] == before[slot.name], "\(slot.name)")
    }
    #expect(try machine.number(.step) == 0 && machine.number(.attempt) == 1)
    if case .dynamic(let numbers) = policy.level.lossScale {
      #expect(try machine.number(.lossScale) == numbers.initial * numbers.backoff)
    }
    parts[2]["x"] = x
    #expect(try machine.run(replicas: parts)["found_inf"] == [0])
    #expect(try machine.number(.step) == 1)
  }

  @Test("a gradient's mean does not overflow where no replica's does")
  func largeGradients() throws {
    let policy = try policy("32 O0")
    var machine = try StepMachine(
      step(productLoss(), policy, replicas: 4), parameters: ["w": [1e-38, 0], "seen": [0, 0]], rate: 1e-38)
    let batch = ["x": try tensor([3e38, 0], [2], .f32)]
    #expect(try machine.run(replicas: Array(repeating: batch, count: 4))["found_inf"] == [0])
    #expect(try machine.numbers("w").allSatisfy(\.isFinite))
  }

  @Test("layer state is the first replica's")
  func layerState() throws {
    let policy = try policy("64 O0")
    var machine = try StepMachine(
      step(productLoss(), policy, replicas: 2), parameters: ["w": [1, 2], "seen": [0, 0]])
    let outputs = try machine.run(
      replicas: [["x": tensor([1, 5], [2], .f64)], ["x": tensor([3, -7], [2], .f64)]])
    #expect(try machine.numbers("seen") == [1, 5])
    // The mean of (1 + 10) / 2 and (3 - 14) / 2.
    #expect(outputs["loss"] == [0])
    // The mean gradient is ((1 + 3) / 4, (5 - 7) / 4), the rate 0.1.
    #expect(try machine.numbers("w") == [1 - 0.1, 2 + 0.1 * 0.5])
  }

  @Test("one replica alone tells nobody anything", arguments: ["32 O0", "16 O2"])
  func alone(_ line: String) throws {
    let program = try step(smallLoss(), policy(line))
    #expect(program.graph.replicas == 1)
    #expect(!program.graph.nodes.contains { $0.op == .allReduce })
  }

  @Test("a program of several replicas cannot be evaluated for fewer")
  func strict() throws {
    let policy = try policy("32 O0")
    var machine = try StepMachine(
      step(smallLoss(batch: 2), policy, replicas: 2), parameters: smallParameters())
    let error = #expect(throws: (any Error).self) { _ = try machine.run(arguments(policy, rows: 2)) }
    #expect("\(try #require(error))".contains("2 replicas"))
  }
}
