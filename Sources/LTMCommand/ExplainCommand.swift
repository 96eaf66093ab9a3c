import ArgumentParser
import LTM

/// `ltm explain`
struct ExplainCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Says for each op which dtype it runs in and why, for each cast its reason, and what the bytes come to.",
    discussion: """
        ltm explain samples/digits.ltm --precision 16 --amp-level O1
        ltm explain samples/digits.ltm --precision 16 --target cuda --arch sm_90

      With --target, the target's own choices follow: of the whole training step for what the train block minimizes.
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup var entry: EntryOptions
  @Option(
    help: ArgumentHelp(
      "Show what this target makes of it too.", valueName: Target.allCases.map(\.rawValue).joined(separator: "|")))
  var target: String?
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions

  func run() throws {
    let target = try target.map(parseTarget)
    let arch = try architecture.named(for: target)
    let policy = try precision.policy(for: target ?? .cpu)
    let compilation = Compilation(
      model: try model.load(source, update), policy: policy, entry: entry.entry, isTrainingStep: false,
      dimensions: try entry.dimensions())
    guard let target else {
      return try printLine(printing.json ? compilation.explanationJSON() : compilation.explanation())
    }
    try printLine(
      printing.json
        ? compilation.explanationJSON(on: target, architecture: arch)
        : compilation.explanation(on: target, architecture: arch))
  }
}
