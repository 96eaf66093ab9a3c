import LTMHLO
import LTMIR
import LTMPrecision
import TestSupport
import Testing

@Suite("the training step as StableHLO", .enabled(if: StableHLOTools.missing == nil, "\(StableHLOTools.missing ?? "")"))
struct StepTests {
  @Test("of the digits sample parses and verifies at every level")
  func verifies() throws {
    let jobs = try DigitsStep.policies.map { line in
      Job(name: line, module: try stableHLO(DigitsStep(line, hidden: 128, batch: 64).graph), run: false)
    }
    let outcomes = try StableHLOTools.evaluate(jobs)
    for job in jobs {
      #expect(
        outcomes[job.name] != nil && outcomes[job.name]?.error == nil, "\(job.name): \(outcomes[job.name]?.error ?? "")"
      )
    }
  }

  @Test("in small gives two steps in StableHLO's interpreter as in ours", arguments: [1, 2])
  func twoSteps(replicas: Int) throws {
    var steps = try DigitsStep.policies.map {
      (line: $0, step: try DigitsStep($0, hidden: 4, batch: 3, replicas: replicas))
    }
    for index in 0..<2 {
      let outcomes = try StableHLOTools.evaluate(steps.map { line, step in try job(line, step, index) })
      for (position, (line, step)) in steps.enumerated() {
        let outcome = try #require(outcomes[line])
        #expect(outcome.error == nil, "\(line): \(outcome.error ?? "")")
        let expected = try step.interpreted(index)
        let found = try #require(outcome.outputs)
        let count = step.graph.outputs.count
        try #require(found.count == replicas * count)
        for (position, array) in found.enumerated() {
          let output = step.graph.outputs[position % count]
          let (a, b) = (try #require(expected[output.name]), try #require(array.tensor))
          let tolerance = Tolerance.relative((step.half ?? a.dtype).tolerance)
          expectClose(b, a, tolerance, "\(line), replica \(position / count), \(output.name): ")
        }
        steps[position].step.accept(expected)
      }
    }
  }

  /// Updates with matrices, factored and scalar states, clips, averages and a loop over micro-batches.
  static let rules = [
    ["optimizer Muon(lr: 1e-2)", "clip norm(0.5)", "average ema(0.9)"],
    ["optimizer Adafactor(lr: 1e-2)", "schedule one_cycle()", "accumulate 2"],
    ["optimizer NAdam(lr: 1e-2)", "schedule plateau(patience: 1)", "clip value(0.01)", "freeze \"fc1\""],
    ["optimizer SGD(lr: 0.1, momentum: 0.9)", "group \"**.bias\" { momentum: 0 }", "average swa()", "accumulate 3"],
  ]

  @Test("with other rules gives two steps as in our interpreter", arguments: rules)
  func otherRules(_ lines: [String]) throws {
    var steps = try ["32 O0", "16 O2", "bf16 O1"].map { line in
      (line: line, step: try DigitsStep(line, hidden: 4, batch: 3, rate: 1e-2, lines: lines))
    }
    for index in 0..<2 {
      let outcomes = try StableHLOTools.evaluate(steps.map { line, step in try job(line, step, index) })
      for (position, (line, step)) in steps.enumerated() {
        let outcome = try #require(outcomes[line])
        #expect(outcome.error == nil, "\(line): \(outcome.error ?? "")")
        let expected = try step.interpreted(index)
        for (output, array) in zip(step.graph.outputs, try #require(outcome.outputs)) {
          let (a, b) = (try #require(expected[output.name]), try #require(array.tensor))
          let tolerance = Tolerance.relative(4 * (step.half ?? a.dtype).tolerance)
          expectClose(b, a, tolerance, "\(line), \(output.name): ")
        }
        steps[position].step.accept(expected)
      }
    }
  }

  private func job(_ line: String, _ step: DigitsStep, _ index: Int) throws -> Job {
    let replicas = step.graph.replicas
    let given = try (0..<replicas).flatMap { replica in
      let inputs = try step.inputs(index * replicas + replica)
      return step.graph.inputs.compactMap { inputs[$0.name].map(Job.Array.init) }
    }
    return Job(name: line, module: try stableHLO(step.graph), replicas: replicas, inputs: given)
  }
}
