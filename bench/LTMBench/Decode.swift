import ArgumentParser
import CCeilings
import LTM
import LTMRuntime
import LTMSupport

/// Times steps of writing text with a model of GPT-2's size, and reading a prompt.
struct Decode: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Times a step of a GPT of 124M parameters, batch 1: the median and the least of many.")

  @Option(help: "f32, f16, bf16, separated by commas.") var dtype = "f32,bf16,f16"
  @Option(help: "Threads; the process is pinned to as many cores.") var threads = 2
  @Option(help: "The model's context.") var context = 1024
  @Option(help: "Steps that are timed.") var steps = 40
  @Option(help: "Tokens of the prompt that is timed.") var prompt = 256
  @Option(help: "The sample.") var model = "samples/gpt.ltm"
  @Flag(inversion: .prefixedNo, help: "Sums in one order, whatever the number of rows.") var sameBits = true

  func run() throws {
    ltm_pin(Int32(clamping: threads))
    let execution = try Execution(threads: threads)
    let triad = try Ceilings(execution: execution).bandwidth
    for dtype in dtype.split(separator: ",").map(String.init) {
      let policy = try PrecisionPolicy(
        precision: dtype == "f32" ? "32" : dtype == "bf16" ? "bf16" : "16", level: dtype == "f32" ? "O0" : "O3",
        overrides: [], onNonfinite: nil)
      try printLine(row(dtype, try session(policy, execution), triad).text())
    }
  }

  /// A function of its own, so that the initial weights are gone when steps run.
  @inline(never)
  private func session(_ policy: PrecisionPolicy, _ execution: Execution) throws -> GenerationSession {
    let arguments: [String: ModelArgument] = [
      "vocab": 50257, "dim": 768, "depth": 12, "heads": 12, "context": ModelArgument(integerLiteral: context),
    ]
    return try Model(contentsOf: model, arguments: arguments).generationSession(
      policy: policy, execution: execution, sameBits: sameBits)
  }

  private func row(_ dtype: String, _ session: GenerationSession, _ triad: Double) throws -> JSON {
    let text = (0..<prompt).map { $0 % 1000 }
    // The first calls compile, and touch every page.
    try session.read([text])
    try session.read([[1]])
    try session.reset()
    var clock = Stopwatch()
    try session.read([text])
    let reading = clock.seconds
    var times: [Double] = []
    for step in 0..<steps {
      clock = Stopwatch()
      try session.read([[step]])
      times.append(clock.seconds)
    }
    let (least, median) = (times.min() ?? 0, times.sorted()[times.count / 2])
    let bytes = Double(session.memory.weights)
    return .object([
      .init("peer", "ltm"), .init("workload", "gpt2_decode"), .init("dtype", .string(dtype)),
      .init("threads", .int(threads)), .init("same_bits", .bool(session.sameBits)), .init("context", .int(context)),
      .init("median_ms", .number(median * 1e3)), .init("min_ms", .number(least * 1e3)),
      .init("weight_mb", .number(bytes * 1e-6)), .init("cache_mb", .number(Double(session.memory.caches) * 1e-6)),
      .init("triad_GBps", .number(triad * 1e-9)), .init("of_triad", .number(bytes / median / triad)),
      .init("least_of_triad", .number(bytes / least / triad)),
      .init("prompt_ms", .number(reading * 1e3)), .init("prompt_tokens", .int(prompt)),
    ])
  }
}
