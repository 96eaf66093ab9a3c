import Foundation
import LTMHLO
import LTMIR
import LTMSupport

/// A program on the devices of a plugin, with the arrays of a session that live there. The arguments of a program of several
/// replicas are split among them by rows; everything else is on each.
package final class PJRTExecutable: Executable {
  private let graph: Graph
  private let client: PJRTClient
  private let program: PJRTProgram
  private let inputs: [String: InputType]
  private let outputs: [String: TensorType]
  private let arrays: [String: SessionArray]
  /// Arguments that were written since the last run.
  private var pending: [String: Tensor] = [:]
  /// Arguments on the devices, by replica.
  private var storage: [String: [PJRTBuffer]] = [:]
  private var results: [String: [PJRTBuffer]] = [:]
  /// Whether each run ends with a comparison of the replicas' state.
  private let comparesReplicas = ProcessInfo.processInfo.environment["LTM_CHECK_REPLICAS"] == "1"

  /// What an input holds on the host.
  private struct InputType {
    let dtype: DType
    /// Rows of all replicas.
    let shape: [Int]
    /// The shape on one device.
    let local: [Int]
    let isSplit: Bool
  }

  init(_ graph: Graph, _ client: PJRTClient, _ sessionStorage: SessionStorage) throws(LTMError) {
    self.graph = graph
    self.client = client
    let replicas = graph.replicas
    program = try reporting { try client.compile(stableHLO(graph), replicas: replicas) }
    outputs = Dictionary(graph.outputs.map { ($0.name, graph[$0.value].type) }, uniquingKeysWith: { $1 })
    var inputs: [String: InputType] = [:]
    for input in graph.inputs {
      let type = graph[input.value].type
      guard let local = type.staticShape else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      let isSplit = replicas > 1 && input.role == .argument && !local.isEmpty
      let shape = isSplit ? [local[0] * replicas] + local.dropFirst() : local
      inputs[input.name] = InputType(dtype: type.dtype, shape: shape, local: local, isSplit: isSplit)
      guard graph.isOfCaller(input) else { continue }
      guard let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
        throw LTMError("'\(input.name)' of \(replicas) replicas is larger than memory could be")
      }
      pending[input.name] = zeros
    }
    self.inputs = inputs
    arrays = try sessionStorage.bind(graph) { (missing) throws(LTMError) in
      try missing.map { (input) throws(LTMError) in try PJRTArray(input, of: graph, client) }
    }
  }

  /// The memory of an input that is no argument.
  private func memory(of name: String) -> PJRTArray? { arrays[name]?.memory as? PJRTArray }

  package func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    guard let type = inputs[input] else { throw LTMError("there is no input '\(input)'") }
    try checkFit(tensor, input, type.dtype, type.shape)
    try set(input, tensor)
  }

  private func set(_ input: String, _ tensor: Tensor) throws(LTMError) {
    if let array = arrays[input] {
      try array.write(tensor)
    } else {
      pending[input] = tensor
    }
  }

  package func dtype(of input: String) -> DType? { inputs[input]?.dtype }

  package func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    guard let type = inputs[input], let count = elementCount(type.shape) else {
      throw LTMError("there is no input '\(input)'")
    }
    var bytes = [UInt8](repeating: 0, count: count * type.dtype.byteCount)
    bytes.withUnsafeMutableBytes(body)
    if let filled = Tensor(dtype: type.dtype, shape: type.shape, bytes: bytes) { try set(input, filled) }
  }

  package func run() throws(LTMError) {
    try reporting { try dispatch().wait() }
    if comparesReplicas { try compareReplicas() }
  }

  /// Starts a run on what was written; its results are in their places, though the devices may still be at them.
  private func dispatch() throws(LTMError) -> PJRTRun {
    try reporting {
      for (name, tensor) in pending { storage[name] = try placed(tensor, name) }
      pending = [:]
      let replicas = program.replicas
      let held = try graph.inputs.compactMap { input in
        try memory(of: input.name)?.placed(replicas: replicas) ?? storage[input.name]
      }
      let arguments = (0..<replicas).map { replica in held.map { $0[replica] } }
      let run = try program.start(arguments)
      for (index, output) in graph.outputs.enumerated() {
        let buffers = run.results.map { $0[index] }
        // The old buffers are gone: the program has written the new values into them.
        if let updated = output.updates {
          if let memory = memory(of: updated) { memory.replace(buffers) } else { storage[updated] = buffers }
          arrays[updated]?.noteWrite()
        }
        results[output.name] = buffers
      }
      return run
    }
  }

  /// A tensor on the devices: split by rows, or whole on each.
  private func placed(_ tensor: Tensor, _ name: String) throws -> [PJRTBuffer] {
    guard let type = inputs[name], type.isSplit else {
      return try (0..<program.replicas).map { try client.buffer(tensor, device: $0) }
    }
    let size = tensor.bytes.count / program.replicas
    return try (0..<program.replicas).map { replica in
      let rows = Array(tensor.bytes[replica * size..<(replica + 1) * size])
      guard let part = Tensor(dtype: type.dtype, shape: type.local, bytes: rows) else {
        throw LTMError("'\(name)' cannot be split into \(program.replicas)")
      }
      return try client.buffer(part, device: replica)
    }
  }

  package func read(_ name: String) throws(LTMError) -> Tensor {
    if let array = arrays[name] { return try array.read() }
    if let tensor = pending[name] { return tensor }
    if let type = inputs[name], let buffers = storage[name] {
      guard type.isSplit else { return try reporting { try buffers[0].tensor(type.dtype, type.local) } }
      let parts = try buffers.map { (buffer) throws(LTMError) in
        try reporting { try buffer.tensor(type.dtype, type.local).bytes }
      }
      if let whole = Tensor(dtype: type.dtype, shape: type.shape, bytes: parts.flatMap { $0 }) { return whole }
    }
    guard let buffer = results[name]?.first, let type = outputs[name], let shape = type.staticShape else {
      throw LTMError("there is no output '\(name)'")
    }
    return try reporting { try buffer.tensor(type.dtype, shape) }
  }

  /// What the last run gave under that name, by replica.
  package func replicas(of name: String) throws(LTMError) -> [Tensor] {
    guard let buffers = results[name], let type = outputs[name], let shape = type.staticShape else {
      throw LTMError("there is no output '\(name)'")
    }
    return try reporting { try buffers.map { try $0.tensor(type.dtype, shape) } }
  }

  /// Throws where what every replica should have alike differs in a bit.
  private func compareReplicas() throws(LTMError) {
    for output in graph.outputs {
      let tensors = try replicas(of: output.name)
      if let other = tensors.firstIndex(where: { $0 != tensors[0] }) {
        throw LTMError(
          "replica \(other) has another '\(output.name)' than replica 0",
          notes: ["what leaves a data-parallel step must be the same on all: this is a bug of ltm or of the plugin"])
      }
    }
  }

  package var memory: MemoryUse {
    var use = MemoryUse()
    use.addInputs(of: graph)
    use.arena = program.memory?.temporaries ?? 0
    return use
  }
}

extension PJRTExecutable {
  package var queuesRuns: Bool { true }

  package func start(before: [String], after: [String]) throws(LTMError) -> PendingValues {
    let earlier = try before.map { (name) throws(LTMError) in try startRead(name) }
    let run = try dispatch()
    if comparesReplicas { try compareReplicas() }
    let later = try after.map { (name) throws(LTMError) in try startRead(name) }
    return { () throws(LTMError) in
      try reporting {
        try run.wait()
        return try (earlier + later).map { try $0() }
      }
    }
  }

  /// Begins to read a scalar as it is now: on its way from the first device, or on the host still.
  private func startRead(_ name: String) throws(LTMError) -> () throws -> Tensor {
    if let memory = memory(of: name) { return try reporting { try memory.startRead() } }
    if let tensor = pending[name] { return { tensor } }
    guard let buffer = (storage[name] ?? results[name])?.first,
      let dtype = inputs[name]?.dtype ?? outputs[name]?.dtype,
      let shape = inputs[name]?.local ?? outputs[name]?.staticShape
    else { throw LTMError("there is no output '\(name)'") }
    let copy = try reporting { try buffer.startCopy(dtype, shape) }
    return { try copy.tensor() }
  }
}
