import ArgumentParser
import LTM

/// `ltm explain`
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Says for each op which dtype it runs in and why, for each cast its reason, and what the bytes come to.",
    discussion: "  ltm explain samples/digits.ltm --precision 16 --amp-level O1")

  @Argument(help: ArgumentHelp("The .ltm file.", valueName: "file")) var file: String
  @Option(help: ArgumentHelp("The function of the model. Default: what the train block minimizes.", valueName: "name"))
  var entry: String?
  @Option(
    name: .customLong("dim"), parsing: .singleValue,
    help: ArgumentHelp("A symbolic dimension, as B=64.", valueName: "name=size"))
  var dims: [String] = []
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions

  func run() throws {
    let policy = try precision.policy()
    let loaded = try Model(contentsOf: file, model: model.model, arguments: model.parsed(), seed: model.seed)
    let compilation = Compilation(
      model: loaded, policy: policy, entry: entry, isTrainingStep: false, dimensions: try parseDimensions(dims))
    try printLine(json ? compilation.explanationJSON() : compilation.explanation())
  }
}

/// Reads `B=64` and its like.
func parseDimensions(_ texts: [String]) throws -> [String: Int] {
  var sizes: [String: Int] = [:]
  for text in texts {
    let sides = text.split(separator: "=", maxSplits: 1).map(String.init)
    guard sides.count == 2, let size = Int(sides[1]), size > 0 else {
      throw LTMError("'--dim \(text)' is not written as --dim B=64")
    }
    sizes[sides[0]] = size
  }
  return sizes
}
