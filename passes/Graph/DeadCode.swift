import LTMIR
import LTMSupport

extension GraphPass {
  /// Drops nodes that no output depends on, results of loops and calls that nothing reads, and operands that their bodies do
  /// not read. The graph's inputs stay: they are its signature.
  package static let deadCode = GraphPass("dead-code", "drops what no output depends on") {
    (graph) throws(DiagnosticSet) in
    do throws(OpError) {
      var live = LiveNodes(graph)
      return try live.kept()
    } catch { throw DiagnosticSet([.internalError(in: "dead-code", error.message)]) }
  }
}

/// Goes from the last node to the first: the readers of a node are settled before it.
private struct LiveNodes {
  private var graph: Graph
  private var isLive: [Bool]
  /// The results of a node that are read.
  private var read: [ValueID: Set<Int>] = [:]
  /// Where the results that are kept stand now.
  private var positions: [ValueID: [Int: Int]] = [:]

  init(_ graph: Graph) {
    self.graph = graph
    isLive = [Bool](repeating: false, count: graph.nodes.count)
  }

  mutating func kept() throws(OpError) -> Graph {
    for output in graph.outputs { markRead(output.value) }
    for value in graph.values.reversed() where isLive[value.index] {
      if graph[value].op.hasBodies { try prune(value) }
      let node = graph[value]
      if node.op == .result, let index = node.attributes.int("index") {
        isLive[node.operands[0].index] = true
        read[node.operands[0], default: []].insert(index)
      } else {
        node.operands.forEach { markRead($0) }
      }
    }
    return GraphRewriter.rewrite(graph) { b, node, old in
      guard isLive[old.index] else { return nil }
      guard node.op == .result, let moved = positions[graph[old].operands[0]] else { return b.append(node) }
      let index = node.attributes.int("index").flatMap { moved[$0] } ?? 0
      return index == 0 ? node.operands[0] : b.result(index, of: node.operands[0])
    }
  }

  private mutating func markRead(_ value: ValueID) {
    isLive[value.index] = true
    read[value, default: []].insert(0)
  }

  /// Drops results that are not read, then what their body needs no more, then the operands that it reads no more.
  private mutating func prune(_ value: ValueID) throws(OpError) {
    var node = graph[value]
    guard node.op != .while, var body = node.bodies.first else {
      node.bodies = try node.bodies.map { body throws(OpError) in try Self.pruned(body) }
      graph[value] = node
      return
    }
    let form = node.op == .scan ? try LoopForm(node) : nil
    let results = node.types.indices.filter { $0 < (form?.carried ?? 0) || read[value]?.contains($0) == true }
    positions[value] = Dictionary(uniqueKeysWithValues: results.enumerated().map { ($1, $0) })
    let types = results.map { node.types[$0] }
    body.outputs = results.map { body.outputs[$0] }
    body = try Self.pruned(body)
    let users = body.users()
    let given = Set(body.outputs.map(\.value))
    let operands = node.operands.indices.filter { index in
      let input = body.inputs[index].value
      let isCarried = form.map { index >= $0.constants && index < $0.scanned } ?? false
      return isCarried || given.contains(input) || !users[input.index].isEmpty
    }
    if let form {
      node.attributes["constants"] = .int(operands.count { $0 < form.constants })
    }
    node.operands = operands.map { node.operands[$0] }
    node.bodies = [body.withoutInputs(keeping: operands)]
    (node.type, node.furtherTypes) = (types[0], Array(types.dropFirst()))
    graph[value] = node
  }

  private static func pruned(_ body: Graph) throws(OpError) -> Graph {
    var live = LiveNodes(body)
    for input in body.inputs { live.isLive[input.value.index] = true }
    return try live.kept()
  }
}

extension Graph {
  /// The graph with only these of its inputs; nothing reads the others.
  fileprivate func withoutInputs(keeping positions: [Int]) -> Graph {
    if positions.count == inputs.count { return self }
    let dropped = Set(inputs.map(\.value)).subtracting(positions.map { inputs[$0].value })
    var builder = GraphBuilder(name: name)
    var values: [ValueID: ValueID] = [:]
    for value in self.values where !dropped.contains(value) {
      var node = self[value]
      node.operands = node.operands.map { values[$0] ?? $0 }
      values[value] = builder.append(node)
    }
    var copy = builder.graph
    copy.inputs = positions.map { index in
      GraphInput(name: inputs[index].name, role: inputs[index].role, value: values[inputs[index].value] ?? ValueID(0))
    }
    copy.outputs = outputs.map { output in
      GraphOutput(name: output.name, value: values[output.value] ?? output.value, updates: output.updates)
    }
    return copy
  }
}
