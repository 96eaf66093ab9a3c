import Foundation
import LTMHLO
import LTMIR
import LTMSupport

/// Runs graphs as StableHLO on the devices of a PJRT plugin: libtpu on a machine with a TPU, or any other.
struct TPUBackend: Backend {
  private let client: PJRTClient

  /// The plugin to open: the one given, else `TPU_LIBRARY_PATH`, else the `libtpu.so` that the system finds.
  static func pluginPath(_ given: String?) -> String {
    given ?? ProcessInfo.processInfo.environment["TPU_LIBRARY_PATH"] ?? "libtpu.so"
  }

  /// Opens the plugin and starts its devices.
  init(plugin given: String?) throws(LTMError) {
    let path = Self.pluginPath(given)
    do throws(PJRTError) {
      client = try PJRTClient(PJRTPlugin.open(path))
    } catch {
      throw LTMError(
        error.description,
        notes: [
          "the target tpu needs a PJRT plugin, which --pjrt-plugin PATH names; on a machine with a TPU it is libtpu.so",
          "'ltm compile --target tpu --emit stablehlo' works without one",
        ])
    }
  }

  func compile(_ graph: Graph) throws(LTMError) -> any Executable { try PJRTExecutable(graph, client) }
}

/// A program on a device, with the buffers that live there from one run to the next.
private final class PJRTExecutable: Executable {
  private let graph: Graph
  private let client: PJRTClient
  private let program: PJRTProgram
  private let types: [String: TensorType]
  /// What was written since the last run, by input.
  private var pending: [String: Tensor] = [:]
  /// Inputs on the device.
  private var storage: [String: PJRTBuffer] = [:]
  private var results: [String: PJRTBuffer] = [:]

  init(_ graph: Graph, _ client: PJRTClient) throws(LTMError) {
    self.graph = graph
    self.client = client
    program = try reporting { try client.compile(stableHLO(graph)) }
    types = Dictionary(
      graph.outputs.map { ($0.name, graph[$0.value].type) } + graph.inputs.map { ($0.name, graph[$0.value].type) },
      uniquingKeysWith: { $1 })
    for input in graph.inputs {
      let type = graph[input.value].type
      guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      pending[input.name] = zeros
    }
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    guard let type = inputType(input) else { throw LTMError("there is no input '\(input)'") }
    guard tensor.dtype == type.dtype, tensor.shape == type.staticShape else {
      throw LTMError("'\(input)' is \(type), and was given \(tensor.dtype)\(tensor.shape)")
    }
    pending[input] = tensor
  }

  func dtype(of input: String) -> DType? { inputType(input)?.dtype }

  private func inputType(_ name: String) -> TensorType? { graph.input(name).map { graph[$0.value].type } }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    guard let type = inputType(input), let shape = type.staticShape, let count = elementCount(shape) else {
      throw LTMError("there is no input '\(input)'")
    }
    var bytes = [UInt8](repeating: 0, count: count * type.dtype.byteCount)
    bytes.withUnsafeMutableBytes(body)
    pending[input] = Tensor(dtype: type.dtype, shape: shape, bytes: bytes)
  }

  func run() throws(LTMError) {
    try reporting {
      for (name, tensor) in pending { storage[name] = try client.buffer(tensor) }
      pending = [:]
      let arguments = graph.inputs.compactMap { storage[$0.name] }
      let values = try program.run([arguments])[0]
      for (output, value) in zip(graph.outputs, values) {
        // The old buffer is gone: the program has written the new value into it.
        if let updated = output.updates { storage[updated] = value }
        results[output.name] = value
      }
    }
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    if let tensor = pending[name] { return tensor }
    guard let buffer = storage[name] ?? results[name], let type = types[name], let shape = type.staticShape else {
      throw LTMError("there is no output '\(name)'")
    }
    return try reporting { try buffer.tensor(type.dtype, shape) }
  }

  var memory: MemoryUse {
    var use = MemoryUse()
    use.addInputs(of: graph)
    use.arena = program.memory?.temporaries ?? 0
    return use
  }
}
