import LTMIR
import LTMSupport

/// What a training step computes again in the backward pass, instead of keeping it: nothing, or some of these.
public struct Recomputation: OptionSet, Sendable, Hashable {
  /// One bit for each kind.
  public let rawValue: Int

  /// A set of kinds.
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// Each element of a list of layers, from what it is given: only that is kept. Takes about a third more time.
  public static let blocks = Recomputation(rawValue: 1)
  /// Loops over an axis, by segments of about sqrt(T) of their T iterations: what is carried into each segment is kept, and
  /// what one segment makes. Takes about a third more time.
  public static let loops = Recomputation(rawValue: 2)
  /// Nothing.
  public static let none: Recomputation = []

  /// The names of the kinds, as `--recompute` takes them.
  public static let names: KeyValuePairs<String, Recomputation> = ["none": none, "blocks": blocks, "loops": loops]

  /// Reads names with commas between them; `nil` where one is unknown.
  public init?(parsing text: String) {
    self = []
    for name in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let kind = Self.names.first(where: { $0.key == name })?.value else { return nil }
      formUnion(kind)
    }
  }
}

extension GraphPass {
  /// The nodes of each element of a list of layers become the body of a `checkpoint`.
  package static let recomputeBlocks = GraphPass(
    "recompute-blocks", "keeps of each block what it is given, and computes the rest again in the backward pass"
  ) { (graph) throws(DiagnosticSet) in
    var blocks = BlockCheckpoints(graph)
    do throws(OpError) {
      return try blocks.checkpointed()
    } catch { throw DiagnosticSet([.internalError(in: "recompute-blocks", error.message)]) }
  }
}

/// Copies a graph with runs of nodes that stand in one block as checkpoints.
private struct BlockCheckpoints {
  private let graph: Graph
  private let users: [[ValueID]]
  private let outputs: Set<ValueID>
  private var builder: GraphBuilder
  private var values: [ValueID: ValueID] = [:]

  init(_ graph: Graph) {
    self.graph = graph
    users = graph.users()
    outputs = Set(graph.outputs.map(\.value))
    builder = GraphBuilder(name: graph.name)
  }

  mutating func checkpointed() throws(OpError) -> Graph {
    var rest = graph.values[...]
    while let first = rest.first {
      let block = key(first)
      let run = block == nil ? rest.prefix(1) : rest.prefix { key($0) == block }
      if run.count > 1 { try checkpoint(Array(run)) } else { copy(first) }
      rest = rest.dropFirst(run.count)
    }
    let inputs = graph.inputs.map { GraphInput(name: $0.name, role: $0.role, value: value($0.value)) }
    let results = graph.outputs.map { GraphOutput(name: $0.name, value: value($0.value), updates: $0.updates) }
    var made = builder.graph
    (made.inputs, made.outputs) = (inputs, results)
    return made
  }

  private func key(_ value: ValueID) -> String? {
    graph[value].op == .input ? nil : listElement(in: graph[value].scope)
  }

  private func value(_ old: ValueID) -> ValueID { values[old] ?? old }

  private mutating func copy(_ value: ValueID) {
    var node = graph[value]
    node.operands = node.operands.map { self.value($0) }
    values[value] = builder.append(node)
  }

  private mutating func checkpoint(_ run: [ValueID]) throws(OpError) {
    let own = Set(run)
    var body = Graph(name: "block")
    var (copies, operands): ([ValueID: ValueID], [ValueID]) = ([:], [])
    func append(_ node: Node, for value: ValueID) {
      body.nodes.append(node)
      copies[value] = ValueID(body.nodes.count - 1)
    }
    for value in run {
      for operand in graph[value].operands where copies[operand] == nil {
        let given = graph[operand]
        // A literal takes its reader's dtype, so each body has its own.
        if given.op == .constant || given.op == .dimension {
          append(given, for: operand)
          continue
        }
        let name = graph.inputs.first { $0.value == operand }?.name ?? "outer.\(operand.index)"
        body.inputs.append(GraphInput(name: name, role: .argument, value: ValueID(body.nodes.count)))
        operands.append(operand)
        append(Node(.input, [], type: given.type, location: given.location, scope: given.scope), for: operand)
      }
      var node = graph[value]
      node.operands = node.operands.map { copies[$0] ?? $0 }
      append(node, for: value)
    }
    let results = run.filter { outputs.contains($0) || users[$0.index].contains { !own.contains($0) } }
    for (number, result) in results.enumerated() {
      body.outputs.append(GraphOutput(name: "\(number)", value: copies[result] ?? result))
    }
    // What nothing reads has no results to give.
    if results.isEmpty { return run.forEach { copy($0) } }
    let node = graph[run[0]]
    (builder.location, builder.scope) = (node.location, listElement(in: node.scope) ?? "")
    let made = try builder.control(.checkpoint, operands.map { value($0) }, bodies: [body])
    for (result, value) in zip(results, made) { values[result] = value }
  }
}
