import LTMIR
import LTMSupport

/// Runs graphs in the reference interpreter, each op's result rounded to its dtype.
struct InterpreterBackend: TargetBackend {
  init(_ request: TargetRequest) {}

  static func status(_ request: TargetRequest) -> TargetStatus {
    TargetStatus(
      target: .interpreter, runs: true, found: ["the reference in f64, which judges the others; slow"], missing: [])
  }

  static func choices(of compilation: Compilation, architecture: String?) -> TargetChoices {
    TargetChoices(
      title: "target interpreter: ops one by one in f64, each result rounded to its dtype", columns: ["op"], rows: [])
  }

  static func dump(_ graph: Graph, architecture: String?) -> [(name: String, text: String)] { [] }

  /// It adds in the order of indices.
  var ordered: (any Backend)? { self }

  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    try InterpretedExecutable(graph, storage)
  }
}

/// A graph with the arguments and results of one caller, and the arrays of a session.
private final class InterpretedExecutable: Executable {
  private let graph: Graph
  private let inputs: [String: SessionArray]
  private var arguments: [String: Tensor] = [:]
  private var results: [String: Tensor] = [:]

  init(_ graph: Graph, _ storage: SessionStorage) throws(LTMError) {
    self.graph = graph
    func zeros(_ input: GraphInput) throws(LTMError) -> Tensor {
      let type = graph[input.value].type
      guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      return zeros
    }
    inputs = try storage.bind(graph) { (missing) throws(LTMError) in
      try missing.map { (input) throws(LTMError) in TensorMemory(try zeros(input)) }
    }
    for input in graph.inputs where graph.isOfCaller(input) { arguments[input.name] = try zeros(input) }
  }

  private init(sharing other: InterpretedExecutable) {
    (graph, inputs) = (other.graph, other.inputs)
  }

  func sibling() -> (any Executable)? {
    graph.outputs.contains { $0.updates != nil } ? nil : InterpretedExecutable(sharing: self)
  }

  private func set(_ input: String, _ tensor: Tensor) throws(LTMError) {
    if let array = inputs[input] {
      try array.write(tensor)
    } else {
      arguments[input] = tensor
    }
  }

  private func type(of input: String) throws(LTMError) -> TensorType {
    guard let found = graph.input(input) else { throw LTMError("there is no input '\(input)'") }
    return graph[found.value].type
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    let type = try type(of: input)
    try checkFit(tensor, input, type.dtype, type.staticShape ?? [])
    try set(input, tensor)
  }

  func dtype(of input: String) -> DType? { graph.input(input).map { graph[$0.value].type.dtype } }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    let type = try type(of: input)
    guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
      throw LTMError("there is no input '\(input)'")
    }
    var bytes = zeros.bytes
    bytes.withUnsafeMutableBytes(body)
    if let filled = Tensor(dtype: type.dtype, shape: shape, bytes: bytes) { try set(input, filled) }
  }

  func run() throws(LTMError) {
    let graph = graph
    var given = arguments
    for (name, array) in inputs { given[name] = try array.read() }
    let inputs = given
    let values = try reporting { try graph.evaluate(inputs, rounding: .everyOp) }
    for output in graph.outputs {
      guard let value = values[output.name] else { continue }
      results[output.name] = Tensor(value.data, shape: value.shape, dtype: graph[output.value].type.dtype)
    }
    for output in graph.outputs {
      if let updated = output.updates, let result = results[output.name] { try set(updated, result) }
    }
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    if let array = inputs[name] { return try array.read() }
    guard let tensor = arguments[name] ?? results[name] else { throw LTMError("there is no output '\(name)'") }
    return tensor
  }

  var memory: MemoryUse {
    var use = MemoryUse()
    use.addInputs(of: graph)
    return use
  }
}
