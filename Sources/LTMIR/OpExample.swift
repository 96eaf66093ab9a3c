/// Operands and attributes to try an op on: what every suite that goes over the op table runs.
package struct OpExample: Sendable {
  /// What an operand is filled with.
  package enum Fill: Sendable {
    case uniform(Double, Double)
    case integers(Int)
    case bools
    case values([Double])

    package static let any = Fill.uniform(-2, 2)
    package static let positive = Fill.uniform(0.3, 2)
    package static let unit = Fill.uniform(0.1, 0.9)
  }

  package let operands: [(shape: [Int], fill: Fill)]
  package let attributes: Attributes

  package init(_ operands: [([Int], Fill)], _ attributes: Attributes = [:]) {
    self.operands = operands.map { (shape: $0.0, fill: $0.1) }
    self.attributes = attributes
  }
}

extension OpDefinition {
  /// Those that the op's paragraph gives. Without any, all operands are `[2, 3]`, of floats or else of bools, with the
  /// default of every attribute; none where the op takes no such operands.
  package var examples: [OpExample] {
    if !givenExamples.isEmpty { return givenExamples }
    let derived = [OpExample.Fill.any, .bools].lazy.compactMap { self.example(filledWith: $0) }.first
    return derived.map { [$0] } ?? []
  }

  private func example(filledWith fill: OpExample.Fill) -> OpExample? {
    let tensors = signature.filter { $0.kind == .tensor }
    guard !tensors.isEmpty else { return nil }
    var attributes: Attributes = [:]
    for parameter in signature where parameter.kind.isAttribute {
      guard let value = parameter.defaultValue else {
        if parameter.isOptional { continue } else { return nil }
      }
      // The last of the two axes.
      attributes[parameter.name] = parameter.kind == .axis && value == .int(-1) ? .int(1) : value
    }
    let dtype: DType = if case .bools = fill { .bool } else { .f32 }
    guard (try? infer(tensors.map { _ in TensorType(dtype, [2, 3]) }, attributes)) != nil else { return nil }
    return OpExample(tensors.map { _ in ([2, 3], fill) }, attributes)
  }
}
