import LTMIR
import LTMRuntime
import LTMSupport

/// What an ONNX file became: the text of a `.ltm` file, and the tensors that it reads.
package struct ImportedModel {
  /// The `.ltm` file, in its layout.
  package let text: String
  /// The safetensors file beside it.
  package let weights: [TensorToSave]
  /// The names of the entry's parameters, by ONNX's names of the inputs.
  package let inputs: [(onnx: String, parameter: String)]
  /// What is worth knowing: opsets that are newer than what is read.
  package let warnings: [Diagnostic]
}

/// Imports ONNX files.
package struct Importer {
  /// The file.
  package let path: String
  /// Sizes for symbolic dimensions, by ONNX's name or by that in the written file.
  package let dims: [String: Int]

  /// Inputs that are known at import, and are none of the written entry: shapes and axes that a file takes from outside.
  package let known: [String: Tensor]

  /// An importer of a file.
  package init(path: String, dims: [String: Int] = [:], known: [String: Tensor] = [:]) {
    self.path = path
    self.dims = dims
    self.known = known
  }

  /// The names of the graph's inputs that have no value in the file.
  package func inputNames() throws -> [String] {
    let graph = try ModelReader(path: path).read().graph
    let held = Set(graph.initializers.map(\.name))
    return graph.inputs.map(\.name).filter { !held.contains($0) }
  }

  /// Reads, folds, translates and writes. Throws everything that cannot be imported, in one set.
  package func run() throws -> ImportedModel {
    let model = try ModelReader(path: path).read()
    guard model.opset >= OperatorTable.opsets.lowerBound else {
      throw Diagnostic(
        "\(path): opset \(model.opset) is not imported",
        notes: ["opsets \(OperatorTable.opsets.lowerBound) and later are; onnx.version_converter makes one of another"])
    }
    var translator = GraphTranslator(model: model, path: path, dims: dims, known: known)
    try translator.translate()
    let writer = ModelWriter(translator: translator, path: path)
    return ImportedModel(
      text: try writer.text(), weights: writer.weights, inputs: writer.inputs, warnings: warnings(of: model))
  }

  private func warnings(of model: ONNXModel) -> [Diagnostic] {
    guard model.opset > OperatorTable.opsets.upperBound else { return [] }
    return [
      Diagnostic(
        .warning,
        "\(path): opset \(model.opset) is newer than \(OperatorTable.opsets.upperBound), the last one that is known",
        notes: ["an operator whose meaning changed since is imported with its old one"])
    ]
  }
}
