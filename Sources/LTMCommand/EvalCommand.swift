import ArgumentParser
import LTM
import LTMRuntime

/// The flags that say which rows of which data are read.
struct DataOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The data, in place of the train block's.", valueName: "file")) var data: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("The key in the data that a parameter takes; may be given several times.", valueName: "name=key")
  )
  var field: [String] = []
  @Option(help: ArgumentHelp("Which rows. Default: test, else val, else all.", valueName: "train|val|test"))
  var on: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Rows of a batch.", valueName: "number")) var batch: Int?

  /// The rows that are meant.
  func split() throws -> DataSplit? {
    try on.map { text in
      guard let split = DataSplit(rawValue: text) else { throw LTMError("--on is train, val or test, not '\(text)'") }
      return split
    }
  }

  /// A trainer that reads them.
  func trainer(_ policy: PrecisionPolicy, _ execution: Execution) throws -> Trainer {
    var trainer = Trainer(policy: policy, execution: execution)
    (trainer.dataPath, trainer.batchSize) = (data, batch)
    trainer.dataFields = try named(field, flag: "--field image=x")
    return trainer
  }
}

/// `ltm eval`
struct EvalCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Evaluates what is reported over rows of the data, and trains nothing.",
    discussion: """
      ltm eval samples/digits.ltm --weights w.safetensors
      ltm eval samples/digits.ltm --weights w.safetensors --report loss --on train
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "An entry to evaluate; may be given several times. Default: the train block's.", valueName: "name"))
  var report: [String] = []
  @OptionGroup var rows: DataOptions
  @OptionGroup(title: "Rows") var reading: RowOptions
  @OptionGroup(title: "Validation") var validation: ValidationOptions
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    let policy = try precision.policy(for: target.parsed())
    var loaded = try model.load(source)
    if !report.isEmpty { try loaded.setReports(report) }
    try weights.load(into: &loaded)
    var trainer = try rows.trainer(policy, target.execution())
    trainer.options = try (reading.given + validation.given).options()
    let values = try trainer.evaluate(loaded, on: rows.split())
    if printing.json { return try printLine(ReportValue.json(values)) }
    for value in values { try printLine("\(value.key) \(format(value.value, 6))") }
  }
}

/// `ltm predict`
struct PredictCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Writes what an entry gives for each row of the data, computed batch by batch.",
    discussion: """
      ltm predict samples/digits.ltm --weights w.safetensors -o logits.csv
      ltm predict samples/digits.ltm --weights w.safetensors --on train -o y.npy
      """)

  @OptionGroup var source: SourceArgument
  @Option(help: ArgumentHelp("The function of the model to run.", valueName: "name")) var entry = "forward"
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @OptionGroup var rows: DataOptions
  @OptionGroup(title: "Rows") var reading: RowOptions
  @OptionGroup var buckets: BucketOptions
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to write: a .csv, a .npy for one result, or a .safetensors.", valueName: "file"))
  var output: String
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    let policy = try precision.policy(for: target.parsed())
    var loaded = try model.load(source)
    try checkFiles(
      [FileUse("-o", output)],
      inputs: loaded.sourceFiles + files([("--data", rows.data), ("--tokenizer", reading.tokenizer), weights.file]))
    try TensorFile.checkPath(output)
    try weights.load(into: &loaded)
    var trainer = try rows.trainer(policy, target.execution())
    trainer.options = try reading.given.options()
    try TensorFile.write(
      try trainer.predict(loaded, entry: entry, on: rows.split(), buckets: buckets.parsed()), to: output)
  }
}

/// `ltm summary`
struct SummaryCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Shows a model layer by layer: what each gives, its weights, its arithmetic, its bytes.",
    discussion: """
      ltm summary samples/digits.ltm
      ltm summary samples/digits.ltm --entry loss --dim B=256 --precision bf16
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup var entry: EntryOptions
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions

  func run() throws {
    let compilation = Compilation(
      model: try model.load(source), policy: try precision.policy(), entry: entry.entry, isTrainingStep: false,
      dimensions: try entry.dimensions())
    let table = try compilation.layers()
    try printLine(printing.json ? table.json : table.text)
  }
}
