import LTMKernels
import LTMLLVM
import LTMPTX
import LTMSupport

/// Where the time of a compiled entry goes on a GPU, launch by launch, on the GPU's own clock.
public struct DeviceProfile: Sendable {
  /// One launch.
  public struct Launch: Sendable {
    /// The kernel's name.
    public let kernel: String
    /// The least time of all runs.
    public let seconds: Double
    /// What it must move at least: each operand once.
    public let bytes: Double
    /// Its operations; a function such as `exp` counts as one.
    public let flops: Double
    /// Blocks, and threads of each.
    public let grid: Int, block: Int
    /// How it was made parallel.
    public let strategy: String
    /// The lines that it computes.
    public let lines: [String]
  }

  /// The GPU, its driver and the code made for it.
  public let device: String
  /// Every launch, in order.
  public let launches: [Launch]
  /// The least time of a whole run.
  public let seconds: Double
  /// Bytes as allocated.
  public let memory: MemoryUse

  /// Operations a second of the whole.
  public var flops: Double { launches.reduce(0) { $0 + $1.flops } / seconds }

  /// A table, the longest launch first.
  public var text: String {
    let head =
      "\(device)\n\(launches.count) launches, \(rounded(seconds * 1e6)) us a run, \(rounded(flops * 1e-12)) TFLOP/s; "
      + "activations \(memory.activations) bytes, arena \(memory.arena) bytes"
    let rows = launches.sorted { $0.seconds > $1.seconds }.map { launch in
      "\(rounded(launch.seconds * 1e6)) us  \(rounded(launch.bytes / launch.seconds * 1e-9)) GB/s  "
        + "\(rounded(launch.flops / launch.seconds * 1e-9)) GFLOP/s  <<<\(launch.grid), \(launch.block)>>>  "
        + "\(launch.kernel)  \(launch.strategy)  \(launch.lines.joined(separator: " "))"
    }
    return ([head] + rows).joined(separator: "\n")
  }

  /// The same as JSON.
  public var json: String {
    let rows = launches.map { launch -> JSON in
      .object([
        .init("kernel", .string(launch.kernel)), .init("seconds", .number(launch.seconds)),
        .init("bytes", .number(launch.bytes)), .init("flops", .number(launch.flops)), .init("grid", .int(launch.grid)),
        .init("block", .int(launch.block)), .init("strategy", .string(launch.strategy)),
        .init("lines", .array(launch.lines.map(JSON.string))),
      ])
    }
    return JSON.object([
      .init("device", .string(device)), .init("seconds", .number(seconds)), .init("flops", .number(flops)),
      .init("memory", memory.json), .init("launches", .array(rows)),
    ]).text(indent: 2)
  }
}

extension Compilation {
  /// Runs the entry, or the training step, on a GPU, on arguments made up for its shapes, and times each launch.
  public func deviceProfile(runs: Int = 30, execution: Execution) throws(LTMError) -> DeviceProfile {
    guard runs > 0 else { throw LTMError("\(runs) runs: at least 1 is needed") }
    guard let executable = try executable(on: execution) as? CUDAExecutable else {
      throw LTMError("only the target cuda has a GPU's clock")
    }
    try executable.run()
    let times = try executable.times(runs: runs)
    let plan = executable.launches.plan
    let launches = zip(executable.launches.launched, times.launches).map { launched, seconds in
      let kernel = plan.kernels[launched.launch.kernel]
      let cost = KernelCost(kernel)
      var seen = Set<String>()
      return DeviceProfile.Launch(
        kernel: launched.entry.symbol, seconds: seconds, bytes: cost.bytes, flops: cost.flops,
        grid: launched.entry.schedule.grid, block: launched.entry.schedule.block,
        strategy: launched.entry.schedule.summary,
        lines: kernel.locations.map { "\($0.path):\($0.line)" }.filter { seen.insert($0).inserted })
    }
    return DeviceProfile(
      device: execution.device ?? execution.target.rawValue, launches: launches, seconds: times.whole,
      memory: executable.memory)
  }
}

/// With one place after the point.
private func rounded(_ value: Double) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "-" }
  let tenths = Int((value * 10).rounded())
  return "\(tenths / 10).\(abs(tenths % 10))"
}
