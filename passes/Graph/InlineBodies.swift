import LTMIR
import LTMSupport

extension GraphPass {
  /// Ops with bodies become the nodes of their bodies, a scan once for each index: for targets that run straight lines.
  package static let inlineBodies = GraphPass("inline-bodies", "unrolls loops and puts bodies in place of calls") {
    (graph) throws(DiagnosticSet) in
    guard graph.nodes.contains(where: \.op.isControl) else { return graph }
    var inliner = BodyInliner(graph)
    return try inliner.inlined()
  }
}

private struct BodyInliner {
  private let graph: Graph
  private var builder: GraphBuilder
  /// For each node, the values that stand for its results.
  private var values: [[ValueID]] = []
  /// A program of more nodes would take minutes to compile.
  private static let nodeLimit = 400_000

  init(_ graph: Graph) {
    self.graph = graph
    builder = GraphBuilder(name: graph.name)
  }

  mutating func inlined() throws(DiagnosticSet) -> Graph {
    for node in graph.nodes { values.append(try results(of: node)) }
    var result = builder.graph
    result.inputs = graph.inputs.map { input in
      GraphInput(name: input.name, role: input.role, value: values[input.value.index][0])
    }
    result.outputs = graph.outputs.map { output in
      GraphOutput(name: output.name, value: values[output.value.index][0], updates: output.updates)
    }
    return result
  }

  private mutating func results(of node: Node) throws(DiagnosticSet) -> [ValueID] {
    var node = node
    if node.op == .result, let index = node.attributes.int("index") { return [values[node.operands[0].index][index]] }
    node.operands = node.operands.map { values[$0.index][0] }
    (builder.location, builder.scope, builder.reason) = (node.location, node.scope, node.reason)
    switch node.op {
    case .call, .checkpoint: return try inline(node.bodies[0], node.operands)
    case .scan: return try unrolled(node)
    case .`while`:
      throw DiagnosticSet([
        OpError("this target cannot run a loop whose end is known only when it runs").diagnostic(for: node)
      ])
    default: return builder.results(of: builder.append(node))
    }
  }

  /// The outputs of a body, itself without bodies, on these operands.
  private mutating func inline(_ body: Graph, _ operands: [ValueID]) throws(DiagnosticSet) -> [ValueID] {
    let flat = try GraphPass.inlineBodies.run(body)
    guard builder.graph.nodes.count + flat.nodes.count <= Self.nodeLimit else {
      throw DiagnosticSet([
        Diagnostic(.error, "'\(graph.name)' unrolls to more than \(Self.nodeLimit) operations: its loops are too long")
      ])
    }
    return builder.inline(flat, operands)
  }

  private mutating func unrolled(_ node: Node) throws(DiagnosticSet) -> [ValueID] {
    guard let form = try? LoopForm(node), let count = form.length?.constant else {
      throw DiagnosticSet([.internalError(in: "inline-bodies", "a scan without a length")])
    }
    var body = node
    body.bodies[0] = try GraphPass.inlineBodies.run(node.bodies[0])
    var carried = Array(node.operands[form.constants..<form.scanned])
    var stacked = [[ValueID]](repeating: [], count: count)
    for iteration in 0..<count {
      let index = form.index(iteration, of: count)
      let slices = node.operands.dropFirst(form.scanned).map { slice($0, index) }
      let outputs = try inline(body.bodies[0], node.operands.prefix(form.constants) + carried + slices)
      carried = Array(outputs.prefix(form.carried))
      stacked[index] = outputs.dropFirst(form.carried).map { unsqueezed($0) }
    }
    return carried
      + node.types.indices.dropFirst(form.carried).map { result in
        let parts = stacked.map { $0[result - form.carried] }
        return parts.count == 1 ? parts[0] : builder.make(.concat, parts, ["axis": .int(0)])
      }
  }

  /// The elements at one index of the first axis.
  private mutating func slice(_ value: ValueID, _ index: Int) -> ValueID {
    let shape = Array(builder.type(value).shape.dropFirst())
    let row = builder.make(
      .slice, [value],
      ["axis": .int(0), "start": .dim(Dim(index)), "limit": .dim(Dim(index + 1)), "stride": .int(1)])
    return builder.make(.reshape, [row], ["shape": .dims(shape)])
  }

  private mutating func unsqueezed(_ value: ValueID) -> ValueID {
    builder.make(.reshape, [value], ["shape": .dims([1] + builder.type(value).shape)])
  }
}
