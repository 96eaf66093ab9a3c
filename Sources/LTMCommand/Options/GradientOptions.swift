import ArgumentParser
import LTM

/// What `--gradient-clip-algorithm` clips, as Lightning names it.
enum ClipAlgorithm: String, CaseIterable, ExpressibleByArgument {
  /// By the norm of all gradients together.
  case norm
  /// Each element.
  case value
}

/// The flags that take the place of what a `train` block says of gradients and averages.
struct GradientOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A rule that clips gradients.", valueName: "'norm(1.0)'")) var clip: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The limit of gradients, of their norm or of each element.", valueName: "number"))
  var gradientClipVal: Double?

  @Option(help: ArgumentHelp("What the limit is of. Default: norm.", valueName: "norm|value"))
  var gradientClipAlgorithm: ClipAlgorithm?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Other arguments of the optimizer for some weights; may be given several times.",
      valueName: "'\"**.bias\" { weight_decay: 0 }'"))
  var group: [String] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Weights that are not trained: * for one name, ** for any number; may be given several times.", valueName: "path")
  )
  var freeze: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Batches whose gradients make one update.", valueName: "number"))
  var accumulateGradBatches: Int?

  @Option(help: ArgumentHelp("A rule that averages weights.", valueName: "'ema(0.999)'")) var average: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Average the weights with this decay, and evaluate and save the average.", valueName: "decay"))
  var ema: Double?

  @Flag(help: "Average the weights over the last fifth of the run, and evaluate and save the average.")
  var stochasticWeightAvg = false

  @Flag(help: "Give the norm of all gradients of each step.") var trackGradNorm = false

  /// Puts them in place of the lines that the file has, or beside them.
  func apply(to model: inout Model) throws {
    if let line = try clipLine() { try model.setTrainLine("clip \(line)") }
    for line in group { try model.setTrainLine("group \(line)") }
    for path in freeze { try model.setTrainLine("freeze \"\(path)\"") }
    if let accumulateGradBatches { try model.setTrainLine("accumulate \(accumulateGradBatches)") }
    if let line = try averageLine() { try model.setTrainLine("average \(line)") }
    if trackGradNorm { model.tracksGradientNorm = true }
  }

  private func clipLine() throws -> String? {
    guard clip == nil || gradientClipVal == nil else {
      throw LTMError("--clip and --gradient-clip-val both say how gradients are clipped", notes: ["give one of them"])
    }
    if let clip { return clip }
    guard let limit = gradientClipVal else {
      if let gradientClipAlgorithm {
        throw LTMError(
          "--gradient-clip-algorithm \(gradientClipAlgorithm.rawValue) has no limit",
          notes: ["--gradient-clip-val 1 is one"])
      }
      return nil
    }
    guard limit > 0, limit.isFinite else {
      throw LTMError(
        "--gradient-clip-val \(limit) is no positive finite number", notes: ["leave it out to clip nothing"])
    }
    return "\(gradientClipAlgorithm?.rawValue ?? ClipAlgorithm.norm.rawValue)(\(limit))"
  }

  private func averageLine() throws -> String? {
    guard [average != nil, ema != nil, stochasticWeightAvg].count(where: { $0 }) <= 1 else {
      throw LTMError(
        "only one of --average, --ema and --stochastic-weight-avg can be given", notes: ["a weight has one average"])
    }
    return average ?? ema.map { "ema(\($0))" } ?? (stochasticWeightAvg ? "swa()" : nil)
  }
}
