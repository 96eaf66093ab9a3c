import Foundation
import LTMGraphPasses
import LTMHLO
import LTMIR
import LTMSupport
import Testing

@Suite("each op as StableHLO")
struct OpTests {
  /// Every case, asked in one go: starting the tools takes longer than all of them.
  static let outcomes = Result {
    try Tools.evaluate(
      opCases.map { opCase in
        let graph = try GraphPass.decompose.run(opCase.graph())
        let tensors = opCase.tensors()
        return Job(
          name: opCase.name, module: try stableHLO(graph),
          inputs: graph.inputs.compactMap { tensors[$0.name].map(Job.Array.init) })
      })
  }

  @Test("has a case, unless it comes from nothing or is replaced", arguments: Op.allCases)
  func everyOpHasACase(op: Op) {
    if case .decompose = op.definition.lowering { return }
    #expect(op.isTypedAtCreation || opCases.contains { $0.op == op })
  }

  @Test(
    "gives in StableHLO's interpreter what it gives in ours",
    .enabled(if: Tools.missing == nil, "\(Tools.missing ?? "")"),
    arguments: opCases)
  func agrees(opCase: OpCase) throws {
    let outcome = try #require(try Self.outcomes.get()[opCase.name])
    #expect(outcome.error == nil, "\(outcome.error ?? "")")
    let found = try #require(outcome.outputs?.first?.tensor)
    let graph = try GraphPass.decompose.run(opCase.graph())
    let expected = try #require(try graph.evaluate(opCase.tensors(), rounding: .everyOp)["value"])
    let dtype = graph[graph.outputs[0].value].type.dtype
    #expect(found.dtype == dtype && found.shape == expected.shape)
    for (a, b) in zip(found.doubles, expected.data) { #expect(agree(a, b, dtype.tolerance), "\(a) is not \(b)") }
  }

  /// Compiling takes longer than interpreting: every op in f32 and in a TPU's half, every integer, every cast.
  static let compiled = opCases.filter { $0.op == .cast || ($0.dtype != .f64 && $0.dtype != .f16) }

  @Test(
    "gives compiled by XLA what it gives in ours",
    .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"), arguments: compiled)
  func agreesCompiled(opCase: OpCase) throws {
    let client = try PJRTTests.client.get()
    let graph = try GraphPass.decompose.run(opCase.graph())
    let tensors = opCase.tensors()
    let program = try client.compile(stableHLO(graph))
    let arguments = try graph.inputs.map { try client.buffer(try #require(tensors[$0.name])) }
    let type = graph[graph.outputs[0].value].type
    let shape = try #require(type.staticShape)
    let found = try #require(try program.run([arguments]).first?.first).tensor(type.dtype, shape)
    let expected = try #require(try graph.evaluate(tensors, rounding: .everyOp)["value"])
    for (a, b) in zip(found.doubles, expected.data) { #expect(agree(a, b, type.dtype.tolerance), "\(a) is not \(b)") }
  }
}
