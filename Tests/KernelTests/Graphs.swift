import LTMGraphPasses
import LTMIR
import LTMSupport

/// A graph that the kernel builder is tried on, decomposed, with the inputs' names.
struct SampleGraph: Sendable, CustomStringConvertible {
  let name: String
  let graph: Graph
  var description: String { name }
  var hasHalves: Bool { graph.nodes.contains { $0.type.dtype.isHalf } }

  init(_ name: String, _ build: (inout GraphBuilder) -> Void) {
    var builder = GraphBuilder(name: name)
    build(&builder)
    self.name = name
    graph = decomposed(builder.graph)
  }

  /// Reproducible inputs: small numbers for floats, small indices for ints, masks for bools.
  func inputs(seed: Int = 1) -> [String: Tensor] {
    var state = UInt64(seed)
    func next() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 40) / Double(1 << 24)
    }
    var tensors: [String: Tensor] = [:]
    for input in graph.inputs {
      let type = graph[input.value].type
      let shape = type.staticShape ?? []
      let values = (0..<shape.reduce(1, *)).map { _ in
        type.dtype.isFloating ? next() * 2 - 1 : (next() * 4).rounded(.down)
      }
      tensors[input.name] = Tensor(values, shape: shape, dtype: type.dtype)
    }
    return tensors
  }
}

private func decomposed(_ graph: Graph) -> Graph {
  do {
    var result = graph
    for pass in [GraphPass.decomposeForTargets, .simplify, .commonSubexpressions, .deadCode] {
      result = try pass.run(result)
    }
    return result
  } catch { preconditionFailure("the sample does not decompose: \(error)") }
}

extension GraphBuilder {
  mutating func argument(_ name: String, _ dtype: DType, _ shape: [Int], _ role: GraphInput.Role = .argument) -> ValueID
  {
    input(name, TensorType(dtype, shape.map { Dim($0) }), role: role)
  }
}
