// A constructor for functions of one number that have numbers of their own: most activations.

/// A formula of an operand in the accumulator's dtype and the op's numbers.
typealias ShapedFormula = @Sendable (inout GraphBuilder, _ x: ValueID, _ numbers: [Double]) -> ValueID
/// The operand's gradient of that of the value.
typealias ShapedSlope = @Sendable (inout GraphBuilder, _ x: ValueID, _ g: ValueID, _ numbers: [Double]) -> ValueID

extension OpDefinition {
  /// One operand and some numbers, elementwise. Formulas may compare: they see the operand as it is stored.
  static func shaped(
    _ summary: String, _ numbers: [(name: String, value: Double)] = [], _ precision: PrecisionClass = .follow,
    on fill: OpExample.Fill = .any, requires: @escaping @Sendable ([Double]) -> String? = { _ in nil },
    gradient: @escaping ShapedSlope, formula: @escaping ShapedFormula,
    _ function: @escaping @Sendable (Double, [Double]) -> Double
  ) -> OpDefinition {
    let names = numbers.map(\.name)
    let read = { @Sendable (attributes: Attributes) in names.map { attributes[float: $0] } }
    return OpDefinition(
      summary,
      signature: [OpParameter("x", .tensor)]
        + numbers.map { OpParameter($0.name, .float, default: .float($0.value)) }, precision: precision,
      infer: { (types, attributes) throws(OpError) in
        var values: [Double] = []
        for name in names { values.append(try attributes.required(name, attributes.float(name))) }
        if let wrong = requires(values) { throw OpError(wrong) }
        return try elementwise(1, .floats)(types, attributes)
      },
      evaluate: { x, attributes, _ in
        let numbers = read(attributes)
        return x[0].map { function($0, numbers) }
      },
      gradient: .rule { b, node, _, g in
        let (x, wide) = (b.wide(node.operands[0]), b.wide(g))
        return [b.cast(gradient(&b, x, wide, read(node.attributes)), to: b.type(node.operands[0]).dtype)]
      },
      lowering: .formulaOfNode { b, node, x in formula(&b, x[0], read(node.attributes)) },
      examples: [
        OpExample(
          [([2, 3], fill)],
          numbers.reduce(into: [:]) { $0[$1.name] = .float($1.value) })
      ])
  }
}
