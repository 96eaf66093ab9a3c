import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport

/// Where the time of a compiled entry goes, launch by launch.
public struct Profile: Sendable {
  /// One launch.
  public struct Launch: Sendable {
    /// The kernel's name, which debuggers and `ltm compile --emit kernels` show too.
    public let kernel: String
    /// How often a run of the entry starts it: more than once in a loop.
    public let runs: Int
    /// The least time that it took in a run of the entry, all its starts together.
    public let seconds: Double
    /// What it must move at least: each operand once.
    public let bytes: Double
    /// Its operations; a function such as `exp` counts as one.
    public let flops: Double
    /// The least possible time on this machine, by memory or by arithmetic, over the time taken. Above 1 where operands
    /// come from the caches.
    public let roofline: Double
    /// What decides that: `memory`, or the instructions that it computes with, as `f32` or `bf16`.
    public let limit: String
    /// Independent pieces of work.
    public let tasks: Int
    /// How it was vectorised.
    public let strategy: String
    /// The lines that it computes.
    public let lines: [String]
  }

  /// Every launch, in order.
  public let launches: [Launch]
  /// The least time of a whole run, forks and joins included.
  public let seconds: Double
  /// What the roofline was taken of.
  public let ceilings: Ceilings
}

/// An executable that can time its launches.
package protocol Profilable: Executable {
  /// Its kernels' machine code.
  var kernels: [CompiledKernel] { get }
  /// The least time of each launch over some runs.
  func profile(runs: Int) throws(LTMError) -> [Profile.Timing]
}

extension Profile {
  /// A launch's kernel with its least time.
  package struct Timing {
    let kernel: Kernel
    let schedule: Schedule
    let runs: Int
    var seconds: Double
  }

  init(_ timings: [Timing], seconds: Double, _ ceilings: Ceilings) {
    self.seconds = seconds
    self.ceilings = ceilings
    launches = timings.map { timing in
      let one = KernelCost(timing.kernel)
      let cost = (bytes: one.bytes * Double(timing.runs), flops: one.flops * Double(timing.runs))
      let least = ceilings.leastTime(
        bytes: cost.bytes, flops: cost.flops, timing.schedule.arithmetic(of: timing.kernel))
      var seen = Set<String>()
      return Launch(
        kernel: timing.kernel.name, runs: timing.runs, seconds: timing.seconds, bytes: cost.bytes, flops: cost.flops,
        roofline: timing.seconds > 0 ? least.seconds / timing.seconds : 0, limit: least.limit,
        tasks: timing.schedule.taskCount, strategy: timing.schedule.name,
        lines: timing.kernel.locations.map { "\($0.path):\($0.line)" }.filter { seen.insert($0).inserted })
    }
  }

  /// A table, the longest launch first.
  public var text: String {
    let total = launches.reduce(0) { $0 + $1.seconds }
    let head =
      "\(launches.count) launches, \(micro(seconds)) us a run (the launches alone \(micro(total)) us), "
      + "\(ceilings.threads) threads; limits: \(giga(ceilings.bandwidth)) GB/s, \(ceilings.peaks) GFLOP/s "
      + "(\(ceilings.instructions))"
    let rows = launches.sorted { $0.seconds > $1.seconds }.map { launch in
      [
        micro(launch.seconds), percent(launch.seconds / max(total, .leastNormalMagnitude)),
        fixed(launch.bytes * 1e-6, 3), fixed(launch.flops * 1e-6, 3), giga(launch.bytes / launch.seconds),
        giga(launch.flops / launch.seconds), percent(launch.roofline), launch.limit,
        launch.strategy, String(launch.tasks),
        launch.kernel + (launch.runs == 1 ? "" : " x \(launch.runs)"), launch.lines.joined(separator: " "),
      ]
    }
    let titles = [
      "us", "time", "MB", "Mflop", "GB/s", "GFLOP/s", "roofline", "limit", "strategy", "tasks", "kernel", "lines",
    ]
    return head + "\n" + textTable([titles] + rows, leftAligned: [7, 8, 10, 11])
  }

  /// The same as JSON.
  public var json: String {
    let rows = launches.map { launch -> JSON in
      .object([
        .init("kernel", .string(launch.kernel)), .init("runs", .int(launch.runs)),
        .init("seconds", .number(launch.seconds)),
        .init("bytes", .number(launch.bytes)), .init("flops", .number(launch.flops)),
        .init("roofline", .number(launch.roofline)), .init("limit", .string(launch.limit)),
        .init("strategy", .string(launch.strategy)),
        .init("tasks", .int(launch.tasks)), .init("lines", .array(launch.lines.map(JSON.string))),
      ])
    }
    let limits: JSON = [
      "threads": .int(ceilings.threads), "instructions": .string(ceilings.instructions),
      "flops": .number(ceilings.flops), "double_flops": .number(ceilings.doubleFlops),
      "bfloat_flops": .number(ceilings.bfloatFlops), "tile_flops": .number(ceilings.tileFlops),
      "bandwidth": .number(ceilings.bandwidth), "copy_bandwidth": .number(ceilings.copyBandwidth),
    ]
    let report: JSON = ["seconds": .number(seconds), "ceilings": limits, "launches": .array(rows)]
    return report.text(indent: 2)
  }
}

/// A number with so many places, the same in every locale.
func fixed(_ value: Double, _ places: Int) -> String {
  guard value.isFinite, abs(value) < 1e12 else { return "-" }
  let scale = (0..<places).reduce(1.0) { power, _ in power * 10 }
  let whole = Int((value * scale).rounded())
  if places == 0 { return String(whole) }
  let digits = String(abs(whole))
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  return (whole < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
}
private func micro(_ seconds: Double) -> String { fixed(seconds * 1e6, 1) }
private func giga(_ rate: Double) -> String { fixed(rate * 1e-9, 1) }
private func percent(_ share: Double) -> String { fixed(share * 100, 0) + "%" }

/// Columns with their widest cell's width; numbers stand to the right.
func textTable(_ rows: [[String]], leftAligned: Set<Int>) -> String {
  let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  return rows.map { row in
    row.enumerated().map { column, cell in
      let padding = String(repeating: " ", count: widths[column] - cell.count)
      return leftAligned.contains(column) ? (column == row.count - 1 ? cell : cell + padding) : padding + cell
    }.joined(separator: "  ")
  }.joined(separator: "\n")
}
