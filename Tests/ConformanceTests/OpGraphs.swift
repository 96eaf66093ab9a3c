import LTMIR
import OpCases
import TestSupport

/// How the operands of an op come to it.
enum OperandView: String, CaseIterable, Sendable {
  /// As inputs.
  case plain
  /// As transposes of inputs.
  case transposed
  /// As parts of larger inputs.
  case sliced
}

/// An op on its inputs, with its gradients where it has some.
struct OpGraph {
  private(set) var graph: Graph
  /// What each input is filled with.
  private(set) var fills: [String: Fill] = [:]

  /// Throws where the op does not take the dtype.
  init(_ opCase: OpCase, _ dtype: DType, _ view: OperandView = .plain) throws {
    var b = GraphBuilder(name: opCase.op.name)
    var inputs: [ValueID] = []
    var operands: [ValueID] = []
    for (index, operand) in opCase.operands.enumerated() {
      let type = TensorType(operand.fill.dtype ?? dtype, operand.shape.map { Dim($0) })
      fills["x\(index)"] = operand.fill
      let pair = try Self.operand("x\(index)", type, view, &b)
      inputs.append(pair.input)
      operands.append(pair.operand)
    }
    let value = try b.apply(opCase.op, operands, opCase.attributes)
    b.output("value", value)
    for (index, result) in b.results(of: value).dropFirst().enumerated() { b.output("value\(index + 1)", result) }
    graph = b.graph
    try addGradients(b, inputs, value)
  }

  private static func operand(
    _ name: String, _ type: TensorType, _ view: OperandView, _ b: inout GraphBuilder
  ) throws -> (input: ValueID, operand: ValueID) {
    switch view {
    case .plain:
      let input = b.input(name, type, role: .argument)
      return (input, input)
    case .transposed:
      let input = b.input(name, TensorType(type.dtype, type.shape.reversed()), role: .argument)
      return (input, try b.apply(.transpose, [input], ["permutation": .ints(Array((0..<type.rank).reversed()))]))
    case .sliced:
      guard let last = type.shape.last?.constant else { return try operand(name, type, .plain, &b) }
      let wide = Array(type.shape.dropLast()) + [Dim(last + 3)]
      let input = b.input(name, TensorType(type.dtype, wide), role: .argument)
      let slice = try b.apply(
        .slice, [input],
        ["axis": .int(type.rank - 1), "start": .dim(2), "limit": .dim(Dim(last + 2)), "stride": .int(1)])
      return (input, slice)
    }
  }

  private mutating func addGradients(_ builder: GraphBuilder, _ inputs: [ValueID], _ value: ValueID) throws {
    var b = builder
    let wanted = inputs.filter { b.type($0).dtype.isFloating }
    guard case .rule = b.graph[value].op.definition.gradient, b.type(value).dtype.isFloating, !wanted.isEmpty else {
      return
    }
    let seed = b.input("seed", b.type(value), role: .argument)
    fills["seed"] = .uniform(-1, 1)
    for (input, gradient) in zip(wanted, try b.differentiate(value, withRespectTo: wanted, seed: seed)) {
      b.output("gradient\(input.index)", gradient)
    }
    graph = b.graph
  }

  func tensors(seed: UInt64) -> [String: Tensor] { randomTensors(graph, fills, seed: seed) }
}

/// Inputs for a graph; what has no fill of its own gets numbers from -1 to 1.
func randomTensors(_ graph: Graph, _ fills: [String: Fill], seed: UInt64) -> [String: Tensor] {
  var random = SeededGenerator(seed: seed)
  var tensors: [String: Tensor] = [:]
  for input in graph.inputs {
    let type = graph[input.value].type
    guard let shape = type.staticShape, let count = elementCount(shape) else { continue }
    let numbers = (fills[input.name] ?? .uniform(-1, 1)).numbers(count, &random)
    tensors[input.name] = Tensor(numbers, shape: shape, dtype: type.dtype == .float ? .f32 : type.dtype)
  }
  return tensors
}
