import ArgumentParser
import LTM
import LTMRuntime

/// `ltm profile`
struct ProfileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "profile",
    abstract: "Times every kernel and holds it against what this machine can do.",
    discussion: """
      ltm profile samples/digits.ltm --step --precision 16 --amp-level O2
      ltm profile samples/digits.ltm --entry forward --dim B=1 --threads 1 --json
      ltm profile samples/digits.ltm --step --compile

      Arguments are made up for their shapes. Each kernel's time is the least of all runs; its bytes count each operand \
      once, and 'roofline' is its least possible time by memory or arithmetic, both measured here and now, over the time \
      it took. More than 100% means that the operands came from the caches. On the target cuda times are the GPU's own, \
      and there is no roofline.
      """)

  @Argument(help: ArgumentHelp("The .ltm file.", valueName: "file")) var file: String
  @Option(
    help: ArgumentHelp(
      "The function of the model. Default: what the train block minimizes, else forward.", valueName: "name"))
  var entry: String?
  @Flag(help: "The whole training step instead of one entry.") var step = false
  @Option(
    name: .customLong("dim"), parsing: .singleValue,
    help: ArgumentHelp("A symbolic dimension, as B=64. Default: the train block's batch.", valueName: "name=size"))
  var dims: [String] = []
  @Option(parsing: .unconditional, help: ArgumentHelp("How often to run.", valueName: "number")) var runs = 30
  @Flag(help: "Where the time goes from the start of the process to the first result, instead of later ones.")
  var compile = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    let clock = PhaseClock()
    clock.add("process start", ResourceUsage.secondsSinceStart)
    let policy = try precision.policy(for: target.parsed())
    var loaded = try clock.time("model") {
      try Model(contentsOf: file, model: model.model, arguments: model.parsed(), seed: model.seed)
    }
    try update.apply(to: &loaded)
    let compilation = Compilation(
      model: loaded, policy: policy, entry: entry, isTrainingStep: step, dimensions: try parseDimensions(dims))
    let execution = try target.execution()
    if compile {
      let profile = try compilation.compileProfile(on: execution, before: clock)
      return try printLine(json ? profile.json : profile.text)
    }
    if execution.target == .cuda {
      let profile = try compilation.deviceProfile(runs: runs, execution: execution)
      return try printLine(json ? profile.json : profile.text)
    }
    let profile = try compilation.profile(runs: runs, execution: execution)
    try printLine(json ? profile.json : profile.text)
  }
}
