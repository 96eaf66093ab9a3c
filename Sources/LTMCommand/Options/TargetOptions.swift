import ArgumentParser
import LTM

/// The flags that choose where a model runs.
struct TargetOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where to run: cpu, the default; cuda, an NVIDIA GPU; tpu, through a PJRT plugin; or interpreter, the slow reference.",
      valueName: Target.allCases.map(\.rawValue).joined(separator: "|")))
  var target: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("GPUs to use: 1. Says --target cuda too. CUDA_VISIBLE_DEVICES chooses.", valueName: "number"))
  var gpus: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Train on that many TPU cores, each batch split among them; says --target tpu too.", valueName: "number"))
  var tpuCores: Int?

  @OptionGroup var plugin: PluginOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Threads; results are the same bits for any number. Default: the cores.", valueName: "number"))
  var threads: Int?

  /// The target.
  func parsed() throws -> Target {
    let target = try parseTarget(target ?? (gpus != nil ? Target.cuda : tpuCores != nil ? .tpu : .cpu).rawValue)
    guard gpus == nil || target == .cuda else {
      throw LTMError("--gpus is for --target cuda", notes: ["without --target it says --target cuda itself"])
    }
    if let gpus { try Execution.check(gpus: gpus) }
    return target
  }

  /// The target with its threads or devices.
  func execution(_ communicator: Communicator? = nil) throws -> Execution {
    try Execution(
      target: parsed(), threads: threads, pjrtPlugin: plugin.pjrtPlugin, tpuCores: tpuCores, gpus: gpus,
      communicator: communicator)
  }
}

/// Reads a target's name.
func parseTarget(_ name: String) throws -> Target {
  guard let target = Target(rawValue: name) else {
    throw LTMError(
      "unknown target '\(name)'",
      notes: ["the targets are \(Target.allCases.map(\.rawValue).joined(separator: ", "))"])
  }
  return target
}

/// The flag that names a PJRT plugin.
struct PluginOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The library that runs the target tpu: a path with a slash, or the name of a library of the system. Default: "
        + "$TPU_LIBRARY_PATH, else libtpu.so.", valueName: "path"))
  var pjrtPlugin: String?
}

/// The flag that chooses the GPU to compile for.
struct ArchitectureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The GPU for the target cuda. Default: \(Compilation.architectures[0]).",
      valueName: Compilation.architectures.joined(separator: "|")))
  var arch: String?

  /// The name given, which only the target cuda takes.
  func named(for target: Target?) throws -> String? {
    guard arch == nil || target == .cuda else { throw LTMError("--arch is for --target cuda") }
    return arch
  }
}
