import LTMIR

// Ops with bodies: a scan is ONNX's Scan, a while its Loop; what is called once stands where it is called. A body reads what
// does not change by its name outside.

extension GraphExporter {
  /// The names of all results.
  mutating func control(_ node: Node) throws -> [String] {
    var operands: [String] = []
    for operand in node.operands { operands.append(try full(operand)) }
    switch node.op {
    case .scan: return try scan(node, operands)
    case .`while`: return try loop(node, operands)
    default: return try inline(node.bodies[0], operands)
    }
  }

  /// A body's results, its nodes among the others.
  private mutating func inline(_ body: Graph, _ operands: [String]) throws -> [String] {
    var inner = GraphExporter(body, operands, within: self, isInlined: true)
    inner.walk()
    let names = try inner.outputNames()
    append(inner)
    return names
  }

  private mutating func outputNames() throws -> [String] {
    var names: [String] = []
    for output in graph.outputs { names.append(try full(output.value)) }
    return names
  }

  private mutating func scan(_ node: Node, _ operands: [String]) throws -> [String] {
    let form = try form(of: node)
    let body = node.bodies[0]
    guard form.scanned < operands.count else {
      throw ExportProblem("it scans nothing, and ONNX's Scan has at least one operand that it scans")
    }
    let inputs = body.inputs.dropFirst(form.constants).map { ($0.name, body[$0.value].type) }
    let text = try bodyGraph(body, Array(operands.prefix(form.constants)), inputs)
    let (scanned, stacked) = (operands.count - form.scanned, node.types.count - form.carried)
    var attributes: [(String, ExportAttribute)] = [("body", .graph(text)), ("num_scan_inputs", .int(scanned))]
    if form.isReversed {
      attributes.append(("scan_input_directions", .ints([Int](repeating: 1, count: scanned))))
      if stacked > 0 { attributes.append(("scan_output_directions", .ints([Int](repeating: 1, count: stacked)))) }
    }
    return emit("Scan", Array(operands.dropFirst(form.constants)), results: node.types.count, attributes)
  }

  /// A Loop asks its condition before the first round, and each round says whether another follows.
  private mutating func loop(_ node: Node, _ operands: [String]) throws -> [String] {
    let form = try form(of: node)
    let (condition, body) = (node.bodies[0], node.bodies[1])
    let constants = Array(operands.prefix(form.constants))
    let first = try inline(condition, operands)
    var text = Onnx_GraphProto()
    text.name = unique("body")
    let counter = unique("round"), goes = unique("goes")
    text.input = [valueInfo(counter, TensorType(.i64, [])), valueInfo(goes, TensorType(.bool, []))]
    let carried = body.inputs.dropFirst(form.constants).map { input in (unique(input.name), body[input.value].type) }
    text.input += carried.map { valueInfo($0, $1) }
    var inner = GraphExporter(body, constants + carried.map(\.0), within: self)
    inner.walk()
    let after = try inner.outputNames()
    let again = try inner.inline(condition, constants + after)
    let results = inner.results(again + after, [TensorType(.bool, [])] + node.types)
    text.output = results
    text.node = inner.nodes.withoutDead(results: results.map(\.name))
    return emit(
      "Loop", ["", first[0]] + operands.dropFirst(form.constants), results: node.types.count, [("body", .graph(text))])
  }

  /// A body as a graph of its own.
  private mutating func bodyGraph(
    _ body: Graph, _ constants: [String], _ inputs: [(name: String, type: TensorType)]
  ) throws -> Onnx_GraphProto {
    var text = Onnx_GraphProto()
    text.name = unique("body")
    let names = inputs.map { unique($0.name) }
    text.input = zip(names, inputs).map { valueInfo($0, $1.type) }
    var inner = GraphExporter(body, constants + names, within: self)
    inner.walk()
    text.output = inner.results(try inner.outputNames(), body.outputTypes)
    text.node = inner.nodes.withoutDead(results: text.output.map(\.name))
    return text
  }

  /// A body's results under names of their own: a graph gives nothing twice, and nothing that it was given.
  private mutating func results(_ names: [String], _ types: [TensorType]) -> [Onnx_ValueInfoProto] {
    zip(names, types).map { name, type in valueInfo(emit("Identity", [name]), type) }
  }

  private func form(of node: Node) throws -> LoopForm {
    do {
      return try LoopForm(node)
    } catch {
      throw ExportProblem(error.message)
    }
  }
}
