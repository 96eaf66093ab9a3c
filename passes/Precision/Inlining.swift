import LTMIR
import LTMSupport

/// A graph of an optimizer or a schedule with every undecided float in one dtype.
///
/// Half is for storage: such a graph computes in f32, where `1 - beta` and a bias correction keep their digits, and what
/// it reads and writes is half.
package func resolveFloats(_ graph: Graph, to dtype: DType) throws(DiagnosticSet) -> Graph {
  try insertCasts(graph, .uniform(dtype.accumulator)).graph
}

extension GraphBuilder {
  /// Appends the nodes of a graph. Each input reads an argument, cast to its dtype. Gives the outputs by name.
  mutating func inline(
    _ graph: Graph, _ arguments: [String: ValueID], scope: String
  ) throws(DiagnosticSet) -> [String: ValueID] {
    let saved = (location, self.scope, reason)
    defer { (location, self.scope, reason) = saved }
    self.scope = scope
    let names = Dictionary(graph.inputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first })
    let read = Set(graph.nodes.flatMap(\.operands))
    // An input that no op reads need not be given, and what it passes through is not given out.
    var values: [ValueID?] = []
    for (index, node) in graph.nodes.enumerated() {
      if let name = names[ValueID(index)] {
        let isUnused = arguments[name] == nil && !read.contains(ValueID(index))
        values.append(isUnused ? nil : try argument(name, node, arguments[name], of: graph))
      } else {
        var copy = node
        copy.operands = node.operands.compactMap { values[$0.index] }
        copy.scope = scope
        values.append(append(copy))
      }
    }
    var results: [String: ValueID] = [:]
    for output in graph.outputs { results[output.name] = values[output.value.index] }
    return results
  }

  private mutating func argument(
    _ name: String, _ input: Node, _ given: ValueID?, of graph: Graph
  ) throws(DiagnosticSet) -> ValueID {
    guard let given else {
      throw DiagnosticSet([Diagnostic(.error, "'\(graph.name)' reads '\(name)', which a step does not have")])
    }
    guard type(given).shape == input.type.shape else {
      throw DiagnosticSet([
        Diagnostic(.error, "'\(graph.name)' takes '\(name)' as \(input.type), a step gives \(type(given))")
      ])
    }
    reason = "'\(graph.name)' computes in \(input.type.dtype)"
    defer { reason = nil }
    return cast(given, to: input.type.dtype)
  }
}
