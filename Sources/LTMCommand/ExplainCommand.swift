import ArgumentParser
import LTM

/// `ltm explain`
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Says for each op which dtype it runs in and why, for each cast its reason, and what the bytes come to.",
    discussion: """
        ltm explain samples/digits.ltm --precision 16 --amp-level O1
        ltm explain samples/digits.ltm --precision 16 --target cuda --arch sm_90

      With --target, the target's own choices follow: of the whole training step for what the train block minimizes.
      """)

  @Argument(help: ArgumentHelp("The .ltm file.", valueName: "file")) var file: String
  @Option(help: ArgumentHelp("The function of the model. Default: what the train block minimizes.", valueName: "name"))
  var entry: String?
  @Option(
    name: .customLong("dim"), parsing: .singleValue,
    help: ArgumentHelp("A symbolic dimension, as B=64.", valueName: "name=size"))
  var dims: [String] = []
  @Option(
    help: ArgumentHelp(
      "Show what this target makes of it too.", valueName: Target.allCases.map(\.rawValue).joined(separator: "|")))
  var target: String?
  @Option(
    help: ArgumentHelp(
      "The GPU for the target cuda. Default: \(Compilation.architectures[0]).",
      valueName: Compilation.architectures.joined(separator: "|")))
  var arch: String?
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions

  func run() throws {
    let target = try target.map(parseTarget)
    guard arch == nil || target == .cuda else { throw LTMError("--arch is for --target cuda") }
    let policy = try precision.policy(for: target ?? .cpu)
    var loaded = try Model(contentsOf: file, model: model.model, arguments: model.parsed(), seed: model.seed)
    try update.apply(to: &loaded)
    let compilation = Compilation(
      model: loaded, policy: policy, entry: entry, isTrainingStep: false, dimensions: try parseDimensions(dims))
    guard let target else {
      return try printLine(json ? compilation.explanationJSON() : compilation.explanation())
    }
    try printLine(
      json
        ? compilation.explanationJSON(on: target, architecture: arch)
        : compilation.explanation(on: target, architecture: arch))
  }
}

/// Reads `B=64` and its like.
func parseDimensions(_ texts: [String]) throws -> [String: Int] {
  try named(texts, flag: "--dim B=64").mapValues { text in
    guard let size = Int(text), size > 0 else {
      throw LTMError(
        "'\(text)' is no size of a dimension", notes: ["write a whole number of 1 or more, as in --dim B=64"])
    }
    return size
  }
}
