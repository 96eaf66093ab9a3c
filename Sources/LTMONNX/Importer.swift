import LTMIR
import LTMRuntime
import LTMSupport

/// What an ONNX file became: the text of a `.ltm` file, and the tensors that it reads.
public struct ImportedModel {
  /// The `.ltm` file, in its layout.
  public let text: String
  /// The names of the entry's parameters, by ONNX's names of the inputs.
  public let inputs: [(onnx: String, parameter: String)]
  /// What is worth knowing: opsets that are newer than what is read.
  public let warnings: [Diagnostic]
  /// The safetensors file beside it.
  package let weights: [TensorToSave]

  /// The number of tensors.
  public var tensorCount: Int { weights.count }

  /// Writes the file, and the weights beside it under the same name with the ending `.safetensors`; each whole or not at all.
  /// Gives the path of the weights.
  @discardableResult
  public func write(to path: String) throws(DiagnosticSet) -> String {
    let tensors = Self.weightsPath(beside: path)
    try collecting {
      try writeSafetensors(tensors, weights)
      try writeAtomically(path, Array(text.utf8))
    }
    return tensors
  }

  /// Where the weights of a `.ltm` file go.
  public static func weightsPath(beside path: String) -> String {
    (path.hasSuffix(".ltm") ? String(path.dropLast(4)) : path) + ".safetensors"
  }
}

/// Imports ONNX files: `try Importer(path: "model.onnx").run().write(to: "model.ltm")`.
public struct Importer: Sendable {
  /// The file.
  public let path: String
  /// Sizes for symbolic dimensions, by ONNX's name or by that in the written file.
  public let dims: [String: Int]
  /// Inputs that are known at import, and are none of the written entry: shapes and axes that a file takes from outside.
  public let known: [String: Tensor]

  /// An importer of a file.
  public init(path: String, dims: [String: Int] = [:], known: [String: Tensor] = [:]) {
    self.path = path
    self.dims = dims
    self.known = known
  }

  /// Reads, folds, translates and writes. Throws everything that cannot be imported, in one set.
  public func run() throws(DiagnosticSet) -> ImportedModel {
    try collecting {
      let model = try ModelReader(path: path).read()
      var translator = GraphTranslator(model: model, path: path, dims: dims, known: known)
      try translator.translate()
      let writer = ModelWriter(translator: translator, path: path)
      return ImportedModel(
        text: try writer.text(), inputs: writer.inputs, warnings: warnings(of: model), weights: writer.weights)
    }
  }

  /// The names of the graph's inputs that have no value in the file.
  public func inputNames() throws(DiagnosticSet) -> [String] {
    let graph = try collecting { try ModelReader(path: path).read().graph }
    let held = Set(graph.initializers.map(\.name))
    return graph.inputs.map(\.name).filter { !held.contains($0) }
  }

  private func warnings(of model: ONNXModel) -> [Diagnostic] {
    let known = OperatorTable.opsets
    guard !known.contains(model.opset), model.opsets[""] != nil else { return [] }
    let place =
      model.opset > known.upperBound
      ? "newer than \(known.upperBound), the last one" : "older than \(known.lowerBound), the first one"
    return [
      Diagnostic(
        .warning, "\(path): opset \(model.opset) is \(place) that is known",
        notes: ["an operator whose meaning is another there is imported with the one that is known"])
    ]
  }
}

/// Runs `body`, turning whatever it throws into messages.
private func collecting<R>(_ body: () throws -> R) throws(DiagnosticSet) -> R {
  do {
    return try body()
  } catch let error as DiagnosticSet {
    throw error
  } catch let error as Diagnostic {
    throw DiagnosticSet([error])
  } catch let error as FileError {
    throw DiagnosticSet([error.diagnostic])
  } catch {
    throw DiagnosticSet([.internalError(in: "import", "\(error)")])
  }
}
