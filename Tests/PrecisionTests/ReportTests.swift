import LTMIR
import LTMPrecision
import LTMSupport
import Testing

@Suite("lint, explain, blame")
struct ReportTests {
  @Test func adamsEpsIsZeroInF16AtO3AndTheLineIsNamed() throws {
    let program = try step(smallLoss(), policy("16 O3"), optimizer: adam)
    let text = program.warnings.map { $0.rendered() }
    #expect(text.count == 1)
    #expect(text.first?.hasPrefix("train.ltm:21:40: warning: Adam: 1e-08 (an operand of add) is 0 in f16") == true)
  }

  @Test("elsewhere eps is kept", arguments: ["16 O2", "16 O1", "bf16 O3", "32 O0", "64 O0"])
  func epsElsewhere(_ line: String) throws {
    #expect(try step(smallLoss(), policy(line), optimizer: adam).warnings.isEmpty)
  }

  @Test(
    "a mask that f16 cannot hold is an error, an infinity is not",
    arguments: [(-1e9, true), (-.infinity, false), (-6e4, false)])
  func mask(_ number: Double, _ isError: Bool) throws {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [4]), role: .argument)
    let w = b.input("w", TensorType(.float, [4]), role: .parameter)
    b.location = Location(path: "model.ltm", line: 12, column: 30)
    let masked = b.select(b.make(.less, [x, w]), b.mul(x, w), b.fill(number, like: x))
    b.output("result", b.sum(b.make(.softmax, [masked], ["axis": .int(0)]), [0]))
    let findings = representability(of: try insertCasts(b.graph, policy("16 O2")).graph)
    #expect(findings.map(\.severity) == (isError ? [.error] : []))
    if isError {
      #expect(
        findings[0].rendered().hasPrefix("model.ltm:12:30: error: -1000000000 (an operand of where) is infinite in f16")
      )
      #expect(throws: DiagnosticSet.self) { try step(b.graph, policy("16 O2")) }
    }
    #expect(representability(of: try insertCasts(b.graph, policy("bf16 O2")).graph).isEmpty)
  }

  @Test("explain, as a user reads it", arguments: ["16 O1", "16 O2"])
  func explain(_ line: String) throws {
    let policy = try policy(line)
    let cast = try insertCasts(smallLoss(), policy)
    let report = ExplainReport(cast, policy: policy, bytes: [("weight_bytes", 72)])
    let name = "explain-" + line.replacing(" ", with: "-")
    try expectGolden(report.text, ownGoldens.appending(path: "\(name).txt"))
    try expectGolden(report.json.text(indent: 2) + "\n", ownGoldens.appending(path: "\(name).json"))
  }

  private func blamed(
    _ graph: Graph, _ policy: PrecisionPolicy, x: [Double], w: [Double], scale: Double = 65536
  ) throws -> String {
    let program = try step(graph, policy)
    var machine = try StepMachine(program, parameters: ["w": w, "seen": [0, 0]])
    if program.graph.input(StepControl.lossScale.rawValue) != nil {
      try machine.set(StepControl.lossScale.rawValue, [scale])
    }
    let argument = try #require(program.graph.input("x"))
    let type = program.graph[argument.value].type
    let inputs = machine.state.merging(["x": try tensor(x, [2], type.dtype)]) { $1 }
    let values = try program.graph.evaluateAll(inputs, rounding: .everyOp)
    let isScaled = policy.level.lossScale != .off
    let found = blame(program.graph, step: 12, lossScale: isScaled ? scale : nil) { value in
      values[value.index].data.contains { !$0.isFinite }
    }
    return found.map { $0.rendered() } ?? "nothing"
  }

  @Test func anOverflowInTheForwardPassIsBlamedOnItsOp() throws {
    let text = try blamed(productLoss(), policy("16 O2"), x: [300, 1], w: [300, 1])
    #expect(text.hasPrefix("model.ltm:3:7: error: step 12: mul in product made the first non-finite value, f16[2]"))
    #expect(text.contains("no loss scale can help"))
    #expect(text.contains("f16 ends at 65504: keep the layer in f32 with keep-f32=product"))
  }

  @Test func anOverflowOfAScaledGradientIsBlamedOnTheScale() throws {
    let text = try blamed(productLoss(), policy("16 O2"), x: [5, 1], w: [1, 1])
    #expect(
      text.hasPrefix("model.ltm:3:7: error: step 12: the gradient of mul in product made the first non-finite value"))
    #expect(text.contains("a gradient scaled by 65536: a smaller loss scale can help"))
  }

  @Test func badDataAndBadWeightsAreBlamedAsSuch() throws {
    let data = try blamed(productLoss(), policy("16 O2"), x: [.nan, 1], w: [1, 1])
    #expect(data.contains("step 12: the argument 'x' is not finite"))
    let weights = try blamed(productLoss(), policy("bf16 O3"), x: [1, 1], w: [.infinity, 1])
    #expect(weights.contains("step 12: 'w' is not finite before the step begins"))
  }

  @Test func aStepWithoutFaultBlamesNoOne() throws {
    #expect(try blamed(productLoss(), policy("16 O2"), x: [1, 1], w: [1, 1]) == "nothing")
  }
}
