import LTMIR
import LTMSupport

// Equal parts of a deep graph (the blocks of a model forward and backward, the updates of equal weights) become calls of
// one body, which is planned and compiled once. Parts are found by the layers that nodes stand in; what decides is that
// their nodes are equal, whatever they are called.

/// The graph with parts that come often as calls.
func outlineRepeats(_ graph: Graph, epilogueReductions: Bool) throws(DiagnosticSet) -> Graph {
  let runs = RepeatedRuns(graph).runs
  guard runs.count >= OutlineLimits.repeats else { return graph }
  // Only what a kernel stores crosses a border: views and literals are made again where they are read.
  let fusion = FusionGraph(try LoweredGraph(graph), epilogueReductions: epilogueReductions)
  let parts = runs.map { GraphPart(graph, fusion, $0) }.filter { !$0.results.isEmpty }
  let often = Dictionary(grouping: parts.indices, by: { parts[$0].body }).values
    .filter { $0.count >= OutlineLimits.repeats }.joined()
  guard !often.isEmpty else { return graph }
  var outliner = Outliner(graph, often.map { parts[$0] })
  do throws(OpError) {
    return try outliner.outlined()
  } catch { throw DiagnosticSet([.internalError(in: "outlining", error.message)]) }
}

private enum OutlineLimits {
  /// Fewer equal parts stay where they are, and fuse with what is around them.
  static let repeats = 4
  /// Smaller parts do not pay for a call.
  static let nodes = 8
}

/// Nodes that stand in one element of a list of layers, or in the update of one weight.
private struct RepeatedRun {
  /// One after the other, then those that joined it.
  var nodes: [Int]
  /// The last of the former: everything that the nodes read is there before it.
  let end: Int
}

private struct RepeatedRuns {
  private(set) var runs: [RepeatedRun] = []
  private let graph: Graph

  init(_ graph: Graph) {
    self.graph = graph
    var (last, current): (String?, [Int]) = (nil, [])
    for (index, node) in graph.nodes.enumerated() where !isLiteral(node) {
      let key = node.op == .input ? nil : repeatedScope(node.scope)
      if key != last {
        close(current, last)
        (last, current) = (key, [])
      }
      current.append(index)
    }
    close(current, last)
    adoptChecks()
  }

  private mutating func close(_ run: [Int], _ key: String?) {
    if key != nil, run.count >= OutlineLimits.nodes { runs.append(RepeatedRun(nodes: run, end: run[run.count - 1])) }
  }

  /// What parts do not hold themselves: literals, and the keys of random numbers, which differ from part to part.
  private func isLiteral(_ node: Node) -> Bool { node.op == .constant || node.op == .iota || node.op == .foldKey }

  /// What looks at one value of a run and stands elsewhere, as whether a gradient is finite, joins the run: a product
  /// checks what it gives.
  private mutating func adoptChecks() {
    var runOf: [Int: Int] = [:]
    for (number, run) in runs.enumerated() { for node in run.nodes { runOf[node] = number } }
    for (index, node) in graph.nodes.enumerated() where runOf[index] == nil && node.scope.isEmpty {
      guard node.op == .isFinite || node.op == .all, let run = runOf[node.operands[0].index] else { continue }
      runs[run].nodes.append(index)
      runOf[index] = run
    }
  }
}

/// An element of a list of layers, `blocks.3` of `blocks.3.ln1`; the whole of `optimizer/fc.weight`; `nil` for what there
/// is one of.
private func repeatedScope(_ scope: String) -> String? {
  scope.hasPrefix("optimizer/") ? scope : listElement(in: scope)
}

/// Some nodes of a graph as a body, whose names and places in a model are left out.
private struct GraphPart {
  let run: RepeatedRun
  private(set) var body: Graph
  /// What the body reads, and what it gives to others.
  private(set) var operands: [ValueID] = []
  private(set) var results: [ValueID] = []

  init(_ graph: Graph, _ fusion: FusionGraph, _ run: RepeatedRun) {
    self.run = run
    let nodes = run.nodes
    body = Graph(name: "block")
    let own = Set(nodes)
    var copies: [ValueID: ValueID] = [:]
    let lowered = fusion.lowered
    // What is stored, in order; views come where they are read first, wherever they stand in the graph.
    for node in nodes where fusion.isCompute[node] || lowered.outputOf[node] != nil {
      _ = copied(ValueID(node), graph, fusion, own, &copies)
    }
    for node in nodes where fusion.isCompute[node] || lowered.outputOf[node] != nil {
      let isRead = fusion.readers[node].contains { !own.contains($0) } || lowered.outputOf[node] != nil
      guard isRead, let copy = copies[ValueID(node)] else { continue }
      body.outputs.append(GraphOutput(name: "\(results.count)", value: copy))
      results.append(ValueID(node))
    }
  }

  private mutating func copied(
    _ value: ValueID, _ graph: Graph, _ fusion: FusionGraph, _ own: Set<Int>, _ copies: inout [ValueID: ValueID]
  ) -> ValueID {
    if let known = copies[value] { return known }
    var node = graph[value]
    (node.scope, node.reason) = ("", nil)
    if !own.contains(value.index), fusion.isCompute[value.index] || fusion.isInput(value.index) {
      (node.op, node.operands, node.attributes, node.location) = (.input, [], [:], nil)
      (node.furtherTypes, node.bodies) = ([], [])
      body.inputs.append(GraphInput(name: "\(operands.count)", role: .argument, value: ValueID(body.nodes.count)))
      operands.append(value)
    } else {
      node.operands = node.operands.map { copied($0, graph, fusion, own, &copies) }
    }
    body.nodes.append(node)
    copies[value] = ValueID(body.nodes.count - 1)
    return ValueID(body.nodes.count - 1)
  }
}

/// Copies a graph with calls in place of some parts.
private struct Outliner {
  private let graph: Graph
  private var builder: GraphBuilder
  private var values: [ValueID: ValueID] = [:]
  /// The part that ends with a node, and the nodes of all parts.
  private var ends: [Int: GraphPart] = [:]
  private var members: Set<Int> = []

  init(_ graph: Graph, _ parts: [GraphPart]) {
    self.graph = graph
    builder = GraphBuilder(name: graph.name)
    for part in parts {
      ends[part.run.end] = part
      members.formUnion(part.run.nodes)
    }
  }

  mutating func outlined() throws(OpError) -> Graph {
    for index in graph.nodes.indices {
      if let part = ends[index] { try call(part) }
      if !members.contains(index) { _ = value(ValueID(index)) }
    }
    let inputs = graph.inputs.map { GraphInput(name: $0.name, role: $0.role, value: value($0.value)) }
    let outputs = graph.outputs.map { GraphOutput(name: $0.name, value: value($0.value), updates: $0.updates) }
    var result = builder.graph
    (result.inputs, result.outputs) = (inputs, outputs)
    return result
  }

  private mutating func call(_ part: GraphPart) throws(OpError) {
    let first = graph.nodes[part.run.nodes[0]]
    (builder.location, builder.scope) = (first.location, repeatedScope(first.scope) ?? first.scope)
    let operands = part.operands.map { value($0) }
    let made = try builder.control(.call, operands, bodies: [part.body])
    for (old, new) in zip(part.results, made) { values[old] = new }
  }

  /// What a value became; a part's view that is read elsewhere is made there again.
  private mutating func value(_ old: ValueID) -> ValueID {
    if let known = values[old] { return known }
    var node = graph[old]
    node.operands = node.operands.map { value($0) }
    let new = builder.append(node)
    values[old] = new
    return new
  }
}
