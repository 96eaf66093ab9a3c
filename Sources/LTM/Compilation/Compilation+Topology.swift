import Foundation
import LTMHLO
import LTMRuntime
import LTMSupport

/// What the compiler of a device that is elsewhere made of an entry or a step.
public struct TopologyReport: Sendable, CustomStringConvertible {
  /// The topology's name: `v5e:2x2`.
  public let topology: String
  /// Device, memory and cost, in lines.
  public let description: String
  private let program: AheadOfTimeProgram

  init(_ topology: String, _ program: AheadOfTimeProgram) {
    self.topology = topology
    self.program = program
    let memory = program.memory
    var lines = [
      "\(topology): \(program.deviceCount) x \(program.deviceKind), \(program.replicas) in use",
      "memory, bytes: code \(memory.code), arguments \(memory.arguments), results \(memory.results) (\(memory.aliased) in "
        + "place), temporaries \(memory.temporaries)",
    ]
    // The parts of a number, `bytes accessed0{}`, are left out.
    lines += program.cost.filter { !$0.name.contains("{") }.map { "\($0.name): \(compact($0.value))" }
    description = lines.joined(separator: "\n")
  }

  /// Writes the compiled program, which PJRT on a machine with the devices loads.
  public func write(to path: String) throws(LTMError) {
    try reporting { try writeAtomically(path, program.serialized) }
  }
}

private func compact(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? "\(value)" }

extension Compilation {
  /// Compiles for a TPU topology by name with no TPU at hand, through libtpu.
  ///
  /// Sets libtpu's environment variables for that, where they are not set. A text that libtpu cannot take may end the
  /// process.
  public func compile(topology: String, pjrtPlugin: String? = nil) throws(LTMError) -> TopologyReport {
    let text = try stableHLOText()
    let path = TPUBackend.pluginPath(pjrtPlugin)
    let plugin: PJRTPlugin
    do throws(PJRTError) {
      plugin = try PJRTPlugin.openForCompiling(path)
    } catch {
      throw LTMError(
        error.description,
        notes: ["--topology compiles with libtpu, which 'pip install libtpu' brings and --pjrt-plugin PATH names"])
    }
    return try reporting {
      TopologyReport(topology, try plugin.compile(text, topology: topology, replicas: tpuCores))
    }
  }
}
