import LTMIR
import LTMSupport

/// The graph of an entry for inference: casts, no scale, no masters. A weight that is only read in another dtype comes in
/// that dtype, so that it is cast once, when it is loaded.
package func inferenceGraph(_ graph: Graph, _ policy: PrecisionPolicy) throws(DiagnosticSet) -> Graph {
  let cast = try insertCasts(graph, policy).graph
  try DiagnosticSet(representability(of: cast)).throwIfErrors()
  return loadingWeightsCast(cast)
}

/// Gives parameters the dtype that all their readers cast them to, and removes those casts.
func loadingWeightsCast(_ graph: Graph) -> Graph { loadingCast(graph) { _, input in input.role == .parameter } }

/// Gives such inputs the dtype that all their readers cast them to, and removes those casts.
func loadingCast(_ graph: Graph, _ isLoaded: (_ index: Int, GraphInput) -> Bool) -> Graph {
  let users = graph.users()
  let results = Set(graph.outputs.map(\.value))
  var target: [ValueID: DType] = [:]
  for (index, input) in graph.inputs.enumerated() where isLoaded(index, input) && !results.contains(input.value) {
    let dtypes = Set(users[input.value.index].map { graph[$0].op == .cast ? graph[$0].type.dtype : nil })
    if dtypes.count == 1, let dtype = dtypes.first.flatMap({ $0 }), dtype.isFloating { target[input.value] = dtype }
  }
  var builder = GraphBuilder(name: graph.name)
  var values: [ValueID] = []
  for (index, node) in graph.nodes.enumerated() {
    if node.op == .cast, let operand = node.operands.first, target[operand] != nil {
      values.append(values[operand.index])
      continue
    }
    var copy = node
    copy.operands = node.operands.map { values[$0.index] }
    if let dtype = target[ValueID(index)] { copy.type = node.type.with(dtype) }
    values.append(builder.append(copy))
  }
  return Graph(
    name: graph.name, nodes: builder.graph.nodes,
    inputs: graph.inputs.map { GraphInput(name: $0.name, role: $0.role, value: values[$0.value.index]) },
    outputs: graph.outputs.map { GraphOutput(name: $0.name, value: values[$0.value.index], updates: $0.updates) })
}
