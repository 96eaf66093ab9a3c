import LTMIR
import LTMSupport
import Synchronization

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

  func compile(_ graph: Graph) throws(LTMError) -> any Executable { try InterpretedExecutable(graph) }
}

/// A graph with the arguments and results of one caller; the weights are shared.
private final class InterpretedExecutable: Executable {
  private let graph: Graph
  private let weights: Weights
  private var arguments: [String: Tensor] = [:]
  private var results: [String: Tensor] = [:]

  /// Every input that belongs to the model.
  private final class Weights: Sendable {
    let held = Mutex<[String: Tensor]>([:])
  }

  init(_ graph: Graph) throws(LTMError) {
    (self.graph, weights) = (graph, Weights())
    for input in graph.inputs {
      let type = graph[input.value].type
      guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      set(input.name, zeros)
    }
  }

  private init(sharing other: InterpretedExecutable) {
    (graph, weights) = (other.graph, other.weights)
  }

  func sibling() -> (any Executable)? {
    graph.outputs.contains { $0.updates != nil } ? nil : InterpretedExecutable(sharing: self)
  }

  private func set(_ input: String, _ tensor: Tensor) {
    if graph.input(input)?.role.isWeight == false {
      arguments[input] = tensor
    } else {
      weights.held.withLock { $0[input] = tensor }
    }
  }

  private func type(of input: String) throws(LTMError) -> TensorType {
    guard let found = graph.input(input) else { throw LTMError("there is no input '\(input)'") }
    return graph[found.value].type
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    let type = try type(of: input)
    guard tensor.dtype == type.dtype, tensor.shape == type.staticShape else {
      throw LTMError(
        "'\(input)' is \(type.dtype)\(type.staticShape ?? []), and was given \(tensor.dtype)\(tensor.shape)")
    }
    set(input, tensor)
  }

  func dtype(of input: String) -> DType? { graph.input(input).map { graph[$0.value].type.dtype } }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    let type = try type(of: input)
    guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
      throw LTMError("there is no input '\(input)'")
    }
    var bytes = zeros.bytes
    bytes.withUnsafeMutableBytes(body)
    if let filled = Tensor(dtype: type.dtype, shape: shape, bytes: bytes) { set(input, filled) }
  }

  func run() throws(LTMError) {
    let graph = graph
    let inputs = arguments.merging(weights.held.withLock { $0 }) { $1 }
    let values = try reporting { try graph.evaluate(inputs, rounding: .everyOp) }
    for output in graph.outputs {
      guard let value = values[output.name] else { continue }
      results[output.name] = Tensor(value.data, shape: value.shape, dtype: graph[output.value].type.dtype)
    }
    for output in graph.outputs {
      if let updated = output.updates, let result = results[output.name] { set(updated, result) }
    }
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    guard let tensor = arguments[name] ?? weights.held.withLock({ $0[name] }) ?? results[name] else {
      throw LTMError("there is no output '\(name)'")
    }
    return tensor
  }

  var memory: MemoryUse {
    var use = MemoryUse()
    use.addInputs(of: graph)
    return use
  }
}
