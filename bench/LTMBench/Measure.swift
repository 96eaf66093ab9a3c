import ArgumentParser
import CCeilings
import LTM
import LTMRuntime
import LTMSupport

/// Times workloads.
struct Measure: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Times workloads: the median of at least nine runs.")

  @Option(help: "Names or groups (W1 to W4, W7, W9), separated by commas.") var workload = "all"
  @Option(help: "f32, f16, bf16, amp-f16, amp-bf16, o2-f16, o2-bf16, separated by commas.") var dtype = "f32,f16,bf16"
  @Option(help: "Threads; the process is pinned to as many cores.") var threads = 2
  @Option(help: "The folder of the models.") var models = "bench/models"
  @Flag(help: "End after the first result, whose time is the caller's to take.") var firstOnly = false

  func run() throws {
    ltm_pin(Int32(clamping: threads))
    let execution = try Execution(threads: threads)
    for workload in try Workload.named(workload) {
      for dtype in dtype.split(separator: ",").map(String.init) {
        guard let policy = try workload.policy(dtype) else { continue }
        let clock = Stopwatch()
        let model = try Model(contentsOf: "\(models)/\(workload.model).ltm")
        let executable = try workload.compilation(model, policy).executable(on: execution)
        try executable.run()
        let built = clock.seconds
        if firstOnly { return try printLine(JSON.object([.init("in_process_s", .number(built))]).text()) }
        var samples = Samples()
        let peak = workload.flops == nil ? nil : Self.peak(execution, dtype)
        try samples.measure(peak: peak) { try executable.run() }
        let cost = try workload.cost(model, policy)
        try printLine(row(workload, dtype, samples, built, executable.memory, cost).text())
      }
    }
  }

  /// Measures, in a fifth of a millisecond, what all threads together multiply and add in registers.
  private static func peak(_ execution: Execution, _ dtype: String) -> (() -> Double)? {
    guard let pool = (execution.backend as? CPUBackend)?.pool else { return nil }
    let dots = dtype.hasSuffix("bf16") && ltm_ceiling_bf16(1) > 0
    return {
      let clock = Stopwatch()
      pool.run(tasks: pool.threads) { _ in _ = dots ? ltm_ceiling_bf16(100_000) : ltm_ceiling_fma(100_000) }
      let each = dots ? ltm_ceiling_bf16(1) : ltm_ceiling_fma(1)
      return each * 100_000 * Double(pool.threads) / clock.seconds
    }
  }

  private func row(
    _ workload: Workload, _ dtype: String, _ samples: Samples, _ built: Double, _ memory: MemoryUse,
    _ cost: (bytes: Double, flops: Double)
  ) -> JSON {
    var members: [JSON.Member] = [
      .init("peer", "ltm"), .init("workload", .string(workload.name)), .init("dtype", .string(dtype)),
      .init("threads", .int(threads)), .init("median_ms", .number(samples.median * 1e3)),
      .init("min_ms", .number(samples.least * 1e3)), .init("reps", .int(samples.times.count)),
      .init("foreign_load", .number(samples.foreignLoad)), .init("compile_s", .number(built)),
      .init("arena_mb", .number(Double(memory.arena) * 1e-6)), .init("kernel_bytes", .number(cost.bytes)),
      .init("kernel_flops", .number(cost.flops)),
    ]
    if let elements = workload.elements {
      let bytes = Double(elements * (dtype == "f32" ? 4 : 2))
      members.append(.init("GBps", .number(bytes / samples.median * 1e-9)))
    }
    if let share = workload.flops.flatMap(samples.peakShare) { members.append(.init("peak_share", .number(share))) }
    if let flops = workload.flops { members.append(.init("gflops", .number(flops / samples.median * 1e-9))) }
    return .object(members)
  }
}

/// The most memory that a workload ever held, less what the process held before its model was read.
struct Memory: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the peak resident memory of three runs, of one workload and dtype a process.")

  @Option(help: "The workload's name.") var workload = "mlp_adam"
  @Option(help: "The dtype, as for measure.") var dtype = "f32"
  @Option(help: "Threads; the process is pinned to as many cores.") var threads = 2
  @Option(help: "The folder of the models.") var models = "bench/models"

  /// A function of its own, so that the initial weights are gone when the step runs, as a peer's are.
  @inline(never)
  private func executable(
    _ workload: Workload, _ policy: PrecisionPolicy, _ execution: Execution
  ) throws -> any Executable {
    let model = try Model(contentsOf: "\(models)/\(workload.model).ltm")
    return try workload.compilation(model, policy).executable(on: execution)
  }

  func run() throws {
    ltm_pin(Int32(clamping: threads))
    let execution = try Execution(threads: threads)
    guard let workload = try Workload.named(workload).first, let policy = try workload.policy(dtype) else {
      throw LTMError("the workload '\(workload)' has no dtype '\(dtype)'")
    }
    let held = ResourceUsage.residentBytes
    let executable = try executable(workload, policy, execution)
    for _ in 0..<3 { try executable.run() }
    let peak = Double(ResourceUsage.peakBytes - held) / 1048576
    try printLine(
      JSON.object([
        .init("peer", "ltm"), .init("workload", .string("memory_\(workload.name)")), .init("dtype", .string(dtype)),
        .init("threads", .int(threads)), .init("peak_mb", .number(peak)),
        .init("arena_mb", .number(Double(executable.memory.arena) / 1048576)),
      ]).text())
  }
}
