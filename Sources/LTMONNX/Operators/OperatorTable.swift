import LTMIR

/// How an operator of ONNX is said in the language. What moved from attributes to operands between opsets is read from where
/// it is (`NodeCall.ints(_:orInput:)`); where a meaning changed, the row asks for the opset.
struct OperatorRow: Sendable {
  typealias Translation = @Sendable (NodeCall) throws -> [Value]
  /// The opset from which on the operator exists in this form.
  let since: Int
  let translate: Translation

  init(since: Int = 1, _ translate: @escaping Translation) {
    self.since = since
    self.translate = translate
  }

  /// An operator of one result.
  static func one(
    since: Int = 1, _ translate: @escaping @Sendable (NodeCall) throws -> Value
  ) -> OperatorRow {
    OperatorRow(since: since) { call throws in [try translate(call)] }
  }

  /// An op of the language under another name.
  static func same(_ op: Op) -> OperatorRow {
    one { call throws in try call.unary(op, try call.input(0)) }
  }
}

/// The operators that are imported, by ONNX's name; those of other domains with their domain.
enum OperatorTable {
  static let rows: [String: OperatorRow] = [
    activations, arithmetic, logic, shapes, indexing, selections, reductions, contractions, windows, normalizations,
    sources, recurrent, attention, losses, quantized, bits, causal, sampling, control,
  ].reduce(into: [:]) { all, family in all.merge(family) { first, _ in first } }

  /// The opsets of ONNX that are read.
  static let opsets = 7...24
}
