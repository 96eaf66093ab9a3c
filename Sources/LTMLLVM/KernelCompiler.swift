internal import CLLVM
import Dispatch
import LTMIR
import LTMKernels
import LTMSupport
import Synchronization

/// What a kernel's machine code is called as: buffers in the kernel's order and, after them, the workspace of a schedule
/// that has one; tasks `firstTask..<endTask`; and this thread's scratch memory, aligned to 64 bytes.
package typealias KernelFunction =
  @convention(c) (
    UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ firstTask: Int, _ endTask: Int,
    _ scratch: UnsafeMutableRawPointer?
  ) -> Void

/// A kernel that can run. The tasks of a phase may run in any order, on any threads.
package struct CompiledKernel: Sendable {
  package let name: String
  package let schedule: Schedule
  package var taskCount: Int { schedule.taskCount }
  package var scratchBytes: Int { schedule.scratchBytes }
  package var workspaceBytes: Int { schedule.workspaceBytes }
  package let function: KernelFunction
  /// What making or reading the code took, in seconds.
  package let seconds: Double
  /// Whether the code came from the cache on disk.
  package let isCached: Bool
  /// Keeps the code in memory.
  private let image: CodeImage

  init(
    name: String, schedule: Schedule, function: KernelFunction, image: CodeImage, seconds: Double, isCached: Bool
  ) {
    self.name = name
    self.schedule = schedule
    self.function = function
    self.image = image
    self.seconds = seconds
    self.isCached = isCached
  }
}

/// What a kernel can be turned into.
package enum EmittedForm: String, Sendable, CaseIterable {
  case llvmIR = "llvm"
  case optimizedIR = "optimized-llvm"
  case assembly = "asm"
  case object = "obj"
}

/// Turns kernels into machine code: in parallel, each distinct one once, through the cache on disk.
package final class KernelCompiler: Sendable {
  package let profile: TargetProfile
  private let cache: ObjectCache?
  private let jit: JIT
  private let ready = Mutex<[String: CompiledKernel]>([:])
  /// Makes kernels known to debuggers and profilers, where that is wanted.
  private let debugSession: DebugSession?

  /// A compiler for the machine it runs on (or a profile that this machine has the instructions of).
  package init(
    profile: TargetProfile = .host, cache: ObjectCache? = ObjectCache.standard,
    debugSession: DebugSession? = DebugSession.requested
  ) throws(LLVMFailure) {
    self.profile = profile.jitted
    self.cache = cache
    self.debugSession = debugSession
    jit = try JIT(registersCode: debugSession != nil)
  }

  /// Compiles a batch, in the order given. Batches wait for each other, so that no kernel is linked twice.
  package func compile(_ kernels: [Kernel]) throws(LLVMFailure) -> [CompiledKernel] {
    let jobs = kernels.map { Job($0, profile, debugSession) }
    return try ready.withLock { (ready) throws(LLVMFailure) in
      let missing = Dictionary(
        jobs.filter { ready[$0.key] == nil }.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
      // The longest first, so that no thread is left with one at the end.
      let order = missing.values.sorted { ($1.work, $0.key) < ($0.work, $1.key) }
      for (job, result) in zip(order, linkAll(order)) { ready[job.key] = try result?.get() }
      return try jobs.map { job throws(LLVMFailure) in
        guard let kernel = ready[job.key] else { throw LLVMFailure("kernel \(job.kernel.name) is missing") }
        return kernel
      }
    }
  }

  /// Links in parallel, in the order given.
  private func linkAll(_ jobs: [Job]) -> [Result<CompiledKernel, LLVMFailure>?] {
    let results = Mutex([Result<CompiledKernel, LLVMFailure>?](repeating: nil, count: jobs.count))
    DispatchQueue.concurrentPerform(iterations: jobs.count) { index in
      let result = Result { () throws(LLVMFailure) in try self.link(jobs[index]) }
      results.withLock { $0[index] = result }
    }
    return results.withLock { $0 }
  }

  /// Machine code from the cache or made now, linked.
  private func link(_ job: Job) throws(LLVMFailure) -> CompiledKernel {
    let start = ContinuousClock.now
    if let object = cache?.object(for: job.key), let kernel = try? load(job, object, since: start, isCached: true) {
      return kernel
    }
    let object = try emit(
      job.kernel, as: .object, profile: profile, symbol: job.symbol, schedule: job.schedule, lines: debugSession?.folder
    )
    cache?.store(object, for: job.key)
    return try load(job, object, since: start, isCached: false)
  }

  private func load(
    _ job: Job, _ object: [UInt8], since start: ContinuousClock.Instant, isCached: Bool
  ) throws(LLVMFailure) -> CompiledKernel {
    let image = try jit.add(object: object)
    let address = try jit.address(of: job.symbol)
    guard let pointer = UnsafeRawPointer(bitPattern: address) else { throw LLVMFailure("\(job.symbol) has no address") }
    debugSession?.add(object, symbol: job.symbol, at: address)
    return CompiledKernel(
      name: job.kernel.name, schedule: job.schedule, function: unsafeBitCast(pointer, to: KernelFunction.self),
      image: image, seconds: (ContinuousClock.now - start) / .seconds(1), isCached: isCached)
  }

  /// One kernel to compile, with its key in the cache.
  private struct Job: Sendable {
    let kernel: Kernel
    let schedule: Schedule
    let key: String
    /// What compiling it costs, roughly: a tiled contraction has a micro-kernel, packing and edges of its own.
    let work: Int
    /// The key alone; with debug info the kernel's name too, for those who look.
    let symbol: String

    init(_ kernel: Kernel, _ profile: TargetProfile, _ session: DebugSession?) {
      self.kernel = kernel
      schedule = LTMLLVM.schedule(kernel, profile)
      let isTiled = if case .contraction = schedule.strategy { true } else { false }
      work = kernel.expressions.count + (isTiled ? 100 : 0)
      var parts = [
        kernel.identity, "\(schedule)", profile.triple, profile.cpu, profile.features, Bootstrap.version, "emitters 4",
      ]
      // Names and places decide an object only where it tells of them.
      if let session { parts += [kernel.name, "\(kernel.locations)", "\(kernel.origins)", session.folder] }
      key = ObjectCache.key(parts)
      symbol = session == nil ? "ltm_" + key : "\(kernel.name)_\(key.prefix(8))"
    }
  }
}

/// A kernel in one of the forms that `ltm compile` writes, for any profile.
///
/// - Parameter lines: the folder that paths of source places start from, where line tables are wanted.
package func emit(
  _ kernel: Kernel, as form: EmittedForm, profile: TargetProfile, symbol: String? = nil, schedule: Schedule? = nil,
  lines folder: String? = nil
) throws(LLVMFailure) -> [UInt8] {
  CurrentWork.set("kernel @\(kernel.name) (\(kernel.locations.map(\.description).joined(separator: ", ")))")
  defer { CurrentWork.set(nil) }
  let machine = try Machine(profile)
  let workspace = try Workspace(name: kernel.name, machine: machine)
  let symbol = symbol ?? cIdentifier(kernel.name)
  let ir = IRBuilder(workspace, profile: profile)
  ir.debug = folder.flatMap { DebugInfo(workspace, folder: $0) }
  KernelEmitter.emit(kernel, schedule ?? LTMLLVM.schedule(kernel, profile), named: symbol, into: ir)
  ir.debug?.finish()
  return try workspace.finish(form, machine: machine)
}

extension Workspace {
  /// The cheapest pipeline that keeps the speed: the vectors are explicit, so only redundant integers are left to remove.
  private static var passes: String {
    "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse<memssa>,simplifycfg)"
  }

  /// Verifies what was emitted and turns it into the form asked for.
  func finish(_ form: EmittedForm, machine: borrowing Machine) throws(LLVMFailure) -> [UInt8] {
    try verify()
    if form == .llvmIR { return Array(text.utf8) }
    try run(passes: Self.passes, machine: machine)
    switch form {
    case .llvmIR, .optimizedIR: return Array(text.utf8)
    case .assembly: return try generate(LLVMAssemblyFile, machine: machine)
    case .object: return try generate(LLVMObjectFile, machine: machine)
    }
  }
}

/// A name that C accepts.
package func cIdentifier(_ name: String) -> String {
  let body = String(
    name.unicodeScalars.map { ("a"..."z" ~= $0 || "A"..."Z" ~= $0 || "0"..."9" ~= $0) ? Character($0) : "_" })
  return body.first.map { $0.isNumber } ?? true ? "_" + body : body
}
