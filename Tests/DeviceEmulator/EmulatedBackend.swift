import LTM
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPTX
import LTMSupport

/// Runs graphs as device kernels in the emulator.
package struct EmulatedBackend: Backend {
  let architecture: DeviceArchitecture
  let order: EmulatedOrder

  package init(_ architecture: DeviceArchitecture, order: EmulatedOrder = .forward) {
    self.architecture = architecture
    self.order = order
  }

  package func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    do {
      let launches = try launchPlan(buildPlan(graph, epilogueReductions: false, takesAttention: false), architecture)
      return try EmulatedExecutable(graph, launches, order, storage)
    } catch {
      throw LTMError("\(error)")
    }
  }
}

/// A launch plan with its code and memory.
package final class EmulatedExecutable: Executable {
  private let launches: LaunchPlan
  private let module: EmulatedModule
  private let storage: PlanMemory
  private let order: EmulatedOrder
  private let types: [String: TensorType]
  /// What others may hold too, and is copied in for each run.
  private let inputs: [String: SessionArray]
  private let updated: [String]
  /// Arguments that no kernel reads.
  private var unused: [String: Tensor] = [:]
  package let memory = MemoryUse()

  package init(
    _ graph: Graph, _ launches: LaunchPlan, _ order: EmulatedOrder, _ session: SessionStorage
  ) throws {
    self.launches = launches
    self.order = order
    module = try EmulatedModule(launches.plan.kernels, launches.architecture)
    storage = PlanMemory(launches.plan)
    types = Dictionary(
      graph.outputs.map { ($0.name, graph[$0.value].type) } + graph.inputs.map { ($0.name, graph[$0.value].type) },
      uniquingKeysWith: { $1 })
    updated = graph.outputs.compactMap(\.updates)
    inputs = try session.bind(graph) { (missing) throws(LTMError) in
      try missing.map { (input) throws(LTMError) in
        let type = graph[input.value].type
        guard let zeros = Tensor(zeros: type.staticShape ?? [], dtype: type.dtype) else {
          throw LTMError("'\(input.name)' is \(type)")
        }
        return TensorMemory(zeros)
      }
    }
  }

  package func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    if let array = inputs[input] { return try array.write(tensor) }
    guard let bytes = storage.bytes(named: input) else {
      unused[input] = tensor
      return
    }
    guard bytes.count == tensor.bytes.count else { throw LTMError("'\(input)' has \(bytes.count) bytes") }
    bytes.copyBytes(from: tensor.bytes)
  }

  package func dtype(of input: String) -> DType? { types[input]?.dtype }

  package func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    guard let bytes = storage.bytes(named: input) else { throw LTMError("there is no input '\(input)'") }
    body(bytes)
    try keep(input)
  }

  /// Gives the session what an input holds now.
  private func keep(_ input: String) throws(LTMError) {
    guard let array = inputs[input], let bytes = storage.bytes(named: input),
      let tensor = Tensor(dtype: array.dtype, shape: array.shape, bytes: Array(bytes))
    else { return }
    try array.write(tensor)
  }

  package func run() throws(LTMError) {
    for (name, array) in inputs { storage.bytes(named: name)?.copyBytes(from: try array.read().bytes) }
    for (launch, entry) in launches.launched {
      do {
        try module.launch(
          entry.symbol, grid: entry.schedule.grid, block: entry.schedule.block,
          sharedBytes: entry.schedule.sharedBytes, storage.addresses(launch), order: order)
      } catch {
        throw LTMError("\(error)")
      }
      guard storage.marginsAreWhole else { throw LTMError("\(entry.symbol) wrote outside of its buffers") }
    }
    for name in updated { try keep(name) }
  }

  package func read(_ name: String) throws(LTMError) -> Tensor {
    if let array = inputs[name] { return try array.read() }
    if let tensor = unused[name] { return tensor }
    guard let bytes = storage.bytes(named: name), let type = types[name], let shape = type.staticShape,
      let tensor = Tensor(dtype: type.dtype, shape: shape, bytes: Array(bytes))
    else { throw LTMError("there is no output '\(name)'") }
    return tensor
  }
}
