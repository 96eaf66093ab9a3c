import LTMIR
import LTMSupport

extension GraphPass {
  /// Long scans become scans over segments, each of which is computed again in the backward pass: of T iterations about
  /// sqrt(T) carried values are kept, and what sqrt(T) iterations make.
  package static let segmentLoops = GraphPass(
    "segment-loops", "keeps what a loop carries at the start of each segment, and computes the rest again"
  ) { (graph) throws(DiagnosticSet) in
    do throws(OpError) { return try segmented(graph) } catch {
      throw DiagnosticSet([.internalError(in: "segment-loops", error.message)])
    }
  }

  /// Bodies of loops stay as they are: the loop around them keeps little of each iteration.
  private static func segmented(_ graph: Graph) throws(OpError) -> Graph {
    var graph = graph
    for index in graph.nodes.indices where graph.nodes[index].op == .checkpoint || graph.nodes[index].op == .call {
      let body = try graph.nodes[index].body(0, of: 1)
      if body.name != LoopSegments.name { graph.nodes[index].bodies = [try segmented(body)] }
    }
    var segments: [ValueID: LoopSegments] = [:]
    let users = graph.users()
    for value in graph.values where graph[value].op == .scan {
      if let found = try LoopSegments(value, of: graph, users: users) { segments[value] = found }
    }
    var copier = SegmentCopier(graph, segments)
    return segments.isEmpty ? graph : try copier.copied()
  }
}

/// Copies a graph with scans over segments.
private struct SegmentCopier {
  private let graph: Graph
  private let segments: [ValueID: LoopSegments]
  private var builder: GraphBuilder
  /// For each value copied, all its results.
  private var results: [ValueID: [ValueID]] = [:]

  init(_ graph: Graph, _ segments: [ValueID: LoopSegments]) {
    (self.graph, self.segments) = (graph, segments)
    builder = GraphBuilder(name: graph.name)
  }

  mutating func copied() throws(OpError) -> Graph {
    let inside = Set(segments.values.flatMap { $0.producers.map(\.value) })
    for value in graph.values where !inside.contains(value) {
      let node = graph[value]
      (builder.location, builder.scope, builder.reason) = (node.location, node.scope, node.reason)
      if let scan = segments[value] {
        let known = results
        results[value] = try scan.append(to: &builder) { known[$0]?.first ?? $0 }
      } else if node.op == .result, let all = results[node.operands[0]], all.count > 1 {
        results[value] = [all[node.attributes.int("index") ?? 0]]
      } else {
        var copy = node
        copy.operands = node.operands.map { self.value($0) }
        results[value] = [builder.append(copy)]
      }
    }
    var made = builder.graph
    made.inputs = graph.inputs.map { GraphInput(name: $0.name, role: $0.role, value: value($0.value)) }
    made.outputs = graph.outputs.map { GraphOutput(name: $0.name, value: value($0.value), updates: $0.updates) }
    return made
  }

  private func value(_ old: ValueID) -> ValueID { results[old]?.first ?? old }
}
