import LTMSupport

// A graph is a list of nodes in order; a node makes one value and refers to earlier ones by number. Its text form:
//
//     graph @loss(%image: float[64, 64] argument, %fc1.weight: float[128, 64] parameter) -> (loss: %7) {
//       %4: float[64, 128] = linear(%image, %fc1.weight, %fc1.bias)          // fc1 samples/digits.ltm:7:12
//       %5: f16[64, 128] = cast(%4) {dtype = f16, why = "..."}
//     }
//
// Inputs are nodes too (op `input`) and print in the header. Types are printed once, where a value is made.
//
// An op with bodies (`call`, `checkpoint`, `scan`, `while`) holds closed graphs: what a body reads from outside is an operand.
// It may have several results. The node's own value is the first one; a `result` node reads another, so that every value
// is still the index of a node, and a pass is still a loop over an array:
//
//       %5: f32[8] = scan(%1, %2) {carried = 1, ...} also (f32[100, 8]) with graph @body(...) -> (...) { ... }
//       %6: f32[100, 8] = result(%5) {index = 1}

/// A value of a graph: the index of the node that makes it.
public struct ValueID: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The index into `Graph.nodes`.
  public let index: Int
  /// The value made by node `index`.
  public init(_ index: Int) { self.index = index }
  /// Program order.
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
  /// `%4`
  public var description: String { "%\(index)" }
}

/// One op applied to earlier values.
public struct Node: Sendable, Hashable {
  /// What is computed; its row in the op table says all about it.
  public var op: Op
  /// Tensor operands, in the order of the op's signature. An optional operand that is absent is left out at the end.
  public var operands: [ValueID]
  /// Compile-time operands.
  public var attributes: Attributes
  /// The dtype and shape of the result. A concrete floating dtype before `insert-casts` means: pinned by the user.
  public var type: TensorType
  /// Where the user wrote it; what a pass makes keeps the place of what it was made for.
  public var location: Location?
  /// The path of layers it was called through (`blocks.0.fc1`), for reports and per-layer overrides.
  public var scope: String
  /// For casts and whatever else a pass inserted: the reason, as `explain` prints it.
  public var reason: String?
  /// The types of the results after the first, each of which a `result` node reads.
  public var furtherTypes: [TensorType] = []
  /// The closed graphs that the op runs: none but for `call`, `checkpoint`, `scan` and `while`.
  public var bodies: [Graph] = []

  /// A node.
  public init(
    _ op: Op, _ operands: [ValueID], _ attributes: Attributes = [:], type: TensorType, location: Location? = nil,
    scope: String = "", reason: String? = nil
  ) {
    self.op = op
    self.operands = operands
    self.attributes = attributes
    self.type = type
    self.location = location
    self.scope = scope
    self.reason = reason
  }
}

extension Node {
  /// The types of all results: one or more.
  public var types: [TensorType] {
    get { [type] + furtherTypes }
    set {
      type = newValue.first ?? type
      furtherTypes = Array(newValue.dropFirst())
    }
  }
}

/// A value that comes from outside.
public struct GraphInput: Sendable, Hashable {
  /// What an input is for, which decides how the precision passes and the plan treat it.
  public enum Role: String, Sendable, CaseIterable {
    /// Data given at each call.
    case argument
    /// A trained weight, as the kernels of the forward pass read it.
    case parameter
    /// The f32 copy of a half parameter that the optimizer updates.
    case master
    /// A `state` of a layer: running statistics.
    case state
    /// A `cache` of a layer: of a session, not saved.
    case cache
    /// A `state` of an optimizer.
    case optimizerState
    /// A scalar of the step itself: loss scale, counters, learning rate.
    case control
  }
  /// The name: a parameter of the entry, or a checkpoint key. Unique within the graph.
  public var name: String
  /// What it is for.
  public var role: Role
  /// The `input` node.
  public var value: ValueID

  /// An input.
  public init(name: String, role: Role, value: ValueID) {
    self.name = name
    self.role = role
    self.value = value
  }
}

/// A value that goes out.
public struct GraphOutput: Sendable, Hashable {
  /// The name: `result`, `result.0`, or that of the input that it replaces.
  public var name: String
  /// What is given out.
  public var value: ValueID
  /// The input whose storage receives this value when the graph has run: how a step updates its parameters. The old value
  /// is what every node of the graph reads.
  public var updates: String?

  /// An output.
  public init(name: String, value: ValueID, updates: String? = nil) {
    self.name = name
    self.value = value
    self.updates = updates
  }
}

/// A computation: inputs, nodes in order, outputs.
public struct Graph: Sendable, Hashable {
  /// The entry's name.
  public var name: String
  /// In order: operands come before their users.
  public var nodes: [Node]
  /// In signature order.
  public var inputs: [GraphInput]
  /// In signature order.
  public var outputs: [GraphOutput]

  /// A graph; made by a `GraphBuilder`, a pass or the reader of the text form.
  public init(name: String, nodes: [Node] = [], inputs: [GraphInput] = [], outputs: [GraphOutput] = []) {
    self.name = name
    self.nodes = nodes
    self.inputs = inputs
    self.outputs = outputs
  }

  /// The node that makes a value.
  public subscript(value: ValueID) -> Node {
    // Lent, not copied: passes read a field or two of each node.
    _read { yield nodes[value.index] }
    _modify { yield &nodes[value.index] }
  }

  /// The inputs that keys of random numbers are made of: the seed's words, i32[4], and the number of the step attempt, an i32.
  public static let (seed, attempt) = ("control/seed", "control/attempt")

  /// The input of that name.
  public func input(_ name: String) -> GraphInput? { inputs.first { $0.name == name } }

  /// Every value in order.
  public var values: [ValueID] { nodes.indices.map { ValueID($0) } }

  /// For each value, the nodes that read it, in order.
  public func users() -> [[ValueID]] {
    var users = [[ValueID]](repeating: [], count: nodes.count)
    for (index, node) in nodes.enumerated() {
      for operand in Set(node.operands) { users[operand.index].append(ValueID(index)) }
    }
    return users
  }
}
