import LTMIR
import LTMSupport

/// Goes through a graph in its order and writes the nodes of an ONNX graph.
struct GraphExporter {
  let graph: Graph
  let store: ExportStore
  /// Whether it is a graph within another.
  private(set) var isBody = false
  private(set) var nodes: [Onnx_NodeProto] = []
  /// Symbolic dimensions and what is computed of them, each a tensor of one i64.
  private var sizes: [Dim: String] = [:]
  private var values: [ValueID: ExportValue] = [:]
  /// All results of the ops that have several.
  private var results: [ValueID: [String]] = [:]
  /// What the nodes made now are called after.
  private var stem = ""

  /// What a value of the graph is called. An elementwise operator spreads its operands itself, so a value may be smaller
  /// than the graph has it, until something reads it that does not.
  private struct ExportValue {
    var name: String
    var shape: [Dim]
  }

  init(_ graph: Graph, _ store: ExportStore) { (self.graph, self.store) = (graph, store) }

  /// For a body: its inputs have these names.
  init(_ body: Graph, _ inputs: [String], within outer: GraphExporter, isInlined: Bool = false) {
    (graph, store, sizes, stem) = (body, outer.store, outer.sizes, outer.stem)
    isBody = outer.isBody || !isInlined
    for (input, name) in zip(body.inputs, inputs) { set(input.value, name) }
  }

  // MARK: The graph

  /// The whole file.
  mutating func model(producer: String) -> Onnx_ModelProto {
    var proto = Onnx_ModelProto()
    let opset = graph.hasBrainFloats ? ExportTable.brainOpset : ExportTable.opset
    proto.irVersion = opset == ExportTable.opset ? 9 : 10
    proto.producerName = "ltm"
    proto.producerVersion = producer
    var version = Onnx_OperatorSetIdProto()
    version.version = Int64(opset)
    proto.opsetImport = [version]
    proto.graph.name = graph.name
    proto.graph.input = inputs()
    findSizes()
    walk()
    proto.graph.output = outputs()
    proto.graph.node = nodes.withoutDead(results: proto.graph.output.map(\.name))
    let read = proto.graph.node.reads
    proto.graph.initializer = store.initializers.filter { read.contains($0.name) }
    return proto
  }

  /// Arguments, and what the entry reads and replaces; weights become tensors of the file.
  private mutating func inputs() -> [Onnx_ValueInfoProto] {
    let updated = Set(graph.outputs.compactMap(\.updates))
    var given: [Onnx_ValueInfoProto] = []
    for input in graph.inputs where input.role == .argument || updated.contains(input.name) {
      let name = store.unique(input.name)
      given.append(valueInfo(name, graph[input.value].type))
      set(input.value, name)
    }
    for input in graph.inputs where values[input.value] == nil {
      // What random numbers are made of; those who draw say that they cannot be exported.
      guard input.role != .control else {
        set(input.value, store.unique("missing"))
        continue
      }
      do throws(ExportProblem) {
        set(input.value, try store.add(weight: input.name, graph[input.value].type.dtype))
      } catch {
        store.report(Diagnostic(.error, "'\(graph.name)' cannot be exported: \(error.reason)"))
      }
    }
    return given
  }

  /// Symbolic dimensions are read from the inputs that have them.
  private mutating func findSizes() {
    for input in graph.inputs {
      guard let name = values[input.value]?.name else { continue }
      for (axis, dim) in graph[input.value].type.shape.enumerated() {
        guard let symbol = dim.symbol, sizes[dim] == nil else { continue }
        stem = symbol
        sizes[dim] = emit("Shape", [name], [("start", .int(axis)), ("end", .int(axis + 1))])
      }
    }
  }

  /// Writes every node; what cannot be said is reported, all of it.
  mutating func walk() {
    for value in graph.values where graph[value].op != .input {
      let node = graph[value]
      stem = (node.scope.isEmpty ? "" : node.scope + "/") + node.op.name
      do {
        try write(value, node)
      } catch {
        let reason = (error as? ExportProblem)?.reason ?? "\(error)"
        var diagnostic = Diagnostic(.error, "'\(node.op.name)' cannot be exported to ONNX: \(reason)")
        diagnostic.location = node.location
        store.report(diagnostic)
        // What reads it is not to blame.
        set(value, store.unique("missing"))
      }
    }
  }

  private mutating func outputs() -> [Onnx_ValueInfoProto] {
    var taken: Set<String> = []
    return graph.outputs.compactMap { output in
      guard let name = try? full(output.value) else { return nil }
      let wanted = output.updates.map { $0 + ".next" } ?? output.name
      let made = nodes.firstIndex { $0.output.contains(name) }
      let isFree = nodes.allSatisfy { !$0.reads.contains(name) } && taken.insert(name).inserted
      let result = store.unique(wanted)
      if isFree, let made, let place = nodes[made].output.firstIndex(of: name) {
        nodes[made].output[place] = result
        taken.insert(result)
        set(output.value, result)
      } else {
        stem = wanted
        append("Identity", [name], [result])
      }
      return valueInfo(result, graph[output.value].type)
    }
  }

  private mutating func write(_ value: ValueID, _ node: Node) throws {
    if node.op == .result {
      let known = node.attributes.int("index").flatMap { index in
        results[node.operands[0]].flatMap { $0.indices.contains(index) ? $0[index] : nil }
      }
      return set(value, known ?? store.unique("missing"))
    }
    if node.op.hasBodies {
      let names = try control(node)
      results[value] = names
      return set(value, names[0])
    }
    guard let row = ExportTable.rows[node.op] else { throw ExportTable.problem(with: node) }
    switch row {
    case .elementwise(let write):
      let operands = node.operands.map { known($0) }
      let name = try write(&self, node, operands.map(\.name))
      values[value] = ExportValue(name: name, shape: spread(operands.map(\.shape)))
    case .whole(_, let write):
      var operands: [String] = []
      for operand in node.operands { operands.append(try full(operand)) }
      set(value, try write(&self, node, operands))
    case .spread(let write):
      let (name, shape) = try write(&self, node)
      values[value] = ExportValue(name: name, shape: shape)
    }
  }

  // MARK: Values

  private mutating func set(_ value: ValueID, _ name: String) {
    values[value] = ExportValue(name: name, shape: graph[value].type.shape)
  }

  private func known(_ value: ValueID) -> ExportValue {
    values[value] ?? ExportValue(name: "missing", shape: graph[value].type.shape)
  }

  /// A value that has the shape of the graph.
  mutating func full(_ value: ValueID) throws -> String {
    let (now, shape) = (known(value), graph[value].type.shape)
    guard now.shape != shape else { return now.name }
    let offset = shape.count - now.shape.count
    // An operator that spreads both ways leaves an axis as it is where it is asked for 1.
    let wanted = shape.enumerated().map { axis, dim in axis >= offset && now.shape[axis - offset] == dim ? 1 : dim }
    let outer = stem
    stem = "expand"
    defer { stem = outer }
    set(value, emit("Expand", [now.name, try vector(wanted)]))
    return known(value).name
  }

  /// A value, as it is, in place of a larger one that operators make of it as they read it.
  mutating func spreading(_ value: ValueID, _ axes: [Int], over shape: [Dim]) throws -> (name: String, shape: [Dim]) {
    let (name, own) = (try full(value), graph[value].type.shape)
    if axes == Array(shape.count - own.count..<shape.count) { return (name, own) }
    let missing = shape.indices.filter { !axes.contains($0) }
    var kept = shape.map { _ in Dim(1) }
    for (axis, dim) in zip(axes, own) { kept[axis] = dim }
    return (emit("Unsqueeze", [name, integers(missing)]), kept)
  }

  /// The shape that operands of these shapes have together.
  private func spread(_ shapes: [[Dim]]) -> [Dim] {
    let rank = shapes.map(\.count).max() ?? 0
    return (0..<rank).map { place in
      let axis = place - rank
      let all = shapes.compactMap { $0.count + axis >= 0 ? $0[$0.count + axis] : nil }
      return all.first { $0 != 1 } ?? 1
    }
  }

  // MARK: Nodes

  /// Adds a node of one result; gives its name.
  mutating func emit(
    _ op: String, _ inputs: [String], _ attributes: [(String, ExportAttribute)] = []
  ) -> String {
    let name = store.unique(stem)
    append(op, inputs, [name], attributes)
    return name
  }

  /// Adds a node of several results; gives their names.
  mutating func emit(
    _ op: String, _ inputs: [String], results count: Int, _ attributes: [(String, ExportAttribute)]
  ) -> [String] {
    let names = (0..<count).map { _ in store.unique(stem) }
    append(op, inputs, names, attributes)
    return names
  }

  /// A new name for what belongs to the node.
  func unique(_ part: String) -> String { store.unique("\(stem).\(part)") }

  mutating func append(
    _ op: String, _ inputs: [String], _ outputs: [String], _ attributes: [(String, ExportAttribute)] = []
  ) {
    var node = Onnx_NodeProto()
    (node.opType, node.input, node.output) = (op, inputs, outputs)
    node.name = outputs.first ?? op
    node.attribute = attributes.map { $1.proto($0) }
    nodes.append(node)
  }

  /// Takes over the nodes of a body that stands where it is called.
  mutating func append(_ body: GraphExporter) { nodes += body.nodes }

  // MARK: Sizes

  /// A tensor of these integers.
  func integers(_ values: [Int]) -> String { store.constant(values.map(Double.init), .i64, shape: [values.count]) }

  /// A dimension as a tensor of one i64.
  mutating func size(_ dim: Dim) throws -> String {
    if let number = dim.constant { return integers([number]) }
    if let known = sizes[dim] { return known }
    let outer = stem
    stem = dim.description
    defer { stem = outer }
    let name = try dim.computed(
      number: { integers([$0]) },
      name: { name in
        guard let known = sizes[Dim(symbol: name)] else {
          throw ExportProblem("the size '\(name)' is that of no input: --dim \(name)=64 gives it one")
        }
        return known
      },
      add: { emit("Add", [$0, $1]) }, multiply: { emit("Mul", [$0, $1]) },
      divideDown: { emit("Div", [$0, $1]) })
    sizes[dim] = name
    return name
  }

  /// Dimensions as a tensor of i64.
  mutating func vector(_ dims: [Dim]) throws -> String {
    let numbers = dims.compactMap(\.constant)
    if numbers.count == dims.count { return integers(numbers) }
    var parts: [String] = []
    for dim in dims { parts.append(try size(dim)) }
    return parts.count == 1 ? parts[0] : emit("Concat", parts, [("axis", .int(0))])
  }
}

extension Graph {
  /// Whether it or a body of it has values of bf16.
  fileprivate var hasBrainFloats: Bool {
    nodes.contains { $0.types.contains { $0.dtype == .bf16 } || $0.bodies.contains { $0.hasBrainFloats } }
  }
}

extension Onnx_NodeProto {
  /// The names that it reads, its bodies' too.
  var reads: Set<String> {
    attribute.reduce(into: Set(input)) { names, attribute in
      guard attribute.hasG else { return }
      names.formUnion(attribute.g.node.reads)
      names.formUnion(attribute.g.output.map(\.name))
    }
  }
}

extension [Onnx_NodeProto] {
  /// The names that they read.
  var reads: Set<String> { reduce(into: []) { $0.formUnion($1.reads) } }

  /// Those that results depend on.
  func withoutDead(results: [String]) -> [Onnx_NodeProto] {
    var needed = Set(results)
    var kept: [Onnx_NodeProto] = []
    for node in reversed() where node.output.contains(where: needed.contains) {
      kept.append(node)
      needed.formUnion(node.reads)
    }
    return kept.reversed()
  }
}
