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

  func compile(_ graph: Graph) throws(LTMError) -> any Executable { try InterpretedExecutable(graph) }
}

private final class InterpretedExecutable: Executable {
  private let graph: Graph
  private var storage: [String: Tensor] = [:]
  private var results: [String: Tensor] = [:]

  init(_ graph: Graph) throws(LTMError) {
    self.graph = graph
    for input in graph.inputs {
      let type = graph[input.value].type
      guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      storage[input.name] = zeros
    }
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    guard let held = storage[input] else { throw LTMError("there is no input '\(input)'") }
    guard tensor.dtype == held.dtype, tensor.shape == held.shape else {
      throw LTMError("'\(input)' is \(held.dtype)\(held.shape), and was given \(tensor.dtype)\(tensor.shape)")
    }
    storage[input] = tensor
  }

  func dtype(of input: String) -> DType? { storage[input]?.dtype }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    guard let held = storage[input] else { throw LTMError("there is no input '\(input)'") }
    let bytes = [UInt8](unsafeUninitializedCapacity: held.bytes.count) { buffer, filled in
      body(UnsafeMutableRawBufferPointer(buffer))
      filled = held.bytes.count
    }
    storage[input] = Tensor(dtype: held.dtype, shape: held.shape, bytes: bytes)
  }

  func run() throws(LTMError) {
    let graph = graph
    let inputs = storage
    let values = try reporting { try graph.evaluate(inputs, rounding: .everyOp) }
    for output in graph.outputs {
      guard let value = values[output.name] else { continue }
      results[output.name] = Tensor(value.data, shape: value.shape, dtype: graph[output.value].type.dtype)
    }
    for output in graph.outputs {
      if let updated = output.updates { storage[updated] = results[output.name] }
    }
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    guard let tensor = storage[name] ?? results[name] else { throw LTMError("there is no output '\(name)'") }
    return tensor
  }

  var memory: MemoryUse {
    var use = MemoryUse()
    use.addInputs(of: graph)
    return use
  }
}
