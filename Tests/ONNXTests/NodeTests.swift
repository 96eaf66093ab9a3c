import Foundation
import LTM
import LTMIR
import LTMONNX
import LTMRuntime
import LTMSupport
import TestSupport
import Testing

/// ONNX's own node tests: a sample always, and all of them where `LTM_ONNX_NODES` names the folder that
/// scripts/onnx/node_tests.py has filled.
@Suite struct NodeTests {
  @Test(arguments: try NodeCase.all(in: NodeCase.fixtures))
  func givesWhatTheTestAsksFor(_ item: NodeCase) throws { #expect(try item.problem() == nil) }

  /// Writes `ltm.tsv` into the folder: name, `pass` or `fail`, and why.
  @Test(.enabled(if: NodeCase.folder != nil)) func countsAllOfThem() throws {
    let folder = try #require(NodeCase.folder)
    let only = ProcessInfo.processInfo.environment["LTM_ONNX_ONLY"]
    var lines: [String] = []
    for item in try NodeCase.all(in: folder) where only.map(item.name.contains) ?? true {
      let problem: String?
      do { problem = try item.problem() } catch { problem = "\(error)" }
      let reason = (problem ?? "").split(separator: "\n").joined(separator: " ")
      lines.append("\(item.name)\t\(problem == nil ? "pass" : "fail")\t\(reason)")
      try (lines.joined(separator: "\n") + "\n").write(toFile: folder + "/ltm.tsv", atomically: true, encoding: .utf8)
    }
    #expect(!lines.isEmpty)
  }
}

/// One test: a model, its inputs and what it is to give.
struct NodeCase: CustomTestStringConvertible, Sendable {
  let name: String
  let path: String
  var testDescription: String { name }

  static let folder = ProcessInfo.processInfo.environment["LTM_ONNX_NODES"]
  static let fixtures = Command.root + "/Tests/ONNXTests/Fixtures/nodes"

  static func all(in folder: String) throws -> [NodeCase] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted().compactMap { name in
      let path = folder + "/" + name
      return FileManager.default.fileExists(atPath: path + "/model.onnx") ? NodeCase(name: name, path: path) : nil
    }
  }

  /// What differs from what the test asks for; `nil` where nothing does.
  func problem() throws -> String? {
    let data = try SafetensorsFile(path: path + "/data.safetensors")
    let inputs = try tensors(data, "input_"), outputs = try tensors(data, "output_")
    guard !outputs.isEmpty else { return "its results are no tensors" }
    let imported: ImportedModel
    var known: [Int: Tensor] = [:]
    do {
      imported = try importer([:]).run()
    } catch {
      // What ONNX takes from outside at run time, a shape or axes, is given at import.
      let names = try Importer(path: path + "/model.onnx").inputNames()
      for index in 1..<max(names.count, 1) { known[index] = inputs[index] }
      let given = known.map { (names[$0.key], $0.value) }
      guard !given.isEmpty, let second = try? importer(Dictionary(uniqueKeysWithValues: given)).run() else {
        throw error
      }
      imported = second
    }
    return try run(imported, inputs.filter { known[$0.key] == nil }, outputs)
  }

  private func importer(_ known: [String: Tensor]) -> Importer { Importer(path: path + "/model.onnx", known: known) }

  private func tensors(_ data: SafetensorsFile, _ prefix: String) throws -> [Int: Tensor] {
    let names = data.names.filter { $0.hasPrefix(prefix) }
    return try Dictionary(
      uniqueKeysWithValues: names.map { (Int($0.dropFirst(prefix.count)) ?? 0, try data.tensor($0)) })
  }

  private func run(_ imported: ImportedModel, _ inputs: [Int: Tensor], _ outputs: [Int: Tensor]) throws -> String? {
    let folder = try TemporaryFolder()
    let file = try folder.write("model.ltm", imported.text)
    var model = try Model(contentsOf: file)
    if !imported.weights.isEmpty {
      try writeSafetensors(folder.file("w.safetensors"), imported.weights)
      try model.load(weightsFrom: folder.file("w.safetensors"))
    }
    let given = inputs.sorted { $0.key < $1.key }.map(\.value)
    guard given.count == imported.inputs.count else {
      return "it takes \(imported.inputs.count) of \(given.count) inputs"
    }
    let named = zip(imported.inputs, given).map { ($0.parameter, $1) }
    let results = try model.compile("forward")(Dictionary(uniqueKeysWithValues: named))
    for (index, wanted) in outputs.sorted(by: { $0.key < $1.key }) {
      guard results.indices.contains(index) else { return "it gives \(results.count) results" }
      if let difference = difference(results[index].tensor, wanted) { return "result \(index): \(difference)" }
    }
    return nil
  }

  /// ONNX's own tolerance: a thousandth of the value.
  private func difference(_ found: Tensor, _ wanted: Tensor) -> String? {
    guard found.shape == wanted.shape else { return "the shape \(found.shape), not \(wanted.shape)" }
    guard found.dtype == wanted.dtype else { return "\(found.dtype), not \(wanted.dtype)" }
    for (index, (a, b)) in zip(found.doubles, wanted.doubles).enumerated() {
      let isEqual = a == b || a.isNaN && b.isNaN
      let allowed = wanted.dtype.isFloating ? 1e-6 + 1e-3 * abs(b) : 0
      guard isEqual || abs(a - b) <= allowed else { return "\(a), not \(b), at \(index)" }
    }
    return nil
  }
}
