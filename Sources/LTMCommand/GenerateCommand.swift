import ArgumentParser
import Foundation
import LTM
import LTMRuntime

/// `ltm generate`
struct GenerateCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Writes on texts with a model that keeps what it reads in caches.",
    discussion: """
      ltm generate samples/gpt.ltm --weights gpt.safetensors --prompt 'A model is' --length 200
      ltm generate samples/gpt.ltm --weights gpt.safetensors --prompt 'The' --prompt 'A cast' --temperature 0 --json
      ltm generate gpt2.ltm --weights model.safetensors --tokenizer tokenizer.json --prompt 'The'

      The model's entry is func next(text: i32[B, T], position: i32[B], last: i32[B]) -> [B, vocab]. Several prompts, of any \
      lengths, are written at a time. Tokens come as they are computed.
      """)

  @OptionGroup var source: SourceArgument
  @Option(help: ArgumentHelp("The entry that gives scores.", valueName: "name")) var entry = "next"
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Where a text begins, its tokens bytes or the tokenizer's; may be given several times.", valueName: "text"))
  var prompt: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("The same as the numbers of tokens.", valueName: "1,2,3"))
  var promptTokens: [String] = []
  @Option(
    help: ArgumentHelp("A tokenizer.json that makes tokens of texts, and texts of tokens.", valueName: "file"))
  var tokenizer: String?
  @Option(help: ArgumentHelp("How many tokens each text gets at most.", valueName: "number")) var length = 100
  @Option(help: ArgumentHelp("0 takes the likeliest token; 1 draws as the model says.", valueName: "number"))
  var temperature = 1.0
  @Option(help: ArgumentHelp("Draw from so many of the likeliest tokens.", valueName: "number")) var topK: Int?
  @Option(
    help: ArgumentHelp("Draw from the likeliest tokens that have this much of the probability.", valueName: "number"))
  var topP: Double?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Ends a text, and is not given; may be given several times.", valueName: "text"))
  var stop: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("The number of a token that ends a text; may be given several times.", valueName: "token"))
  var end: [Int] = []
  @Flag(
    inversion: .prefixedNo,
    help: "In f32, the same bits however a text is cut and whatever is written beside it. Default: yes.")
  var sameBits = true
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    guard target.tpuCores ?? 1 == 1 else { throw LTMError("texts are written on one core") }
    let policy = try precision.policy(for: target.parsed())
    var loaded = try model.load(source)
    try weights.load(into: &loaded)
    guard !prompt.isEmpty || !promptTokens.isEmpty else {
      throw LTMError(
        "there is no prompt", notes: ["give one, as in --prompt 'Once'; or its tokens, --prompt-tokens 1,2"])
    }
    let session = try (consume loaded).generationSession(
      entry, rows: prompt.count + promptTokens.count, policy: policy, execution: try target.execution(),
      sameBits: sameBits)
    let tokenizer = try tokenizer.map { try Tokenizer(contentsOf: $0) }
    try tokenizer?.check(session)
    func tokens(_ text: String) throws -> [Int] { try tokenizer?.encodePrompt(text) ?? session.tokens(of: text) }
    let prompts = try prompt.map(tokens) + promptTokens.map(numbers)
    let sampling = Sampling(temperature: temperature, topK: topK, topP: topP, seed: model.seed ?? 0)
    // A text that ends a text may begin in the middle of a token: with a tokenizer it is looked for in what is written.
    let written = try session.generate(
      prompts, length: length, sampling: sampling, end: Set(end + (tokenizer?.endTokens ?? [])),
      stop: tokenizer == nil ? try stop.map { try session.tokens(of: $0) } : [])
    let form: GenerationView.Form =
      if let tokenizer { .text(tokenizer, stops: stop) } else { promptTokens.isEmpty ? .bytes : .numbers }
    var view = GenerationView(prompts: prompts, form: form, isJSON: printing.json)
    let isInterrupted = Interrupt.watch()
    while !isInterrupted(), let next = try written.next() {
      if try view.add(next) { written.stop(row: next.row) }
    }
    try view.finish(written.ends)
  }

  private func numbers(_ text: String) throws -> [Int] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let number = Int(part.trimmingCharacters(in: .whitespaces)) else {
        throw LTMError("'\(part)' in --prompt-tokens is no number of a token", notes: ["write --prompt-tokens 72,101"])
      }
      return number
    }
  }
}
