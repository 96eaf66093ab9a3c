import LTMIR
import LTMSupport

/// The StableHLO text of a graph whose casts are placed, whose dimensions are numbers and whose composite ops are replaced.
///
/// Inputs are the parameters of `@main`, outputs its results, both in the graph's order; an input that an output updates
/// gives up its buffer to it. Only ops of the `stablehlo` dialect occur, so that every consumer takes the text: the parser,
/// the reference interpreter, and any PJRT plugin. A graph of an earlier stage is refused with the rules that it breaks.
package func stableHLO(_ graph: Graph, name: String? = nil) throws(DiagnosticSet) -> String {
  let violations = graph.verify(stage: [.afterCasts, .bound, .decomposed])
  guard violations.isEmpty else {
    throw DiagnosticSet(violations.map { Diagnostic(.error, "'\(graph.name)' is not ready for StableHLO: \($0)") })
  }
  let graph = graph.decomposed(keepsWhole: false)
  var lowering = Lowering(graph)
  for value in graph.values where graph[value].op != .input { lowering.lower(value) }
  return module(graph, lowering, name: plainIdentifier(name ?? graph.name))
}

private func module(_ graph: Graph, _ lowering: Lowering, name: String) -> String {
  let results = graph.outputs.map { lowering[$0.value] }
  let parameters = graph.inputs.map { input in
    let alias = graph.outputs.firstIndex { $0.updates == input.name }
    let donation = alias.map { " {tf.aliasing_output = \($0) : i32}" } ?? ""
    let value = lowering[input.value]
    return "\(value.name): \(value.type)\(donation)\(place(of: graph[input.value]))"
  }
  let resultLines = zip(graph.outputs, results).enumerated().map { index, pair in
    "    \(pair.1.type)\(index + 1 < results.count ? "," : "")  // \(commentText(pair.0.name))"
  }
  let names = results.map(\.name).joined(separator: ", ")
  let types = results.map(\.type.description).joined(separator: ", ")
  let replicas = graph.replicas
  let grid = replicas > 1 ? " attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = \(replicas) : i32}" : ""
  return """
    module @\(name)\(grid) {
      func.func public @main(
    \(parameters.map { "    " + $0 }.joined(separator: ",\n"))
      ) -> (
    \(resultLines.joined(separator: "\n"))
      ) {
    \(lowering.builder.lines.map { "    " + $0 }.joined(separator: "\n"))
        return\(results.isEmpty ? "" : " \(names) : \(types)")
      }
    }

    """
}
