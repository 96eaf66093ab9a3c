import ArgumentParser
import CCeilings
import Glibc
import LTM
import LTMRuntime
import LTMSupport

/// Measures what the machine can do at most.
struct Limits: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ceilings", abstract: "Measures bandwidth and arithmetic peaks.")

  @Option(help: "Threads.") var threads = 2

  func run() throws {
    ltm_pin(Int32(clamping: threads))
    let limits = try Ceilings(execution: Execution(threads: threads))
    let pool = try ThreadPool(threads: threads)
    let (hot, parked) = (forkJoin(pool, pause: 0), forkJoin(pool, pause: 2000))
    for (name, seconds) in [("fork_join", hot), ("fork_join_parked", parked)] {
      try printLine(
        JSON.object([
          .init("peer", "ceiling"), .init("workload", .string(name)), .init("threads", .int(threads)),
          .init("us", .number(seconds * 1e6)),
        ]).text())
    }
    let values = [
      ("triad_nt", "GBps", limits.bandwidth), ("memcpy", "GBps", limits.copyBandwidth),
      ("fma_f32", "gflops", limits.flops), ("fma_f64", "gflops", limits.doubleFlops),
      ("dot_bf16", "gflops", limits.bfloatFlops), ("tiles_bf16", "gflops", limits.tileFlops),
    ]
    for (name, unit, value) in values where value > 0 {
      try printLine(
        JSON.object([
          .init("peer", "ceiling"), .init("workload", .string(name)), .init("threads", .int(threads)),
          .init("instructions", .string(limits.instructions)), .init(unit, .number(value * 1e-9)),
        ]).text())
    }
  }

  /// The median time of a launch in which every thread takes part and does nothing, after some microseconds without one.
  private func forkJoin(_ pool: ThreadPool, pause: UInt32) -> Double {
    var begun: Int32 = 0
    var times: [Double] = []
    withUnsafeMutablePointer(to: &begun) { counter in
      var arguments = [UnsafeMutableRawPointer(counter), UnsafeMutableRawPointer(bitPattern: threads)]
      arguments.withUnsafeMutableBufferPointer { arguments in
        for _ in 0..<(pause == 0 ? 5000 : 200) {
          if pause > 0 { usleep(pause) }
          counter.pointee = 0
          let clock = Stopwatch()
          pool.run(tasks: threads, kernel: ltm_ceiling_meet, arguments: arguments.baseAddress)
          times.append(clock.seconds)
        }
      }
    }
    return times.sorted()[times.count / 2]
  }
}
