import LTMIR
import LTMKernels
import LTMLLVM
import LTMMPI
import LTMRuntime
import Synchronization

/// A plan with its machine code, the arrays of its session, and what kernels make of them once: what executables of one graph
/// share.
final class CPUProgram: Sendable {
  let graph: Graph
  let plan: Plan
  let kernels: [CompiledKernel]
  let pool: ThreadPool
  /// With whom it makes what its plan says that ranks make together.
  let ranks: RankThread?
  /// Whether a run changes what the next one finds: then there is one executable alone.
  var updatesInputs: Bool { graph.outputs.contains { $0.updates != nil } }
  /// The inputs that are no arguments, by name.
  let inputs: [String: SessionArray]
  /// Those that a run writes.
  private let updated: [SessionArray]
  /// Those that kernels call constant.
  private let constants: [SessionArray]
  /// The memory of launches that keep what they make of constants, by their number.
  let prepackedWorkspaces: [Int: AlignedBuffer]
  /// The constants' version that it was made of.
  private let preparedVersion = Atomic(-1)
  private let preparing = Lock()

  init(
    _ graph: Graph, _ plan: Plan, _ kernels: [CompiledKernel], _ pool: ThreadPool, _ ranks: RankThread?,
    in storage: SessionStorage
  ) throws(LTMError) {
    (self.graph, self.plan, self.kernels, self.pool, self.ranks) = (graph, plan, kernels, pool, ranks)
    let inputs = try storage.bind(graph) { (missing) throws(LTMError) in
      try missing.map { (input) throws(LTMError) in try CPUArray(input, of: graph) }
    }
    self.inputs = inputs
    updated = graph.outputs.compactMap { $0.updates.flatMap { inputs[$0] } }
    constants = Self.constants(of: plan).compactMap { inputs[$0] }
    var kept: [Int: AlignedBuffer] = [:]
    // A body's constants are those of a loop: each caller keeps its own.
    for (number, launch) in plan.launches.enumerated() where !launch.isInLoop {
      let kernel = kernels[launch.kernel]
      if kernel.schedule.prepackPhases.isEmpty { continue }
      kept[number] = try reporting { try AlignedBuffer(byteCount: kernel.workspaceBytes) }
    }
    prepackedWorkspaces = kept
    try reporting { try pool.reserveScratch(byteCount: kernels.map(\.scratchBytes).max() ?? 0) }
  }

  /// The names of the inputs that kernels call constant.
  private static func constants(of plan: Plan) -> Set<String> {
    plan.steps.flatMap(plan.accesses).reduce(into: []) { names, argument in
      if argument.access == .constant, case .input(let name) = plan[argument.id].place { names.insert(name) }
    }
  }

  /// The memory of one caller by name: arguments, controls and results of its own, and the session's arrays.
  func callerMemory() throws(LTMError) -> [String: CPUArray] {
    var memory = inputs.compactMapValues { $0.memory as? CPUArray }
    for input in graph.inputs where graph.isOfCaller(input) {
      memory[input.name] = try CPUArray(input, of: graph)
    }
    for buffer in plan.buffers {
      if case .output(let name) = buffer.place {
        memory[name] = try CPUArray(name: name, dtype: buffer.dtype, shape: buffer.shape)
      }
    }
    return memory
  }

  /// Grows with each write to a constant.
  private var version: Int { constants.reduce(0) { $0 + $1.version } }

  /// Calls `body` with whether what is kept is made of the constants as they are; it makes it otherwise, while no other call
  /// does.
  func run(_ body: (_ isPrepared: Bool) throws(LTMError) -> Void) throws(LTMError) {
    defer { for array in updated { array.noteWrite() } }
    if prepackedWorkspaces.isEmpty { return try body(true) }
    let version = version
    if preparedVersion.load(ordering: .acquiring) == version { return try body(true) }
    let isDone = try preparing.withLock { () throws(LTMError) in
      if preparedVersion.load(ordering: .acquiring) == version { return false }
      try body(false)
      preparedVersion.store(version, ordering: .releasing)
      return true
    }
    if !isDone { try body(true) }
  }
}
