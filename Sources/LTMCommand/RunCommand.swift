import ArgumentParser
import LTM
import LTMRuntime

/// `ltm run`
struct RunCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs an entry of a model on arrays from files, and writes what it gives to files.",
    discussion: """
      ltm run samples/digits.ltm --weights w.safetensors --input image=x.npy -o y.npy
      ltm run samples/digits.ltm --entry accuracy --weights w.safetensors \\
        --input image=data.safetensors:x_test --input label=data.safetensors:y_test
      ltm run minilm.ltm --weights model.safetensors --tokenizer tokenizer.json \\
        --input tokens=sentences.txt --input there=sentences.txt -o vectors.npy
      """)

  @OptionGroup var source: SourceArgument
  @Option(help: ArgumentHelp("The function of the model to run.", valueName: "name")) var entry = "forward"
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A parameter's array: a .npy, or KEY in a .npz or .safetensors.", valueName: "name=file[:key]"))
  var input: [String] = []
  @Option(
    help: ArgumentHelp(
      "A tokenizer.json for --input name=file.txt: each line is a row of tokens, or for a bool says where they are.",
      valueName: "file"))
  var tokenizer: String?
  @OptionGroup var buckets: BucketOptions
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to write: a .npy for one result, a .safetensors for all.", valueName: "file"))
  var output: String?
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Target") var target: TargetOptions

  func run() throws {
    guard target.tpuCores ?? 1 == 1 else {
      throw LTMError("an entry runs on one core", notes: ["--tpu-cores is for training, which splits each batch"])
    }
    let policy = try precision.policy(for: target.parsed())
    var loaded = try model.load(source)
    let places = try named(input, flag: "--input name=file[:key]")
    if let output {
      let read = places.sorted { $0.key < $1.key }.map { FileUse("--input \($0.key)", TensorFile.path(of: $0.value)) }
      try checkFiles(
        [FileUse("-o", output)],
        inputs: loaded.sourceFiles + read
          + files([weights.file, ("--tokenizer", tokenizer), ("--pjrt-plugin", target.plugin.pjrtPlugin)]))
      try TensorFile.checkPath(output)
    }
    try weights.load(into: &loaded)
    // Weights from a file would stay beside those that the entry holds.
    let compiled = try (consume loaded).compile(
      entry, policy: policy, execution: try target.execution(), buckets: try buckets.parsed())
    let results = try compiled(try inputs(places, compiled))
    for warning in compiled.warnings { printNote(warning.rendered()) }
    if let output { try TensorFile.write(results, to: output) }
    if printing.json {
      try printLine(TensorFile.json(results))
    } else if output == nil {
      for result in results { try printLine("\(result.name): \(result.tensor.summary)") }
    }
  }

  private func inputs(_ places: [String: String], _ entry: CompiledEntry) throws -> [String: Tensor] {
    let tokenizer = try tokenizer.map { try Tokenizer(contentsOf: $0) }
    var tensors: [String: Tensor] = [:]
    for (name, place) in places {
      if tokenizer == nil, place.lowercased().hasSuffix(".txt") {
        throw LTMError(
          "\(place): is a text, and '\(name)' takes numbers",
          notes: ["--tokenizer tokenizer.json makes a row of tokens of each of its lines"])
      }
      if let tokenizer, !TensorFile.isTensors(place) {
        tensors[name] = try entry.rows(ofTextIn: place, for: name, by: tokenizer)
      } else {
        tensors[name] = try TensorFile.read(place)
      }
    }
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      guard let index = firstNonFinite(tensor) else { continue }
      let warning = Diagnostic(
        .warning, "\(places[name] ?? name): '\(name)' holds \(tensor.doubles[index]) as element \(index)",
        notes: ["what is computed from it is most likely not finite either"])
      printNote(warning.rendered())
    }
    return tensors
  }
}
