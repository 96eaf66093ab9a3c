import ArgumentParser
import LTM
import LTMRuntime

/// `ltm profile`
struct ProfileCommand: PrintingCommand {
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

  @OptionGroup var source: SourceArgument
  @OptionGroup var scope: StepOptions
  @Option(parsing: .unconditional, help: ArgumentHelp("How often to run.", valueName: "number")) var runs = 30
  @Flag(help: "Where the time goes from the start of the process to the first result, instead of later ones.")
  var compile = false
  @Flag(help: "With sums in one order, whatever the number of rows, as 'ltm generate' has them.") var sameBits = false
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    let clock = PhaseClock()
    clock.add("process start", ResourceUsage.secondsSinceStart)
    let policy = try precision.policy(for: target.parsed())
    let loaded = try clock.time("model") { try model.load(source, update) }
    let compilation = try scope.compilation(of: loaded, policy)
    let execution = try sameBits ? target.execution().ordered() : target.execution()
    if compile {
      let profile = try compilation.compileProfile(on: execution, before: clock)
      return try printLine(printing.json ? profile.json : profile.text)
    }
    if execution.target == .cuda {
      let profile = try compilation.deviceProfile(runs: runs, execution: execution)
      return try printLine(printing.json ? profile.json : profile.text)
    }
    let profile = try compilation.profile(runs: runs, execution: execution)
    try printLine(printing.json ? profile.json : profile.text)
  }
}
