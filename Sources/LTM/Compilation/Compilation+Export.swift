import LTMIR
import LTMPrecision
import LTMSupport

extension Compilation {
  /// The entry after casts, its composite ops whole: for files of others. Dimensions that have no size stay symbolic.
  package func graphForExport() throws(LTMError) -> Graph {
    let graph = try model.graph(entry, training: false)
    let symbols = Set(graph.inputs.flatMap { graph[$0.value].type.shape.flatMap(\.symbols) })
    if let unknown = dimensions.keys.sorted().first(where: { !symbols.contains($0) }) {
      throw LTMError("'\(entry)' has no dimension '\(unknown)'", notes: ["it has \(listed(symbols))"])
    }
    let (sizes, policy) = (dimensions, policy)
    return try reporting { try inferenceGraph(graph.bound(sizes), policy) }
  }
}
