import ArgumentParser
import Foundation
import LTM
import LTMRuntime

/// `ltm compile`
struct CompileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile", abstract: "Writes what a model compiles to, at any stage.",
    discussion: """
      ltm compile samples/digits.ltm --emit graph --precision 16 --amp-level O2
      ltm compile samples/digits.ltm --emit kernels --step --dim B=64
      ltm compile samples/digits.ltm --emit obj --entry forward -o digits.o
      ltm compile samples/digits.ltm --dump stages --step --dim B=64
      ltm compile samples/digits.ltm --target cuda --emit ptx --precision 16
      ltm compile samples/digits.ltm --target tpu --emit stablehlo --step
      ltm compile samples/digits.ltm --target tpu --topology v5e:2x2 --step

      Beside an object file its C header is written, with the ending .h.
      """)

  @OptionGroup var source: SourceArgument
  @Option(
    help: ArgumentHelp(
      "The stage. With --target cuda also \(DeviceStage.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: Stage.allCases.map(\.rawValue).joined(separator: "|")))
  var emit: String?
  @OptionGroup var scope: StepOptions
  @Option(name: .shortAndLong, help: ArgumentHelp("Where to write; standard output without.", valueName: "file"))
  var output: String?
  @Flag(
    name: [.customShort("g"), .customLong("debug-info")],
    help: "Line tables of the .ltm in llvm, asm and obj, for debuggers.")
  var debugInfo = false
  @Option(help: ArgumentHelp("A folder for the text of every stage, numbered.", valueName: "folder")) var dump: String?
  @Option(
    help: ArgumentHelp(
      "Compile for TPUs that are elsewhere and print what the compiler says of memory and cost; -o writes the program.",
      valueName: "v5e:2x2"))
  var topology: String?
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    guard emit != nil || dump != nil || topology != nil else {
      throw LTMError("nothing to do", notes: ["give --emit STAGE, --dump FOLDER or --topology NAME"])
    }
    let target = try target.parsed()
    let arch = try architecture.named(for: target)
    guard self.target.tpuCores == nil || target == .tpu else { throw LTMError("--tpu-cores is for --target tpu") }
    guard topology == nil || target == .tpu else { throw LTMError("--topology is for --target tpu") }
    let policy = try precision.policy(for: target)
    let loaded = try model.load(source, update)
    try checkFiles(
      outputs, inputs: loaded.sourceFiles + files([("--pjrt-plugin", self.target.plugin.pjrtPlugin)]))
    let compilation = try scope.compilation(of: loaded, policy, tpuCores: self.target.tpuCores ?? 1)
    if let dump { try compilation.dump(to: dump, for: target, architecture: arch) }
    if let topology { try report(compilation.compile(topology: topology, pjrtPlugin: self.target.plugin.pjrtPlugin)) }
    guard let emit else { return }
    try write(try artifact(compilation, emit, target))
  }

  private var outputs: [FileUse] {
    let header = emit == Stage.obj.rawValue ? output.map(Artifact.headerPath) : nil
    return files([("-o", output), ("the header beside -o", header)])
      + (dump.map { [FileUse("--dump", $0, isDump: true)] } ?? [])
  }

  private func artifact(_ compilation: Compilation, _ name: String, _ target: Target) throws -> Artifact {
    if target == .cuda, let stage = DeviceStage(rawValue: name) {
      return try compilation.emit(stage, architecture: architecture.arch ?? Compilation.architectures[0])
    }
    guard let stage = target.stages.first(where: { $0.rawValue == name }) else {
      let stages = target.stages.map(\.rawValue) + (target == .cuda ? DeviceStage.allCases.map(\.rawValue) : [])
      let isKnown = Stage(rawValue: name) != nil || DeviceStage(rawValue: name) != nil
      throw LTMError(
        isKnown ? "the target \(target.rawValue) has no stage '\(name)'" : "unknown stage '\(name)'",
        notes: ["the stages are \(stages.joined(separator: ", "))"]
          + (DeviceStage(rawValue: name) != nil && target != .cuda ? ["'\(name)' needs --target cuda"] : []))
    }
    return try compilation.emit(stage, debugInfo: debugInfo, for: target)
  }

  private func report(_ report: TopologyReport) throws {
    try printLine(report.description)
    if emit == nil, let output { try report.write(to: output) }
  }

  private func write(_ artifact: Artifact) throws {
    guard let output else {
      guard let text = artifact.text else { throw LTMError("this stage is no text: it needs -o FILE") }
      return try printLine(text)
    }
    try artifact.write(to: output)
  }
}
