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
  /// Keeps the code in memory, its own and that of the micro-kernels it calls.
  let images: [CodeImage]
}

/// Turns kernels into machine code: in parallel, each distinct one once, through the cache on disk.
package final class KernelCompiler: Sendable {
  package let profile: TargetProfile
  private let cache: ObjectCache?
  private let jit: JIT
  private let ready = Mutex(Ready())
  /// Makes kernels known to debuggers and profilers, where that is wanted.
  private let debugSession: DebugSession?

  /// What is linked, by its key.
  private struct Ready {
    var kernels: [String: CompiledKernel] = [:]
    var microKernels: [MicroTile: CodeImage] = [:]
  }

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
  package func compile(_ kernels: [Kernel], keepsOrder: Bool = false) throws(LLVMFailure) -> [CompiledKernel] {
    let profile = keepsOrder ? profile.ordered : profile
    let jobs = kernels.map { KernelJob($0, profile, debugSession) }
    return try ready.withLock { (ready) throws(LLVMFailure) in
      let missing = Dictionary(
        jobs.filter { ready.kernels[$0.key] == nil }.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
      try make(Array(missing.values), into: &ready)
      return try jobs.map { job throws(LLVMFailure) in
        guard let kernel = ready.kernels[job.key] else { throw LLVMFailure("kernel \(job.kernel.name) is missing") }
        return kernel
      }
    }
  }

  /// All machine code first, then the linking: micro-kernels before the kernels that call them.
  private func make(_ jobs: [KernelJob], into ready: inout Ready) throws(LLVMFailure) {
    let tiles = Set(jobs.flatMap(\.microTiles)).filter { ready.microKernels[$0] == nil }
    let microJobs = tiles.map { MicroKernelJob($0, profile) }
    let all: [any CodeJob] = jobs + microJobs
    // The longest first, so that no thread is left with one at the end.
    let order = all.sorted { ($1.work, $0.key) < ($0.work, $1.key) }
    let made = try inParallel(order) { job throws(LLVMFailure) in try self.code(job) }
    let codes = Dictionary(zip(order.map(\.key), made), uniquingKeysWith: { first, _ in first })
    @Sendable func code(_ job: any CodeJob) throws(LLVMFailure) -> Code {
      guard let code = codes[job.key] else { throw LLVMFailure("the code of \(job.symbol) is missing") }
      return code
    }
    for job in microJobs { ready.microKernels[job.shape] = try load(job, code(job)).image }
    let images = ready.microKernels
    let linked = try inParallel(jobs) { job throws(LLVMFailure) in
      try self.kernel(job, code(job), calling: job.microTiles.compactMap { images[$0] })
    }
    for (job, kernel) in zip(jobs, linked) { ready.kernels[job.key] = kernel }
  }

  /// Machine code, from the cache or made now.
  private func code(_ job: any CodeJob) throws(LLVMFailure) -> Code {
    let start = ContinuousClock.now
    if let object = cache?.object(for: job.key) { return Code(object, since: start, isCached: true) }
    return try emit(job, since: start)
  }

  private func emit(_ job: any CodeJob, since start: ContinuousClock.Instant) throws(LLVMFailure) -> Code {
    let object = try job.emit()
    cache?.store(object, for: job.key)
    return Code(object, since: start, isCached: false)
  }

  /// Links; what came from the cache and does not fit is made anew.
  private func load(
    _ job: any CodeJob, _ code: Code
  ) throws(LLVMFailure) -> (image: CodeImage, address: UInt, code: Code) {
    func link(_ code: Code) throws(LLVMFailure) -> (CodeImage, UInt, Code) {
      (try jit.add(object: code.object), try jit.address(of: job.symbol), code)
    }
    guard code.isCached else { return try link(code) }
    if let linked = try? link(code) { return linked }
    return try link(emit(job, since: .now))
  }

  private func kernel(
    _ job: KernelJob, _ code: Code, calling others: [CodeImage]
  ) throws(LLVMFailure) -> CompiledKernel {
    let start = ContinuousClock.now
    let (image, address, code) = try load(job, code)
    guard let pointer = UnsafeRawPointer(bitPattern: address) else { throw LLVMFailure("\(job.symbol) has no address") }
    debugSession?.add(code.object, symbol: job.symbol, at: address)
    return CompiledKernel(
      name: job.kernel.name, schedule: job.schedule, function: unsafeBitCast(pointer, to: KernelFunction.self),
      seconds: code.seconds + (ContinuousClock.now - start) / .seconds(1), isCached: code.isCached,
      images: [image] + others)
  }
}

/// An object before it is linked.
private struct Code: Sendable {
  let object: [UInt8]
  /// What making or reading it took.
  let seconds: Double
  let isCached: Bool

  init(_ object: [UInt8], since start: ContinuousClock.Instant, isCached: Bool) {
    (self.object, self.isCached) = (object, isCached)
    seconds = (ContinuousClock.now - start) / .seconds(1)
  }
}

/// What every job gives, in its place.
private func inParallel<Job: Sendable, Value: Sendable>(
  _ jobs: [Job], _ work: @Sendable (Job) throws(LLVMFailure) -> Value
) throws(LLVMFailure) -> [Value] {
  let results = Mutex([Result<Value, LLVMFailure>?](repeating: nil, count: jobs.count))
  DispatchQueue.concurrentPerform(iterations: jobs.count) { index in
    let result = Result { () throws(LLVMFailure) in try work(jobs[index]) }
    results.withLock { $0[index] = result }
  }
  let all = results.withLock { $0 }
  var values: [Value] = []
  for case let result? in all { values.append(try result.get()) }
  return values
}
