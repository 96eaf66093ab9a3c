import LTMHLO
import LTMIR
import LTMPrecision
import Testing

@Suite("the training step as StableHLO", .enabled(if: Tools.missing == nil, "\(Tools.missing ?? "")"))
struct StepTests {
  @Test("of the digits sample parses and verifies at every level")
  func verifies() throws {
    let jobs = try DigitsStep.policies.map { line in
      Job(name: line, module: try stableHLO(DigitsStep(line, hidden: 128, batch: 64).graph), run: false)
    }
    let outcomes = try Tools.evaluate(jobs)
    for job in jobs {
      #expect(
        outcomes[job.name] != nil && outcomes[job.name]?.error == nil, "\(job.name): \(outcomes[job.name]?.error ?? "")"
      )
    }
  }

  @Test("in small gives two steps in StableHLO's interpreter as in ours")
  func twoSteps() throws {
    var steps = try DigitsStep.policies.map { (line: $0, step: try DigitsStep($0, hidden: 4, batch: 3)) }
    for index in 0..<2 {
      let outcomes = try Tools.evaluate(
        steps.map { line, step in
          let inputs = try step.inputs(index)
          return Job(
            name: line, module: try stableHLO(step.graph),
            inputs: step.graph.inputs.compactMap { inputs[$0.name].map(Job.Array.init) })
        })
      for (position, (line, step)) in steps.enumerated() {
        let outcome = try #require(outcomes[line])
        #expect(outcome.error == nil, "\(line): \(outcome.error ?? "")")
        let expected = try step.interpreted(index)
        for (output, found) in zip(step.graph.outputs, try #require(outcome.outputs)) {
          let (a, b) = (try #require(expected[output.name]), try #require(found.tensor))
          #expect(a.dtype == b.dtype && a.shape == b.shape, "\(line) \(output.name)")
          let tolerance = (step.half ?? a.dtype).tolerance
          for (x, y) in zip(a.doubles, b.doubles) {
            #expect(agree(x, y, tolerance), "\(line) \(output.name): \(x), \(y)")
          }
        }
        steps[position].step.accept(expected)
      }
    }
  }
}
