import LTMIR
import TestSupport

/// How a test fills an operand.
package typealias Fill = OpExample.Fill

extension OpExample.Fill {
  package func numbers(_ count: Int, _ random: inout SeededGenerator) -> [Double] {
    switch self {
    case .uniform(let low, let high): (0..<count).map { _ in Double.random(in: low..<high, using: &random) }
    case .integers(let limit): (0..<count).map { _ in Double(Int.random(in: 0..<limit, using: &random)) }
    case .bools: (0..<count).map { _ in Bool.random(using: &random) ? 1 : 0 }
    case .values(let values): values
    }
  }

  package var dtype: DType? {
    switch self {
    case .uniform, .values: nil
    case .integers: .i32
    case .bools: .bool
    }
  }
}

/// An op with operands to try it on.
package struct OpCase: Sendable, CustomStringConvertible {
  package let op: Op
  package let operands: [(shape: [Int], fill: Fill)]
  package let attributes: Attributes

  package init(_ op: Op, _ operands: [([Int], Fill)], _ attributes: Attributes = [:]) {
    self.op = op
    self.operands = operands.map { (shape: $0.0, fill: $0.1) }
    self.attributes = attributes
  }

  package init(_ op: Op, _ example: OpExample) {
    (self.op, operands, attributes) = (op, example.operands, example.attributes)
  }

  package var description: String { "\(op.name)\(operands.map(\.shape))" }

  /// The inputs `x0`, `x1`, ... and the op applied to them; floats are of the dtype given.
  package func builder(_ dtype: DType) throws -> (builder: GraphBuilder, inputs: [ValueID], value: ValueID) {
    var b = GraphBuilder(name: "case")
    let inputs = operands.enumerated().map { index, operand in
      let type = TensorType(operand.fill.dtype ?? dtype, operand.shape.map { Dim($0) })
      return b.input("x\(index)", type, role: .argument)
    }
    let value = try b.apply(op, inputs, attributes)
    return (b, inputs, value)
  }

  package func tensors(_ dtype: DType, seed: UInt64 = 1) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: seed)
    var tensors: [String: Tensor] = [:]
    for (index, operand) in operands.enumerated() {
      let numbers = operand.fill.numbers(operand.shape.reduce(1, *), &random)
      tensors["x\(index)"] = Tensor(numbers, shape: operand.shape, dtype: operand.fill.dtype ?? dtype)
    }
    return tensors
  }
}
