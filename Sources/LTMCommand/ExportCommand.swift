import ArgumentParser
import Foundation
import LTM
import LTMONNX
import LTMRuntime
import LTMSupport

/// `ltm export`
struct ExportCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Writes an entry of a model, weights included, as a file that other runtimes run.",
    discussion: """
      ltm export samples/digits.ltm --onnx digits.onnx --weights w.safetensors
      ltm export samples/gpt.ltm --onnx gpt.onnx --weights w.safetensors --precision 16 --dim B=1

      Dimensions that --dim gives no size stay symbolic. Casts that the opt level places are Cast nodes, and weights have the \
      dtype that the level loads them in. Everything that ONNX cannot say is named in one run, with its place; nothing is \
      written then. docs/export.md tells more.
      """)

  @OptionGroup var source: SourceArgument
  @Option(help: ArgumentHelp("The ONNX file to write.", valueName: "file.onnx")) var onnx: String
  @Option(help: ArgumentHelp("The function of the model to export.", valueName: "name")) var entry = "forward"
  @Option(
    name: .customLong("dim"), parsing: .singleValue,
    help: ArgumentHelp(
      "A size for a symbolic dimension, as B=64; may be given several times. Others stay symbolic.",
      valueName: "name=size"))
  var dims: [String] = []
  @Flag(help: "Write the weights beside the file, as FILE.data; what does not fit into 2 GB always goes there.")
  var externalData = false
  @Flag(help: "Write over files that are there.") var force = false
  @OptionGroup(title: "Weights") var weights: WeightOptions
  @OptionGroup var printing: PrintOptions
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions

  func run() throws {
    guard onnx.hasSuffix(".onnx") else {
      throw LTMError("\(onnx): an ONNX file's name ends with .onnx", notes: ["--onnx model.onnx writes one"])
    }
    let policy = try precision.policy()
    var loaded = try model.load(source)
    let data = ONNXExport.dataPath(beside: onnx)
    try checkFiles(
      [FileUse("--onnx", onnx), FileUse("the data beside --onnx", data)],
      inputs: loaded.sourceFiles + files([weights.file]))
    try weights.load(into: &loaded)
    let exported = try loaded.onnx(entry: entry, policy: policy, dimensions: try sizes(of: dims))
    let isOutside = externalData || exported.needsExternalData
    try requireFree([onnx] + (isOutside ? [data] : []), force: force)
    try exported.write(to: onnx, externalData: externalData)
    try printLine(printing.json ? report(exported).text() : "\(onnx): \(exported.tensorCount) tensors")
  }

  private func report(_ exported: ONNXExport) -> JSON {
    [
      "onnx": .string(onnx), "tensors": .int(exported.tensorCount),
      "inputs": .array(exported.inputs.map { .string($0) }), "results": .array(exported.results.map { .string($0) }),
    ]
  }
}
