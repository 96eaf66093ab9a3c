import LTMFrontEnd
import LTMIR
import Testing

@Suite struct SampleTests {
  @Test(arguments: ["digits.ltm", "gpt.ltm", "lstm.ltm", "mlp.ltm", "norm.ltm", "tour.ltm"])
  func everyEntryElaboratesAndVerifies(name: String) throws {
    let file = try sample(name)
    let program = try file.instantiate(model: try #require(file.mainModel))
    for entry in program.entries {
      for training in [false, true] {
        let graph = try program.graph(entry: entry.name, training: training)
        let violations = graph.verify()
        #expect(violations.isEmpty, "\(violations)")
      }
    }
  }
}
