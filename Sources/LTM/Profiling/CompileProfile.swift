import LTMLLVM
import LTMRuntime
import LTMSupport

/// Where the time goes from the start of the process to the end of the first run: phase by phase, kernel by kernel.
public struct CompileProfile: Sendable {
  /// A part of the way.
  public struct Phase: Sendable {
    /// What was done.
    public let name: String
    /// Seconds of the wall clock.
    public let seconds: Double
  }

  /// One kernel's machine code.
  public struct KernelTime: Sendable {
    /// The kernel's name.
    public let name: String
    /// Seconds of the thread that made or read the code; kernels are compiled in parallel.
    public let seconds: Double
    /// Whether the code came from the cache on disk.
    public let isCached: Bool
  }

  /// The phases, in order.
  public let phases: [Phase]
  /// The kernels, the slowest first; those of the target cpu.
  public let kernels: [KernelTime]

  /// Everything from process start to the first result; the phases are less by what lies between them.
  public let seconds: Double

  /// Two tables.
  public var text: String {
    let cached = kernels.filter(\.isCached).count
    let head =
      "\(milli(seconds)) ms from process start to the first result; \(kernels.count) kernels, \(cached) of them cached"
    let phaseRows = phases.map { [milli($0.seconds), $0.name] }
    let kernelRows = kernels.map { [milli($0.seconds), $0.isCached ? "cached" : "compiled", $0.name] }
    return [
      head, textTable([["ms", "phase"]] + phaseRows, leftAligned: [1]),
      textTable([["ms", "code", "kernel"]] + kernelRows, leftAligned: [1, 2]),
    ].joined(separator: "\n")
  }

  /// The same as JSON.
  public var json: String {
    let report: JSON = [
      "seconds": .number(seconds),
      "phases": .array(phases.map { ["name": .string($0.name), "seconds": .number($0.seconds)] }),
      "kernels": .array(
        kernels.map { ["name": .string($0.name), "seconds": .number($0.seconds), "cached": .bool($0.isCached)] }),
    ]
    return report.text(indent: 2)
  }
}

private func milli(_ seconds: Double) -> String { fixed(seconds * 1e3, 1) }

extension Compilation {
  /// Compiles, runs once, and says where the time went since the process began.
  ///
  /// - Parameter before: what was done before the compilation, by phase.
  package func compileProfile(on execution: Execution, before: PhaseClock) throws(LTMError) -> CompileProfile {
    let executable = try executable(on: execution)
    try execution.clock.time("first run") { () throws(LTMError) in try executable.run() }
    let phases = before.phases + execution.clock.phases
    let kernels = (executable as? any Profilable)?.kernels ?? []
    return CompileProfile(
      phases: phases.map { CompileProfile.Phase(name: $0.name, seconds: $0.seconds) },
      kernels: kernels.map { .init(name: $0.name, seconds: $0.seconds, isCached: $0.isCached) }
        .sorted { $0.seconds > $1.seconds },
      seconds: ResourceUsage.secondsSinceStart)
  }
}
