import LTMIR
import LTMKernels
import LTMLLVM
import LTMRuntime
import Synchronization

/// A plan with its machine code, its weights, and what kernels make of weights once: what executables of one graph share.
final class CPUProgram: Sendable {
  let graph: Graph
  let plan: Plan
  let kernels: [CompiledKernel]
  let pool: ThreadPool
  /// Whether a run changes what the next one finds: then there is one executable alone.
  let updatesInputs: Bool
  /// The inputs that no run writes, by name.
  private let weights: [String: Storage]
  /// The inputs that kernels call constant.
  private let constants: Set<String>
  /// The memory of launches that keep what they make of constants, by their number.
  let prepackedWorkspaces: [Int: AlignedBuffer]
  /// Whether that is made.
  private let isPrepared = Atomic(false)
  private let preparing = Lock()

  init(_ graph: Graph, _ plan: Plan, _ kernels: [CompiledKernel], _ pool: ThreadPool) throws(LTMError) {
    (self.graph, self.plan, self.kernels, self.pool) = (graph, plan, kernels, pool)
    updatesInputs = graph.outputs.contains { $0.updates != nil }
    weights = try Storage.inputs(of: graph) { $0.role.isWeight }
    constants = Self.constants(of: plan)
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

  private static func constants(of plan: Plan) -> Set<String> {
    plan.steps.flatMap(plan.accesses).reduce(into: []) { names, argument in
      if argument.access == .constant, case .input(let name) = plan[argument.id].place { names.insert(name) }
    }
  }

  /// Memory for what one caller has alone: arguments, the seed of random numbers, and results.
  func ownStorage() throws(LTMError) -> [String: Storage] {
    var storage = try Storage.inputs(of: graph) { !$0.role.isWeight }
    for buffer in plan.buffers {
      if case .output(let name) = buffer.place {
        storage[name] = try Storage(name: name, dtype: buffer.dtype, shape: buffer.shape)
      }
    }
    return storage.merging(weights) { $1 }
  }

  /// To be called when an input is written, while nothing runs that reads it.
  func noteWrite(to input: String) {
    if constants.contains(input) { isPrepared.store(false, ordering: .releasing) }
  }

  /// Calls `body` with whether what is kept is made; it makes it otherwise, while no other call does.
  func run(_ body: (_ isPrepared: Bool) -> Void) {
    if prepackedWorkspaces.isEmpty || isPrepared.load(ordering: .acquiring) { return body(true) }
    let isDone = preparing.withLock {
      if isPrepared.load(ordering: .acquiring) { return false }
      body(false)
      isPrepared.store(true, ordering: .releasing)
      return true
    }
    if !isDone { body(true) }
  }
}

extension Storage {
  /// Memory for some of a graph's inputs, those that no kernel reads included.
  static func inputs(of graph: Graph, where isWanted: (GraphInput) -> Bool) throws(LTMError) -> [String: Storage] {
    var storage: [String: Storage] = [:]
    for input in graph.inputs where isWanted(input) {
      let type = graph[input.value].type
      storage[input.name] = try Storage(name: input.name, dtype: type.dtype, shape: type.staticShape ?? [])
    }
    return storage
  }
}
