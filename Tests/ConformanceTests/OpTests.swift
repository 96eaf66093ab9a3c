import LTMIR
import OpCases
import TestSupport
import Testing

/// Every op, dtype and view of its operands, against the interpreter in f64: value and gradients.
@Suite struct OpTests {
  static let floats: [DType] = [.f16, .bf16, .f32, .f64]
  static let others: [DType] = [.i32, .i64, .u8, .bool]

  @Test("every op but the sources has a case", arguments: Op.allCases) func everyOpHasACase(_ op: Op) {
    #expect(op.isTypedAtCreation || op.isControl || conformanceCases.contains { $0.op == op })
  }

  @Test(arguments: Subject.ours, conformanceCases) func agrees(_ subject: Subject, _ opCase: OpCase) throws {
    try expectAgreement(subject, opCase)
  }

  /// Small operands do: where vectors and tasks end is XLA's own business.
  @Test(.enabled(if: Subject.xla.missing == nil, "\(Subject.xla.missing ?? "")"), arguments: opCases)
  func agreesByXLA(_ opCase: OpCase) throws {
    try expectAgreement(.xla, opCase)
  }

  private func expectAgreement(_ subject: Subject, _ opCase: OpCase) throws {
    var tried = 0
    for dtype in Self.dtypes(opCase)
    where isWhole || subject.isQuick || !dtype.isFloating || Self.isTried(opCase, dtype) {
      // Every op that takes one float takes them all; what takes integers says so itself.
      guard let graph = try? OpGraph(opCase, dtype) else {
        #expect(!dtype.isFloating, "\(opCase) takes no \(dtype)")
        continue
      }
      tried += 1
      try expectAgreement(subject, opCase, graph, dtype)
    }
    #expect(tried > 0)
  }

  /// The floats of a slow subject: all of them for an op's first case, f32 for the others.
  private static func isTried(_ opCase: OpCase, _ dtype: DType) -> Bool {
    dtype == .f32 || opCases.first { $0.op == opCase.op }?.description == opCase.description
  }

  @Test(arguments: [OperandView.transposed, .sliced], opCases)
  func agreesOnViews(_ view: OperandView, _ opCase: OpCase) throws {
    for dtype in [DType.f16, .f32] where !Self.isBanned(opCase, dtype) && !opCase.operands.isEmpty {
      try expectAgreement(.cpu, opCase, OpGraph(opCase, dtype, view), dtype)
    }
  }

  /// Floats, and whatever else an op may take; one where no operand has a dtype to choose.
  private static func dtypes(_ opCase: OpCase) -> [DType] {
    guard opCase.operands.contains(where: { $0.fill.dtype == nil }) else { return [.f32] }
    return (floats + others).filter { !isBanned(opCase, $0) }
  }

  /// Whether targets may round to the operands' dtype on the way: weights that meet values.
  private func roundsWithin(_ op: Op) -> Bool { if case .whole = op.definition.lowering { true } else { false } }

  private static func isBanned(_ opCase: OpCase, _ dtype: DType) -> Bool {
    opCase.op.definition.precision == .banned && dtype.isHalf
  }

  private func expectAgreement(_ subject: Subject, _ opCase: OpCase, _ graph: OpGraph, _ dtype: DType) throws {
    let inputs = graph.tensors(seed: 3)
    // Integers have no exact result beyond their range but the saturated one.
    let exact = try graph.graph.evaluate(inputs, rounding: dtype.isFloating ? .none : .everyOp)
    let found = try run(lowered(graph.graph), on: subject.backend(), inputs)
    ConformanceTests.expectAgreement(found, exact, "\(subject) \(opCase) \(dtype)") { name in
      name == "value" && !roundsWithin(opCase.op) ? .rounding(steps: 64) : dtype.isHalf ? .units(8) : .units(128)
    }
  }
}
