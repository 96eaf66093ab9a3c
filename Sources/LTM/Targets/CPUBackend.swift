import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import LTMRuntime
import LTMSupport

/// Runs graphs as kernels that LLVM compiles for this machine, on a pool of threads.
package struct CPUBackend: Backend {
  package let pool: ThreadPool
  let compiler: KernelCompiler
  /// Whether values share kernels; without, each has one of its own: what fusion is compared with.
  let fuses: Bool
  let clock: PhaseClock

  package init(
    pool: ThreadPool, compiler: KernelCompiler, fuses: Bool = true, clock: PhaseClock = PhaseClock()
  ) {
    self.pool = pool
    self.compiler = compiler
    self.fuses = fuses
    self.clock = clock
  }

  package func compile(_ graph: Graph) throws(LTMError) -> any Executable {
    let plan = try clock.time("kernels") { () throws(LTMError) in
      try reporting { try buildPlan(graph, fuse: fuses) }
    }
    let kernels = try clock.time("machine code") { () throws(LTMError) in
      try reporting { try compiler.compile(plan.kernels) }
    }
    return try clock.time("memory") { () throws(LTMError) in try CPUExecutable(graph, plan, kernels, pool) }
  }
}

/// A plan with its machine code and memory. Nothing is allocated while it runs.
private final class CPUExecutable: Profilable {
  private let plan: Plan
  let kernels: [CompiledKernel]
  private let pool: ThreadPool
  private let arena: AlignedBuffer
  /// What the tasks of a launch share.
  private let workspace: AlignedBuffer
  /// The same for launches that keep what they make of constants in it, by their number.
  private let keptWorkspaces: [Int: AlignedBuffer]
  /// Whether that is made.
  private var isPrepared = false
  private let storage: [String: Storage]
  /// The inputs that kernels call constant.
  private let constants: Set<String>
  /// Each launch's kernel and argument list, ready to pass on.
  private let launches: [(kernel: Int, arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>)]
  let memory: MemoryUse
  let startsAtZero = true

  init(_ graph: Graph, _ plan: Plan, _ kernels: [CompiledKernel], _ pool: ThreadPool) throws(LTMError) {
    self.plan = plan
    self.kernels = kernels
    self.pool = pool
    arena = try reporting { try AlignedBuffer(byteCount: plan.arenaBytes) }
    let (kept, others) = plan.launches.indices.reduce(into: ([Int](), [Int]())) { sorted, number in
      let keeps = !kernels[plan.launches[number].kernel].schedule.keptPreparations.isEmpty
      if keeps { sorted.0.append(number) } else { sorted.1.append(number) }
    }
    let bytes = plan.launches.map { kernels[$0.kernel].workspaceBytes }
    workspace = try reporting { try AlignedBuffer(byteCount: others.map { bytes[$0] }.max() ?? 0) }
    var keptWorkspaces: [Int: AlignedBuffer] = [:]
    for number in kept { keptWorkspaces[number] = try reporting { try AlignedBuffer(byteCount: bytes[number]) } }
    self.keptWorkspaces = keptWorkspaces
    try reporting { try pool.reserveScratch(byteCount: kernels.map(\.scratchBytes).max() ?? 0) }
    let storage = try Self.storage(of: graph, plan)
    self.storage = storage
    let (base, shared) = (arena.address, workspace.address)
    launches = plan.launches.enumerated().map { number, launch in
      let arguments = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: launch.arguments.count + 1)
      arguments[launch.arguments.count] = keptWorkspaces[number]?.address ?? shared
      for (index, argument) in launch.arguments.enumerated() {
        switch plan[argument].place {
        case .input(let name), .output(let name): arguments[index] = storage[name]?.buffer.address
        case .arena(let offset): arguments[index] = base + offset
        }
      }
      return (launch.kernel, arguments)
    }
    constants = Self.constants(of: plan)
    memory = MemoryUse(graph, plan)
  }

  deinit {
    for launch in launches { launch.arguments.deallocate() }
  }

  private static func constants(of plan: Plan) -> Set<String> {
    plan.launches.reduce(into: []) { names, launch in
      for (argument, buffer) in zip(launch.arguments, plan.kernels[launch.kernel].buffers)
      where buffer.access == .constant {
        if case .input(let name) = plan[argument].place { names.insert(name) }
      }
    }
  }

  /// Memory for every input, those that no kernel reads included, and for every output that updates none.
  private static func storage(of graph: Graph, _ plan: Plan) throws(LTMError) -> [String: Storage] {
    var storage: [String: Storage] = [:]
    for input in graph.inputs {
      let type = graph[input.value].type
      storage[input.name] = try Storage(name: input.name, dtype: type.dtype, shape: type.staticShape ?? [])
    }
    for buffer in plan.buffers {
      if case .output(let name) = buffer.place {
        storage[name] = try Storage(name: name, dtype: buffer.dtype, shape: buffer.shape)
      }
    }
    return storage
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    guard let held = storage[input] else { throw LTMError("there is no input '\(input)'") }
    if constants.contains(input) { isPrepared = false }
    try held.write(tensor)
  }

  func dtype(of input: String) -> DType? { storage[input]?.dtype }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    guard let held = storage[input] else { throw LTMError("there is no input '\(input)'") }
    if constants.contains(input) { isPrepared = false }
    body(held.buffer.bytes)
  }

  func run() {
    for launch in launches { run(launch.kernel, launch.arguments) }
    isPrepared = true
  }

  private func run(_ kernel: Int, _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>) {
    let kernel = kernels[kernel]
    let phases = isPrepared ? kernel.schedule.laterPhases : kernel.schedule.phases
    for phase in phases { pool.run(tasks: phase, kernel: kernel.function, arguments: arguments) }
  }

  func profile(runs: Int) -> [Profile.Timing] {
    var timings = plan.launches.map {
      Profile.Timing(kernel: plan.kernels[$0.kernel], schedule: kernels[$0.kernel].schedule, seconds: .infinity)
    }
    for _ in 0..<runs {
      for (index, launch) in launches.enumerated() {
        let start = ResourceUsage.monotonicSeconds
        run(launch.kernel, launch.arguments)
        timings[index].seconds = min(timings[index].seconds, ResourceUsage.monotonicSeconds - start)
      }
    }
    return timings
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    guard let held = storage[name] else { throw LTMError("there is no output '\(name)'") }
    return try held.read()
  }
}
