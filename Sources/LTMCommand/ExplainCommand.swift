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
        ltm explain samples/digits.ltm --fusion --dim B=64

      With --target, the target's own choices follow: of the whole training step for what the train block minimizes.

      With --fusion, the report is another: which values go through memory from one kernel to the next, and why.
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup var entry: EntryOptions
  @Option(
    help: ArgumentHelp(
      "Show what this target makes of it too.", valueName: Target.allCases.map(\.rawValue).joined(separator: "|")))
  var target: String?
  @Flag(help: "Say for each value that goes from kernel to kernel through memory why they are two.") var fusion = false
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
    if fusion {
      return try printLine(
        printing.json ? compilation.fusionJSON(for: target ?? .cpu) : compilation.fusion(for: target ?? .cpu))
    }
    guard let target else {
      return try printLine(printing.json ? compilation.explanationJSON() : compilation.explanation())
    }
    try printLine(
      printing.json
        ? compilation.explanationJSON(on: target, architecture: arch)
        : compilation.explanation(on: target, architecture: arch))
  }
}
