import LTMIR
import OpCases
import TestSupport

/// A legal graph made by chance: ops that keep numbers small, on whatever earlier values fit.
func randomGraph(seed: UInt64, dtypes: [DType] = [.f32, .f16, .bf16]) -> Graph {
  var random = SeededGenerator(seed: seed)
  var b = GraphBuilder(name: "random\(seed)")
  var values: [ValueID] = []
  for index in 0..<3 {
    let dtype = dtypes.randomElement(using: &random) ?? .f32
    values.append(b.input("x\(index)", TensorType(dtype, [4, 6]), role: .argument))
  }
  for _ in 0..<24 {
    b.scope = ["", "fc1", "blocks.0.norm"].randomElement(using: &random) ?? ""
    if let value = randomNode(&b, values, dtypes, &random) { values.append(value) }
  }
  for (index, value) in values.suffix(3).enumerated() { b.output("y\(index)", value) }
  return b.graph
}

private let unary: [Op] = [.neg, .abs, .tanh, .sin, .relu, .sigmoid, .gelu, .floor, .stopGradient]
private let binary: [Op] = [.add, .sub, .mul, .minimum, .maximum]

private func randomNode(
  _ b: inout GraphBuilder, _ values: [ValueID], _ dtypes: [DType], _ random: inout SeededGenerator
) -> ValueID? {
  guard let x = values.randomElement(using: &random) else { return nil }
  let shape = b.type(x).shape
  let axis = Int.random(in: 0..<2, using: &random)
  switch Int.random(in: 0..<14, using: &random) {
  case 0, 1: return b.make(unary.randomElement(using: &random) ?? .neg, [x])
  case 2, 3, 4:
    let y = values.filter { b.type($0) == b.type(x) }.randomElement(using: &random) ?? x
    return b.make(binary.randomElement(using: &random) ?? .add, [x, y])
  case 5:
    let numbers: [Double] = [0.0, -0.0, 1, 2, 0.25, 3]
    let ops: [Op] = [.add, .sub, .mul, .div]
    let number = numbers.randomElement(using: &random) ?? 1
    return b.make(ops.randomElement(using: &random) ?? .add, [x, b.fill(number, like: x)])
  case 6: return b.cast(x, to: dtypes.randomElement(using: &random) ?? .f32)
  case 7: return try? b.apply(.transpose, [x], ["permutation": .ints([1, 0])])
  case 8:
    return try? b.apply(.reshape, [x], ["shape": .dims(Bool.random(using: &random) ? [4, 6] : [6, 4])])
  case 9: return try? b.apply(.softmax, [x], ["axis": .int(axis)])
  case 10:
    let mean = b.make(.mean, [x], ["axes": .ints([axis]), "keep": .bool(true)])
    return b.broadcast(mean, to: shape)
  case 11:
    let top = b.make(.max, [x], ["axes": .ints([axis]), "keep": .bool(false)])
    let kept = b.broadcast(top, to: axis == 0 ? [1, shape[1]] : [shape[0], 1], axes: [1 - axis])
    return b.broadcast(kept, to: shape)
  case 12:
    let y = values.filter { b.type($0) == b.type(x) }.randomElement(using: &random) ?? x
    let condition = b.make(.less, [x, y])
    return b.select(b.make(.not, [b.make(.not, [condition])]), x, y)
  default: return b.make(.rmsNorm, [x, b.constant(1, TensorType(b.type(x).dtype, [shape[1]]))], ["eps": .float(0.001)])
  }
}

/// Inputs for a random graph.
func randomInputs(_ graph: Graph, seed: UInt64) -> [String: Tensor] {
  var random = SeededGenerator(seed: seed &+ 99)
  var tensors: [String: Tensor] = [:]
  for input in graph.inputs {
    let type = graph[input.value].type
    let numbers = Fill.uniform(-2, 2).numbers(24, &random)
    tensors[input.name] = Tensor(numbers, shape: type.staticShape ?? [], dtype: type.dtype)
  }
  return tensors
}
