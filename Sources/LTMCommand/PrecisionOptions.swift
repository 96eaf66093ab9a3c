import ArgumentParser
import LTM

/// The flags that choose how 16 bits are used; the same for every command.
struct PrecisionOptions: ParsableArguments {
  @Option(help: ArgumentHelp("16, bf16, 32 or 64 bits.", valueName: "16|bf16|32|64"))
  var precision = "32"

  @Option(
    help: ArgumentHelp(
      "O0 all f32; O1 casts per op; O2 a half model with f32 master weights; O3 all half. Default: O1 with 16 bits, else O0.",
      valueName: "O0|O1|O2|O3"))
  var ampLevel: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The loss scale: off, dynamic, dynamic:init=1024:window=500, or a number.", valueName: "dynamic|128"))
  var lossScale: String?

  @Flag(inversion: .prefixedNo, help: "Update f32 copies of half weights.")
  var masterWeights: Bool?

  @Flag(inversion: .prefixedNo, help: "Keep normalisation's parameters and statistics in f32.")
  var keepNormF32: Bool?

  @Flag(inversion: .prefixedNo, help: "Run each op in the dtype of its class.")
  var castOps: Bool?

  @Option(help: ArgumentHelp("What weights and the ops between them are cast to.", valueName: "as-is|f32|half"))
  var castModel: String?

  @Option(help: ArgumentHelp("What floating inputs are cast to.", valueName: "as-is|f32|half"))
  var castInputs: String?

  @Option(help: ArgumentHelp("What floating results are cast to.", valueName: "as-is|f32|half"))
  var castOutputs: String?

  @Option(help: ArgumentHelp("Layers that stay f32, by path; * stands for one name.", valueName: "head,blocks.0.*"))
  var keepF32: String?

  @Option(help: ArgumentHelp("Another precision class for an op.", valueName: "op:class,..."))
  var opClass: String?

  @Option(
    name: .customLong("on-nonfinite"),
    help: ArgumentHelp("What a non-finite loss or gradient does.", valueName: "stop|skip"))
  var onNonfinite: String?

  @Option(help: ArgumentHelp("What 16 is. Default: f16; bf16 on the target tpu.", valueName: "f16|bf16"))
  var sixteen: String?

  /// The resolved policy for a target; prints its warnings.
  func policy(for target: Target = .cpu) throws -> PrecisionPolicy {
    let format = try sixteen.map { text in
      guard let dtype = DType(rawValue: text), dtype.isHalf else {
        throw LTMError("--sixteen is f16 or bf16, not '\(text)'")
      }
      return dtype
    }
    let policy = try PrecisionPolicy(
      precision: precision, level: ampLevel, overrides: overrides(), onNonfinite: onNonfinite,
      sixteen: format ?? target.sixteen)
    policy.warnings.forEach { printNote($0.rendered()) }
    return policy
  }

  private func overrides() -> [(name: String, value: String)] {
    let flags: [(String, Bool?)] = [
      ("master-weights", masterWeights), ("keep-norm-f32", keepNormF32), ("cast-ops", castOps),
    ]
    let options: [(String, String?)] = [
      ("loss-scale", lossScale), ("cast-model", castModel), ("cast-inputs", castInputs), ("cast-outputs", castOutputs),
      ("keep-f32", keepF32), ("op-class", opClass),
    ]
    return flags.compactMap { name, value in value.map { (name, $0 ? "yes" : "no") } }
      + options.compactMap { name, value in value.map { (name, $0) } }
  }
}

/// The flags that choose a model in a file and its arguments.
struct ModelOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The model, where the file has several.", valueName: "name"))
  var model: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp("A model argument, as hidden=256; may be given several times.", valueName: "name=value"))
  var arguments: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The seed of initial weights and of the data's order.", valueName: "number"))
  var seed: UInt64?

  /// The arguments by name.
  func parsed() throws -> [String: ModelArgument] {
    try named(arguments, flag: "--set name=value").mapValues { try ModelArgument(parsing: $0) }
  }
}

/// Reads `name=value` and its like; `flag` shows how it is written.
func named(_ texts: [String], flag: String) throws -> [String: String] {
  var values: [String: String] = [:]
  for text in texts {
    let sides = text.split(separator: "=", maxSplits: 1).map(String.init)
    let option = flag.prefix { $0 != " " }
    guard sides.count == 2 else { throw LTMError("'\(option) \(text)' is not written as \(flag)") }
    guard values.updateValue(sides[1], forKey: sides[0]) == nil else {
      throw LTMError("'\(option)' gives '\(sides[0])' twice")
    }
  }
  return values
}

/// The flags that take the place of what a `train` block says of the update.
struct UpdateOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The optimizer with its arguments.", valueName: "'SGD(lr: 0.1)'"))
  var optimizer: String?

  @Option(help: ArgumentHelp("The schedule with its arguments.", valueName: "'cosine(warmup: 50)'"))
  var schedule: String?

  /// Puts them in place of the lines that the file has.
  func apply(to model: inout Model) throws {
    if let optimizer { try model.setTrainLine("optimizer \(optimizer)") }
    if let schedule { try model.setTrainLine("schedule \(schedule)") }
  }
}

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

  @Option(
    help: ArgumentHelp(
      "The library that runs the target tpu. Default: $TPU_LIBRARY_PATH, else libtpu.so.", valueName: "path"))
  var pjrtPlugin: String?

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
  func execution() throws -> Execution {
    try Execution(target: parsed(), threads: threads, pjrtPlugin: pjrtPlugin, tpuCores: tpuCores, gpus: gpus)
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
