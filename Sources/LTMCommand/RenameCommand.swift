import ArgumentParser
import LTM
import LTMRuntime

/// `ltm rename`
struct RenameCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rename",
    abstract: "Writes a model's weights under the names of the library that they came from.",
    discussion: """
      ltm rename minilm.ltm --weights trained.safetensors -o model.safetensors

      The file's 'weights' block says how the library's names become the model's; here it is read the other way round.
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @Option(name: .shortAndLong, help: ArgumentHelp("Where to write: a .safetensors.", valueName: "file"))
  var output: String
  @OptionGroup(title: "Model") var model: ModelOptions

  func run() throws {
    var loaded = try model.load(source)
    try checkFiles([FileUse("-o", output)], inputs: loaded.sourceFiles + files([weights.file]))
    guard weights.weights != nil else {
      throw LTMError("no weights are given", notes: ["name their file, as in --weights trained.safetensors"])
    }
    try weights.load(into: &loaded)
    try loaded.save(underFileNamesTo: output)
  }
}
