import LTMSupport

/// Appends nodes to a graph, inferring each type from the op's row.
public struct GraphBuilder: Sendable {
  /// The graph so far.
  public internal(set) var graph: Graph
  /// Given to the nodes made from now on.
  public var location: Location?
  /// Given to the nodes made from now on.
  public var scope = ""
  /// Given to the nodes made from now on.
  public var reason: String?
  /// Whether this is the body of a loop, whose gradient is another loop's body: nothing forward stands beside it.
  var isLoopBody = false

  /// An empty graph.
  public init(name: String) { graph = Graph(name: name) }

  /// Continues a graph.
  public init(_ graph: Graph) { self.graph = graph }

  /// The type of a value.
  public func type(_ value: ValueID) -> TensorType { graph[value].type }

  /// Adds an input.
  public mutating func input(_ name: String, _ type: TensorType, role: GraphInput.Role) -> ValueID {
    let value = append(Node(.input, [], type: type, location: location, scope: scope))
    graph.inputs.append(GraphInput(name: name, role: role, value: value))
    return value
  }

  /// Adds an output.
  public mutating func output(_ name: String, _ value: ValueID, updates: String? = nil) {
    graph.outputs.append(GraphOutput(name: name, value: value, updates: updates))
  }

  /// Applies an op to operands that come from the user: a mistake is an ``OpError``.
  public mutating func apply(_ op: Op, _ operands: [ValueID], _ attributes: Attributes = [:]) throws(OpError) -> ValueID
  {
    let (row, types) = (op.definition, operands.map { self.type($0) })
    let attributes = row.complete?(types, attributes) ?? attributes
    let type = try row.infer(types, attributes)
    var node = Node(op, operands, attributes, type: type, location: location, scope: scope, reason: reason)
    node.furtherTypes = row.further?.types(types, type, attributes) ?? []
    return append(node)
  }

  /// Applies an op to operands that a rule or a pass has chosen. Where they do not fit, which is a mistake in ltm, the
  /// node is made all the same: the verifier, which follows each pass, names it (`graph_c6`).
  public mutating func make(_ op: Op, _ operands: [ValueID], _ attributes: Attributes = [:]) -> ValueID {
    do {
      return try apply(op, operands, attributes)
    } catch {
      let type = operands.first.map { self.type($0) } ?? TensorType(.f32, [])
      return append(Node(op, operands, attributes, type: type, location: location, scope: scope, reason: error.message))
    }
  }

  /// Appends a node as it is: for passes that copy or rewrite nodes whose type they know.
  @discardableResult
  public mutating func append(_ node: Node) -> ValueID {
    graph.nodes.append(node)
    return ValueID(graph.nodes.count - 1)
  }

  /// A scalar spread over a shape. The dtype may be `float`: a weak literal.
  public mutating func constant(_ value: Double, _ type: TensorType) -> ValueID {
    let scalar = append(
      Node(
        .constant, [], ["value": .float(value)], type: TensorType(type.dtype, []), location: location, scope: scope,
        reason: reason))
    return broadcast(scalar, to: type.shape)
  }

  /// A value in another dtype; the value itself when it has it.
  public mutating func cast(_ value: ValueID, to dtype: DType) -> ValueID {
    type(value).dtype == dtype ? value : make(.cast, [value], ["dtype": .dtype(dtype)])
  }

  /// Into the dtype in which an op computes, or out of it: rounded only where it is stored.
  package mutating func passed(_ value: ValueID, to dtype: DType) -> ValueID {
    type(value).dtype == dtype ? value : make(.cast, [value], ["dtype": .dtype(dtype), "rounds": .bool(false)])
  }

  /// Spreads `value` over `shape`; operand axis `i` becomes result axis `axes[i]`; left out, the axes align at the end, as
  /// NumPy's do. An axis of size 1 stretches.
  public mutating func broadcast(_ value: ValueID, to shape: [Dim], axes: [Int]? = nil) -> ValueID {
    let rank = type(value).rank
    if type(value).shape == shape, axes == nil || axes == Array(0..<rank) { return value }
    let axes = axes ?? Array(shape.count - rank..<shape.count)
    return make(.broadcast, [value], ["shape": .dims(shape), "axes": .ints(axes)])
  }
}
