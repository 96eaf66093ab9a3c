import ArgumentParser
import LTM

/// The file that a command reads.
struct SourceArgument: ParsableArguments {
  @Argument(help: ArgumentHelp("The .ltm file.", valueName: "file")) var file: String
}

/// The flags that choose a model in a file and its arguments.
struct ModelOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The model, where the file has several.", valueName: "name"))
  var model: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "A model argument, as hidden=256 or 'sizes=[784, 128]'; may be given several times.", valueName: "name=value"))
  var arguments: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The seed of initial weights, of the data's order and of random numbers.", valueName: "number"))
  var seed: UInt64?

  /// The model with its arguments given.
  func load(_ source: SourceArgument) throws -> Model {
    let given = try named(arguments, flag: "--set name=value").mapValues { try ModelArgument(parsing: $0) }
    return try Model(contentsOf: source.file, model: model, arguments: given, seed: seed)
  }

  /// The same, with another update than its `train` block's.
  func load(_ source: SourceArgument, _ update: UpdateOptions) throws -> Model {
    var model = try load(source)
    try update.apply(to: &model)
    return model
  }
}

/// The flags that take the place of what a `train` block says of the update.
struct UpdateOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The optimizer with its arguments.", valueName: "'SGD(lr: 0.1)'"))
  var optimizer: String?

  @Option(help: ArgumentHelp("The schedule with its arguments.", valueName: "'cosine(warmup: 50)'"))
  var schedule: String?

  @Option(
    help: ArgumentHelp(
      "Compute again in the backward pass, and keep less: each block of a list of layers, segments of loops over an axis, or both.",
      valueName: "blocks,loops"))
  var recompute: String?

  @OptionGroup var gradients: GradientOptions

  /// Puts them in place of the lines that the file has.
  func apply(to model: inout Model) throws {
    if let recompute {
      guard let recomputation = Recomputation(parsing: recompute) else {
        throw LTMError(
          "'--recompute \(recompute)': there is no such choice",
          notes: ["it is none, blocks, loops, or 'blocks,loops'"])
      }
      model.recomputation = recomputation
    }
    if let optimizer { try model.setTrainLine("optimizer \(optimizer)") }
    if let schedule { try model.setTrainLine("schedule \(schedule)") }
    try gradients.apply(to: &model)
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
