import ArgumentParser
import CCeilings
import Foundation
import LTM
import LTMSupport

/// `ltm-bench`: our side of `make bench`.
@main
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ltm-bench", abstract: "Measures the workloads of bench/README.md; one JSON object a line.",
    subcommands: [Measure.self, Limits.self, Report.self])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as LTMError {
      try? FileHandle.standardError.write(contentsOf: Data((error.description + "\n").utf8))
      exit(withError: ExitCode(1))
    } catch {
      exit(withError: error)
    }
  }
}

/// Writes a line, as JSON where it is some.
func printLine(_ text: String) throws { try FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8)) }

/// Times workloads.
struct Measure: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Times workloads: the median of at least nine runs.")

  @Option(help: "Names or groups (W1 to W4, W7), separated by commas.") var workload = "all"
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
        let executable = try Compilation(
          model: model, policy: policy, isTrainingStep: workload.isTraining, dimensions: workload.sizes
        ).executable(on: execution)
        try executable.run()
        let built = clock.seconds
        if firstOnly { return try printLine(JSON.object([.init("in_process_s", .number(built))]).text()) }
        var samples = Samples()
        try samples.measure { try executable.run() }
        try printLine(row(workload, dtype, samples, built, executable.memory).text())
      }
    }
  }

  private func row(
    _ workload: Workload, _ dtype: String, _ samples: Samples, _ built: Double, _ memory: MemoryUse
  ) -> JSON {
    var members: [JSON.Member] = [
      .init("peer", "ltm"), .init("workload", .string(workload.name)), .init("dtype", .string(dtype)),
      .init("threads", .int(threads)), .init("median_ms", .number(samples.median * 1e3)),
      .init("min_ms", .number(samples.least * 1e3)), .init("reps", .int(samples.times.count)),
      .init("foreign_load", .number(samples.foreignLoad)), .init("compile_s", .number(built)),
      .init("arena_mb", .number(Double(memory.arena) * 1e-6)),
    ]
    if let elements = workload.elements {
      let bytes = Double(elements * (dtype == "f32" ? 4 : 2))
      members.append(.init("GBps", .number(bytes / samples.median * 1e-9)))
    }
    if let flops = workload.flops { members.append(.init("gflops", .number(flops / samples.median * 1e-9))) }
    return .object(members)
  }
}

/// Measures what the machine can do at most.
struct Limits: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ceilings", abstract: "Measures bandwidth and arithmetic peaks.")

  @Option(help: "Threads.") var threads = 2

  func run() throws {
    ltm_pin(Int32(clamping: threads))
    let limits = try Ceilings(execution: Execution(threads: threads))
    let values = [
      ("triad_nt", "GBps", limits.bandwidth), ("memcpy", "GBps", limits.copyBandwidth),
      ("fma_f32", "gflops", limits.flops), ("dot_bf16", "gflops", limits.bfloatFlops),
    ]
    for (name, unit, value) in values where value > 0 {
      try printLine(
        JSON.object([
          .init("peer", "ceiling"), .init("workload", .string(name)), .init("threads", .int(threads)),
          .init("instructions", .string(limits.instructions)), .init(unit, .number(value * 1e-9)),
        ]).text())
    }
  }
}
