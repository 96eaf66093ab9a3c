import ArgumentParser
import LTM

/// The flags that choose what of a model is compiled.
struct EntryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The function of the model. Default: what the train block minimizes, else forward.", valueName: "name"))
  var entry: String?

  @Option(
    name: .customLong("dim"), parsing: .singleValue,
    help: ArgumentHelp(
      "A symbolic dimension, as B=64; may be given several times. Default: the train block's batch.",
      valueName: "name=size"))
  var dims: [String] = []

  /// The dimensions by name.
  func dimensions() throws -> [String: Int] { try sizes(of: dims) }
}

/// Sizes of dimensions by name, as `--dim` gives them.
func sizes(of texts: [String]) throws -> [String: Int] {
  try named(texts, flag: "--dim B=64").mapValues { text in
    guard let size = Int(text), size > 0 else {
      throw LTMError(
        "'\(text)' is no size of a dimension", notes: ["write a whole number of 1 or more, as in --dim B=64"])
    }
    return size
  }
}

/// The flag that bounds sizes which only data decides.
struct BucketOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Compile for these sizes of a dimension alone, and fill others up to the next; may be given several times.",
      valueName: "T=16,32,64"))
  var bucket: [String] = []

  func parsed() throws -> Buckets? { bucket.isEmpty ? nil : try Buckets(parsing: bucket) }
}

/// The same, where it can be the training step.
struct StepOptions: ParsableArguments {
  @OptionGroup var entry: EntryOptions
  @Flag(help: "The whole training step instead of one entry.") var step = false

  /// What is to be compiled.
  func compilation(of model: Model, _ policy: PrecisionPolicy, tpuCores: Int = 1) throws -> Compilation {
    Compilation(
      model: model, policy: policy, entry: entry.entry, isTrainingStep: step, dimensions: try entry.dimensions(),
      tpuCores: tpuCores)
  }
}

/// The flag that chooses the form of what is printed.
struct PrintOptions: ParsableArguments {
  @Flag(help: "Print JSON.") var json = false
}

/// A command whose results can be read by a program.
protocol PrintingCommand: ParsableCommand {
  var printing: PrintOptions { get }
  /// Whether the library's notes are kept back.
  var isQuiet: Bool { get }
}

extension PrintingCommand {
  var isQuiet: Bool { printing.json }
}
