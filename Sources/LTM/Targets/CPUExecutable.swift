import LTMIR
import LTMKernels
import LTMLLVM
import LTMRuntime

/// A program with the memory of one caller. Nothing is allocated while it runs.
final class CPUExecutable: Profilable {
  private let program: CPUProgram
  private let arena: AlignedBuffer
  /// What the tasks of a launch share.
  private let workspace: AlignedBuffer
  /// What a task on the calling thread has to itself.
  private let scratch: AlignedBuffer
  private let storage: [String: Storage]
  /// Each launch's kernel and argument list, ready to pass on.
  private let launches: [(kernel: Int, arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>)]
  let memory: MemoryUse
  var kernels: [CompiledKernel] { program.kernels }
  let startsAtZero = true

  init(_ program: CPUProgram) throws(LTMError) {
    self.program = program
    let (plan, kernels) = (program.plan, program.kernels)
    arena = try reporting { try AlignedBuffer(byteCount: plan.arenaBytes) }
    let bytes = plan.launches.enumerated().map { number, launch in
      program.prepackedWorkspaces[number] == nil ? kernels[launch.kernel].workspaceBytes : 0
    }
    workspace = try reporting { try AlignedBuffer(byteCount: bytes.max() ?? 0) }
    scratch = try reporting { try AlignedBuffer(byteCount: kernels.map(\.scratchBytes).max() ?? 0) }
    let storage = try program.ownStorage()
    self.storage = storage
    let (base, shared) = (arena.address, workspace.address)
    launches = plan.launches.enumerated().map { number, launch in
      let arguments = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: launch.arguments.count + 1)
      arguments[launch.arguments.count] = program.prepackedWorkspaces[number]?.address ?? shared
      for (index, argument) in launch.arguments.enumerated() {
        switch plan[argument].place {
        case .input(let name), .output(let name): arguments[index] = storage[name]?.buffer.address
        case .arena(let offset): arguments[index] = base + offset
        }
      }
      return (launch.kernel, arguments)
    }
    var memory = MemoryUse(program.graph, plan)
    memory.workspaces = workspace.byteCount + program.prepackedWorkspaces.values.reduce(0) { $0 + $1.byteCount }
    self.memory = memory
  }

  deinit {
    for launch in launches { launch.arguments.deallocate() }
  }

  func sibling() throws(LTMError) -> (any Executable)? { program.updatesInputs ? nil : try CPUExecutable(program) }

  private func held(_ input: String) throws(LTMError) -> Storage {
    guard let held = storage[input] else { throw LTMError("there is no input '\(input)'") }
    program.noteWrite(to: input)
    return held
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) { try held(input).write(tensor) }

  func dtype(of input: String) -> DType? { storage[input]?.dtype }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    body(try held(input).buffer.bytes)
  }

  func run() {
    program.run { isPrepared in
      for launch in launches { run(launch.kernel, launch.arguments, isPrepared) }
    }
  }

  private func run(
    _ kernel: Int, _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ isPrepared: Bool
  ) {
    let kernel = program.kernels[kernel]
    for phase in isPrepared ? kernel.schedule.laterPhases : kernel.schedule.phases {
      program.pool.run(tasks: phase, kernel: kernel.function, arguments: arguments, scratch: scratch.address)
    }
  }

  func profile(runs: Int) -> [Profile.Timing] {
    let plan = program.plan
    var timings = plan.launches.map {
      Profile.Timing(kernel: plan.kernels[$0.kernel], schedule: program.kernels[$0.kernel].schedule, seconds: .infinity)
    }
    for _ in 0..<runs {
      program.run { isPrepared in
        for (index, launch) in launches.enumerated() {
          let start = ResourceUsage.monotonicSeconds
          run(launch.kernel, launch.arguments, isPrepared)
          timings[index].seconds = min(timings[index].seconds, ResourceUsage.monotonicSeconds - start)
        }
      }
    }
    return timings
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    guard let held = storage[name] else { throw LTMError("there is no output '\(name)'") }
    return try held.read()
  }

  func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError) {
    guard let held = storage[name] else { throw LTMError("there is no output '\(name)'") }
    try reporting { try body(UnsafeRawBufferPointer(held.buffer.bytes)) }
  }
}
