import LTMIR
import LTMSupport
import LTMSyntax

/// What an expression means while a function is elaborated: something known now, or a tensor that the graph will compute.
struct Value: Sendable {
  indirect enum Kind: Sendable {
    /// An `Int`; one that mentions a dimension of the call is symbolic.
    case integer(Dim)
    case float(Double)
    case boolean(Bool)
    case string(String)
    case dtype(DType)
    case tensor(ValueID)
    case list([Value])
    case tuple([Value])
    case range(Int, Int)
    /// What a loop over an axis of a tensor runs over.
    case along(Along)
    case function(FunctionValue)
    case op(Op)
    case builtin(Builtin)
    case type(TypeValue)
    case instance(InstanceID)
    /// A `param` or `state` outside of a graph.
    case storage(StorageID)
    case initializer(Initializer)
    /// What an error leaves behind; nothing more is said about it.
    case poison
  }

  var kind: Kind
  /// Where the value was made: a literal, an argument, the expression that computed it.
  var origin: Span

  init(_ kind: Kind, _ origin: Span) {
    self.kind = kind
    self.origin = origin
  }

  var isPoison: Bool { if case .poison = kind { true } else { false } }

  /// The number, when it is an `Int` without symbols or a `Float`.
  var number: Double? {
    switch kind {
    case .integer(let dim): dim.constant.map(Double.init)
    case .float(let value): value
    default: nil
    }
  }

  /// The `Int`, when it has no symbols.
  var constantInteger: Int? { if case .integer(let dim) = kind { dim.constant } else { nil } }

  /// Whether an op takes it as a weak literal.
  var isWeak: Bool {
    switch kind {
    case .integer, .float, .boolean: true
    default: false
    }
  }

  /// Whether a checkpoint holds something of it.
  var isKept: Bool {
    switch kind {
    case .instance, .storage: true
    case .list(let items), .tuple(let items): items.contains(where: \.isKept)
    default: false
    }
  }

  /// Whether it can be called, and so stand in a list that is called.
  var isCallable: Bool {
    switch kind {
    case .function, .op, .builtin, .instance, .poison: true
    case .list(let items): items.allSatisfy(\.isCallable)
    default: false
    }
  }
}

/// `x.along(1)`: the slices of a tensor at each index of an axis.
struct Along: Sendable {
  var tensor: ValueID
  var axis: Int
  var isReversed = false
}

/// A function with what its body can see.
struct FunctionValue: Sendable {
  var declaration: FunctionDeclaration
  var module: Int
  /// The layer whose members the body sees.
  var owner: InstanceID?
}

/// A layer, model, optimizer or schedule by name.
struct TypeValue: Sendable {
  var declaration: TypeDeclaration
  var module: Int
}

/// A layer that was made: an index into `World.instances`.
struct InstanceID: Hashable, Sendable { var index: Int }
/// A parameter, a state or a cache: an index into `World.storages`.
struct StorageID: Hashable, Sendable { var index: Int }

/// A layer with its arguments and members.
struct Instance: Sendable {
  var type: TypeValue
  /// Parameters and members in declaration order.
  var order: [String] = []
  /// Those whose names stand in the file.
  var values: [String: Value] = [:]
  /// Those whose names were computed. An argument may have the name of one.
  var computed: [String: Value] = [:]
  /// The first path that reaches it from the model: `blocks.0.fc1`.
  var path: String?
  /// Whether an argument is none that it can have, which has been said: nothing more is said of its calls.
  var isRefused = false
  /// Whether it is not known which members it has.
  var isPartial = false

  mutating func define(_ name: String, _ value: Value) {
    if values[name] == nil, computed[name] == nil { order.append(name) }
    values[name] = value
  }

  mutating func defineComputed(_ name: String, _ value: Value) {
    if values[name] == nil, computed[name] == nil { order.append(name) }
    computed[name] = value
  }

  /// What has this name in a checkpoint, where something has.
  func kept(_ name: String) -> Value? { [computed[name], values[name]].lazy.compactMap { $0 }.first(where: \.isKept) }
}

/// A `param`, a `state` or a `cache`.
struct Storage: Sendable {
  enum Kind: String, Sendable {
    case parameter, state, cache

    var role: GraphInput.Role {
      switch self {
      case .parameter: .parameter
      case .state: .state
      case .cache: .cache
      }
    }
  }
  var name: String
  var owner: InstanceID
  var kind: Kind
  /// Numbers, where its layer's arguments are known; a cache's may be those of a call.
  var shape: [Dim]
  var dtype: DType
  var initializer: Initializer
  var span: Span
  /// The checkpoint's key, once the model is complete.
  var path: String?

  var type: TensorType { TensorType(dtype, shape) }
}

/// Everything that constructing a model made.
struct World: Sendable {
  var instances: [Instance] = []
  var storages: [Storage] = []

  subscript(id: InstanceID) -> Instance {
    get { instances[id.index] }
    _modify { yield &instances[id.index] }
  }

  subscript(id: StorageID) -> Storage {
    get { storages[id.index] }
    set { storages[id.index] = newValue }
  }

  /// Names every layer, parameter and state by the first path that reaches it, in declaration order; returns the storages in
  /// that order, so that tied weights occur once.
  mutating func nameAll(from root: InstanceID) -> [StorageID] {
    var found: [StorageID] = []
    name(root, path: "", into: &found)
    return found
  }

  private mutating func name(_ id: InstanceID, path: String, into found: inout [StorageID]) {
    guard self[id].path == nil else { return }
    self[id].path = path
    let instance = self[id]
    for member in instance.order {
      for value in [instance.values[member], instance.computed[member]].compactMap({ $0 }) {
        name(value, path: path.isEmpty ? member : "\(path).\(member)", into: &found)
      }
    }
  }

  private mutating func name(_ value: Value, path: String, into found: inout [StorageID]) {
    switch value.kind {
    case .instance(let id): name(id, path: path, into: &found)
    case .list(let items), .tuple(let items):
      for (index, item) in items.enumerated() { name(item, path: "\(path).\(index)", into: &found) }
    case .storage(let id):
      guard self[id].path == nil else { return }
      self[id].path = path
      found.append(id)
    case .integer, .float, .boolean, .string, .dtype, .tensor, .range, .along, .function, .op, .builtin, .type,
      .initializer, .poison:
      return
    }
  }
}
