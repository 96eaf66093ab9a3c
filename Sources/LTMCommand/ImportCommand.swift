import ArgumentParser
import Foundation
import LTM
import LTMONNX
import LTMRuntime
import LTMSupport

/// `ltm import`
struct ImportCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Makes a .ltm file and a safetensors file of an ONNX model.",
    discussion: """
      ltm import model.onnx -o model.ltm
      ltm run model.ltm --weights model.safetensors --input x=x.npy -o y.npy

      The file is one to read and to change: shapes that the graph computes are folded, symbolic dimensions keep their names, \
      and weights theirs. Where a dimension has to be known, --dim gives it a size. Everything that cannot be imported is \
      named in one run, with the node, its operator and the reason; nothing is written then. docs/import.md tells more.
      """)

  @Argument(help: ArgumentHelp("The .onnx file.", valueName: "model.onnx")) var file: String
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The .ltm file to write; the weights go beside it, as .safetensors. In the model's folder where it is left out.",
      valueName: "file.ltm"))
  var output: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A size for a symbolic dimension, by its name in either file.", valueName: "name=size"))
  var dim: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "An input that is known now, a shape say, and becomes part of the file.", valueName: "name=file[:key]"))
  var input: [String] = []
  @Flag(help: "Write over files that are there.") var force = false
  @OptionGroup var printing: PrintOptions

  func run() throws {
    let target = output ?? (file.hasSuffix(".onnx") ? String(file.dropLast(5)) : file) + ".ltm"
    guard target.hasSuffix(".ltm") else {
      throw LTMError("\(target): an imported model is a .ltm file", notes: ["-o model.ltm writes one"])
    }
    let weights = ImportedModel.weightsPath(beside: target)
    try checkFiles([FileUse("-o", target), FileUse("-o", weights)], inputs: [FileUse("the model", file)])
    try requireFree([target, weights], force: force)
    let known = try named(input, flag: "--input name=file[:key]").mapValues { try TensorFile.read($0) }
    let sizes = try self.sizes()
    let imported: ImportedModel
    do throws(DiagnosticSet) {
      imported = try Importer(path: file, dims: sizes, known: known).run()
      imported.warnings.forEach { printNote($0.rendered()) }
      try imported.write(to: target)
    } catch {
      throw LTMError(error)
    }
    try printLine(
      printing.json
        ? report(imported, target, weights).text() : "\(target), \(weights): \(imported.tensorCount) tensors")
  }

  private func report(_ imported: ImportedModel, _ target: String, _ weights: String) -> JSON {
    [
      "model": .string(target), "weights": .string(weights), "tensors": .int(imported.tensorCount),
      "inputs": .object(imported.inputs.map { .init($0.onnx, .string($0.parameter)) }),
    ]
  }

  private func sizes() throws -> [String: Int] {
    try named(dim, flag: "--dim name=size").mapValues { text in
      guard let size = Int(text), size > 0 else {
        throw LTMError("--dim: '\(text)' is no size", notes: ["it is a number of 1 or more, as in --dim batch=1"])
      }
      return size
    }
  }
}
