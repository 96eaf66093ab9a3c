import Foundation
import LTMGraphPasses
import LTMHLO
import LTMIR
import LTMSupport
import OpCases
import TestSupport
import Testing

@Suite("each op as StableHLO")
struct OpTests {
  /// Every case, asked in one go: starting the tools takes longer than all of them.
  static let outcomes = Result {
    try StableHLOTools.evaluate(
      textCases.map { textCase in
        let graph = try GraphPass.decompose.run(textCase.graph())
        let tensors = try textCase.opCase.tensors(textCase.dtype)
        return Job(
          name: textCase.name, module: try stableHLO(graph),
          inputs: graph.inputs.compactMap { tensors[$0.name].map(Job.Array.init) })
      })
  }

  @Test(
    "gives in StableHLO's interpreter what it gives in ours",
    .enabled(if: StableHLOTools.missing == nil, "\(StableHLOTools.missing ?? "")"), arguments: textCases)
  func agrees(textCase: TextCase) throws {
    let outcome = try #require(try Self.outcomes.get()[textCase.name])
    #expect(outcome.error == nil, "\(outcome.error ?? "")")
    try expectAgreement(textCase, try #require(outcome.outputs?.first?.tensor))
  }

  /// The other cases are the conformance suite's.
  @Test(
    "gives at the edges, compiled by XLA, what it gives in ours",
    .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"), arguments: particularCases)
  func agreesCompiled(textCase: TextCase) throws {
    let client = try PJRTTests.client.get()
    let graph = try GraphPass.decompose.run(textCase.graph())
    let tensors = try textCase.opCase.tensors(textCase.dtype)
    let program = try client.compile(stableHLO(graph))
    let arguments = try graph.inputs.map { try client.buffer(try #require(tensors[$0.name])) }
    let type = graph[graph.outputs[0].value].type
    let shape = try #require(type.staticShape)
    try expectAgreement(textCase, try #require(try program.run([arguments]).first?.first).tensor(type.dtype, shape))
  }

  private func expectAgreement(_ textCase: TextCase, _ found: Tensor) throws {
    let graph = try GraphPass.decompose.run(textCase.graph())
    let tensors = try textCase.opCase.tensors(textCase.dtype)
    let expected = try #require(try graph.evaluate(tensors, rounding: .everyOp)["value"])
    let dtype = graph[graph.outputs[0].value].type.dtype
    #expect(found.dtype == dtype)
    expectClose(found, expected, .relative(dtype.tolerance))
  }
}
