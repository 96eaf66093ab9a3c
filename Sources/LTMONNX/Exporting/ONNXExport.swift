import Foundation
import LTM
import LTMIR
import LTMRuntime
import LTMSupport
import SwiftProtobuf

/// An entry of a model as an ONNX file: `try model.onnx(policy: PrecisionPolicy(.sixteen)).write(to: "model.onnx")`.
public struct ONNXExport: Sendable {
  /// The graph's inputs, in order: the entry's parameters, then the states that it updates.
  public let inputs: [String]
  /// The graph's results, in order.
  public let results: [String]
  /// How many tensors the file holds.
  public let tensorCount: Int
  private let model: Onnx_ModelProto
  private let byteCount: Int

  /// The most that a protobuf holds, less what the graph itself may take.
  static let sizeLimit = (1 << 31) - (1 << 26)

  init(_ model: Onnx_ModelProto) {
    self.model = model
    inputs = model.graph.input.map(\.name)
    results = model.graph.output.map(\.name)
    tensorCount = model.graph.initializer.count
    byteCount = model.graph.initializer.reduce(0) { $0 + $1.rawData.count }
  }

  /// Whether the tensors are more than one protobuf holds: then they lie in a file beside it.
  public var needsExternalData: Bool { byteCount > Self.sizeLimit }

  /// Where the tensors go that lie beside an ONNX file.
  public static func dataPath(beside path: String) -> String { path + ".data" }

  /// Writes the file, whole or not at all, and its tensors beside it where that is asked for, or where they are more than
  /// one protobuf holds.
  public func write(to path: String, externalData: Bool = false) throws(LTMError) {
    do {
      var model = model
      if externalData || needsExternalData { try moveTensors(of: &model, to: Self.dataPath(beside: path)) }
      try writeAtomically(path, try model.serializedBytes())
    } catch let error as FileError {
      throw LTMError(error.diagnostic)
    } catch {
      throw LTMError("\(path): cannot be written as ONNX: \(error)")
    }
  }

  private func moveTensors(of model: inout Onnx_ModelProto, to path: String) throws(FileError) {
    let name = URL(filePath: path).lastPathComponent
    let tensors = model.graph.initializer
    var (offset, moved) = (0, tensors)
    for index in tensors.indices {
      let count = tensors[index].rawData.count
      moved[index].rawData = Data()
      moved[index].clearRawData()
      moved[index].dataLocation = .external
      moved[index].externalData = [("location", name), ("offset", "\(offset)"), ("length", "\(count)")].map {
        key, value in
        var entry = Onnx_StringStringEntryProto()
        (entry.key, entry.value) = (key, value)
        return entry
      }
      offset += count
    }
    try writeAtomically(path) { (file) throws(FileError) in
      for tensor in tensors { try file.write([UInt8](tensor.rawData)) }
    }
    model.graph.initializer = moved
  }
}

extension Model {
  /// An entry as an ONNX graph, its weights in it. Symbolic dimensions that have no size here stay symbolic.
  ///
  /// Throws everything that ONNX cannot say, in one error.
  public func onnx(
    entry: String = "forward", policy: PrecisionPolicy, dimensions: [String: Int] = [:]
  ) throws(LTMError) -> ONNXExport {
    let graph = try Compilation(model: self, policy: policy, entry: entry, dimensions: dimensions).graphForExport()
    let store = ExportStore(model: self)
    var exporter = GraphExporter(graph.decomposed(keepsWhole: false, keeping: ExportTable.takes), store)
    let proto = exporter.model(producer: LTMVersion.text)
    guard store.problems.isEmpty else { throw LTMError(DiagnosticSet(store.problems)) }
    return ONNXExport(proto)
  }
}
