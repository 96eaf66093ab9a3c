import LTMIR
import LTMKernels
import LTMLLVM
import LTMRuntime
import LTMSupport

/// A program with the memory of one caller. Nothing is allocated while it runs.
final class CPUExecutable: Profilable {
  private let program: CPUProgram
  private let arena: AlignedBuffer
  /// What the tasks of a launch share.
  private let workspace: AlignedBuffer
  /// What a task on the calling thread has to itself.
  private let scratch: AlignedBuffer
  /// By the name of an input or an output.
  private let arrays: [String: CPUArray]
  /// What is made of a loop's constants in its first iteration, by the launch's number.
  private let loopWorkspaces: [Int: AlignedBuffer]
  private let steps: CPUSteps
  let memory: MemoryUse
  var kernels: [CompiledKernel] { program.kernels }
  let startsAtZero = true

  init(_ program: CPUProgram) throws(LTMError) {
    self.program = program
    let (plan, kernels) = (program.plan, program.kernels)
    arena = try reporting { try AlignedBuffer(byteCount: plan.arenaBytes) }
    var (own, bytes) = ([Int: AlignedBuffer](), 0)
    for (number, launch) in plan.launches.enumerated() where program.prepackedWorkspaces[number] == nil {
      let kernel = kernels[launch.kernel]
      if kernel.schedule.prepackPhases.isEmpty {
        bytes = max(bytes, kernel.workspaceBytes)
      } else {
        own[number] = try reporting { try AlignedBuffer(byteCount: kernel.workspaceBytes) }
      }
    }
    let loopWorkspaces = own
    self.loopWorkspaces = loopWorkspaces
    workspace = try reporting { try AlignedBuffer(byteCount: bytes) }
    scratch = try reporting { try AlignedBuffer(byteCount: kernels.map(\.scratchBytes).max() ?? 0) }
    let arrays = try program.callerMemory()
    self.arrays = arrays
    let (base, shared) = (arena.address, workspace.address)
    steps = CPUSteps(
      plan,
      address: { buffer in
        switch buffer.place {
        case .input(let name), .output(let name): arrays[name]?.buffer.address ?? base
        case .arena(let offset): base + offset
        case .parameter, .part: internalFailure("plan", "a buffer of its own frame lies in another")
        }
      },
      workspace: { (program.prepackedWorkspaces[$0] ?? loopWorkspaces[$0])?.address ?? shared })
    var memory = MemoryUse(program.graph, plan)
    let kept = Array(program.prepackedWorkspaces.values) + Array(loopWorkspaces.values)
    memory.workspaces = workspace.byteCount + scratch.byteCount + kept.reduce(0) { $0 + $1.byteCount }
    memory.arguments = arrays.reduce(0) { $0 + (program.inputs[$1.key] == nil ? $1.value.buffer.byteCount : 0) }
    self.memory = memory
  }

  func sibling() throws(LTMError) -> (any Executable)? { program.updatesInputs ? nil : try CPUExecutable(program) }

  private func array(_ name: String, _ kind: String) throws(LTMError) -> CPUArray {
    guard let array = arrays[name] else { throw LTMError("there is no \(kind) '\(name)'") }
    return array
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    try array(input, "input").write(tensor)
    program.inputs[input]?.noteWrite()
  }

  func dtype(of input: String) -> DType? { arrays[input]?.dtype }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    body(try array(input, "input").buffer.bytes)
    program.inputs[input]?.noteWrite()
  }

  func run() throws(LTMError) {
    try program.run { (isPrepared) throws(LTMError) in try steps.run(isPrepared: isPrepared, program.ranks, start) }
  }

  private func start(_ launch: CPUSteps.Launch, _ isPrepared: Bool) {
    let kernel = program.kernels[launch.kernel]
    for phase in isPrepared ? kernel.schedule.laterPhases : kernel.schedule.phases {
      program.pool.run(tasks: phase, kernel: kernel.function, arguments: launch.arguments, scratch: scratch.address)
    }
  }

  func profile(runs: Int) throws(LTMError) -> [Profile.Timing] {
    let plan = program.plan
    var timings = plan.launches.map {
      Profile.Timing(
        kernel: plan.kernels[$0.kernel], schedule: program.kernels[$0.kernel].schedule, runs: $0.runs,
        seconds: .infinity)
    }
    for _ in 0..<runs {
      var sums = [Double](repeating: 0, count: timings.count)
      try program.run { (isPrepared) throws(LTMError) in
        try steps.run(isPrepared: isPrepared, program.ranks) { launch, isPrepared in
          let begin = ResourceUsage.monotonicSeconds
          start(launch, isPrepared)
          sums[launch.number] += ResourceUsage.monotonicSeconds - begin
        }
      }
      for (number, sum) in sums.enumerated() { timings[number].seconds = min(timings[number].seconds, sum) }
    }
    return timings
  }

  func read(_ name: String) throws(LTMError) -> Tensor { try array(name, "output").read() }

  func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError) {
    try array(name, "output").withBytes(body)
  }
}
