import ArgumentParser
import LTM

/// The flags that say which weights a model begins with.
struct WeightOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Weights, under PyTorch's names: .safetensors (or the .index.json of several), .npz, .pt, .pth, .bin; without them the model's initial ones.",
      valueName: "file"))
  var weights: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "How the file's names become the model's, as 'encoder.layer.* -> blocks.*' or 'model -> ' (which drops a prefix); may be given several times.",
      valueName: "'from -> to'"))
  var rename: [String] = []
  @Flag(help: "Keep initial values for the weights that the file lacks.") var partial = false
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Tensors of the file that are meant to be left out, and need no warning; may be given several times.",
      valueName: "'path.**'"))
  var ignore: [String] = []

  /// The file, for the check that no output is written over it.
  var file: (flag: String, path: String?) { ("--weights", weights.map { TensorFile.path(of: $0) }) }

  /// Loads them into a model; prints warnings.
  func load(into model: inout Model) throws {
    guard let weights else {
      guard rename.isEmpty, !partial, ignore.isEmpty else {
        throw LTMError("--rename, --partial and --ignore say how --weights are read, and none are given")
      }
      return
    }
    let loading = WeightLoading(
      renames: try rename.map { try WeightRename(parsing: $0) }, isPartial: partial, ignored: ignore)
    try model.load(weightsFrom: weights, loading).forEach { printNote($0.rendered()) }
  }
}
