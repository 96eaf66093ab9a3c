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
