import LTMSupport

/// A pass is a value: its flag and the name of its dump come from `name`, and it is a pure function.
public struct GraphPass: Sendable {
  /// In words joined by hyphens: `insert-casts`.
  public let name: String
  /// One line for the docs.
  public let summary: String
  /// The pass. A second run on its own result changes nothing.
  public let run: @Sendable (Graph) throws(DiagnosticSet) -> Graph

  /// A pass.
  public init(_ name: String, _ summary: String, run: @escaping @Sendable (Graph) throws(DiagnosticSet) -> Graph) {
    self.name = name
    self.summary = summary
    self.run = run
  }

  /// A pass that does to every body, the innermost first, what it does to the graph.
  package static func everywhere(
    _ name: String, _ summary: String, run: @escaping @Sendable (Graph) throws(DiagnosticSet) -> Graph
  ) -> GraphPass {
    GraphPass(name, summary) { (graph) throws(DiagnosticSet) in try run(try graph.mapBodies(run)) }
  }
}
