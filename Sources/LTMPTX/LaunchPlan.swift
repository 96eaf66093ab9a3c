import LTMIR
import LTMKernels
import LTMSupport

/// What a host does with a plan's device module: buffers to provide, and launches in order on one stream. Every value
/// that a later launch needs stays in a buffer, so nothing waits for the host.
package struct LaunchPlan: Hashable, Sendable {
  /// A kernel of the module.
  package struct Entry: Hashable, Sendable {
    package var symbol: String
    package var schedule: DeviceSchedule
    /// For each parameter, whether it is only read.
    package var readOnly: [Bool]
  }

  package var name: String
  package var architecture: DeviceArchitecture
  package var entries: [Entry]
  /// The plan that is run, whose kernels the module has: not always the CPU's.
  package var plan: Plan
}

/// The launches of a plan on an architecture.
package func launchPlan(_ plan: Plan, _ architecture: DeviceArchitecture) -> LaunchPlan {
  let plan = splitKernels(plan, architecture)
  let entries = zip(plan.kernels, deviceSymbols(plan.kernels)).map { kernel, symbol in
    LaunchPlan.Entry(
      symbol: symbol, schedule: deviceSchedule(kernel, architecture),
      readOnly: kernel.buffers.map { !$0.access.writes })
  }
  return LaunchPlan(name: plan.name, architecture: architecture, entries: entries, plan: plan)
}

extension LaunchPlan: CustomStringConvertible {
  package var description: String {
    let buffers = plan.buffers.enumerated().map { number, buffer in
      "  buffer #\(number) \(buffer.name): \(buffer.dtype)\(buffer.shape) \(buffer.byteCount) bytes \(buffer.place)"
    }
    let kernels = entries.map { entry in
      "  kernel \(entry.symbol) block \(entry.schedule.block) \(entry.schedule.summary)"
    }
    let launches = launched.map { launch, entry in
      let arguments = launch.arguments.map { "#\($0.index)" }.joined(separator: ", ")
      let shared = entry.schedule.sharedBytes > 0 ? ", \(entry.schedule.sharedBytes)" : ""
      return "  launch \(entry.symbol) <<<\(entry.schedule.grid), \(entry.schedule.block)\(shared)>>> (\(arguments))"
    }
    let head = "launches @\(name) \(architecture.rawValue) arena \(plan.arenaBytes) {"
    return ([head] + buffers + kernels + launches + ["}", ""]).joined(separator: "\n")
  }

  /// The launches with their kernels, without those that have nothing to do: a grid cannot be empty.
  package var launched: [(launch: Launch, entry: Entry)] {
    plan.launches.map { ($0.launch, entries[$0.kernel]) }.filter { $0.entry.schedule.grid > 0 }
  }

  /// What no GPU could launch; `nil` where all is well.
  package var problem: String? {
    if let problem = plan.kernels.compactMap(\.epilogueProblem).first { return problem }
    return entries.first { $0.schedule.grid > Int(Int32.max) }.map { entry in
      "kernel \(entry.symbol) needs \(entry.schedule.grid) blocks, and a GPU launches at most \(Int32.max)"
    }
  }

  /// The same for programs: grids and blocks as CUDA's driver takes them, arguments as numbers of buffers.
  package var json: JSON {
    .object([
      .init("name", .string(name)), .init("arch", .string(architecture.rawValue)),
      .init("arena_bytes", .int(plan.arenaBytes)),
      .init("buffers", .array(plan.buffers.map(json))),
      .init("kernels", .array(entries.map(json))),
      .init(
        "launches",
        .array(
          launched.map { launch, entry in
            .object([
              .init("kernel", .string(entry.symbol)), .init("grid", .array([.int(entry.schedule.grid), 1, 1])),
              .init("block", .array([.int(entry.schedule.block), 1, 1])),
              .init("shared_bytes", .int(entry.schedule.sharedBytes)),
              .init("arguments", .array(launch.arguments.map { .int($0.index) })),
            ])
          })),
    ])
  }

  private func json(_ buffer: PlanBuffer) -> JSON {
    let place: [JSON.Member] =
      switch buffer.place {
      case .input(let name): [.init("input", .string(name))]
      case .output(let name): [.init("output", .string(name))]
      case .arena(let offset): [.init("arena_offset", .int(offset))]
      case .part(let whole, let offset): [.init("part_of", .int(whole.index)), .init("offset", .int(offset))]
      case .parameter: []
      }
    return .object(
      [
        .init("name", .string(buffer.name)), .init("dtype", .string(buffer.dtype.rawValue)),
        .init("shape", .array(buffer.shape.map { .int($0) })), .init("bytes", .int(buffer.byteCount)),
      ] + place)
  }

  private func json(_ entry: Entry) -> JSON {
    .object([
      .init("symbol", .string(entry.symbol)), .init("schedule", .string(entry.schedule.summary)),
      .init("read_only", .array(entry.readOnly.map { .bool($0) })),
    ])
  }
}
