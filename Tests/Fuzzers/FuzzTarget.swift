import Foundation
import LTM
import LTMFrontEnd
import LTMIR
import LTMKernels
import LTMONNX
import LTMRuntime
import LTMSupport
import LTMTokenizers

// What libFuzzer calls with bytes of its own (`make fuzz`, docs/fuzzing.md). Everything that a reader throws is an answer; a trap, an error that the address
// sanitizer finds and a large allocation are findings.

/// The readers, by the name that LTM_FUZZER says.
private let readers: [String: @Sendable ([UInt8]) throws -> Void] = [
  "safetensors": { try readTensors($0, "safetensors") },
  "index": { try readTensors($0, "safetensors.index.json") },
  "npy": { try readTensors($0, "npy") },
  "npz": { try readTensors($0, "npz") },
  "torch": { try readTensors($0, "pt") },
  "checkpoint": { _ = try Checkpoint(path: try written($0, "safetensors")) },
  "csv": {
    try readRows($0, "csv", [DataField(parameter: "x", key: "a"), DataField(parameter: "y", key: "rest", dtype: .i32)])
  },
  "text": { try readRows($0, "txt", [DataField(parameter: "x", key: "x", dtype: .u8)], DataReading(window: 9)) },
  "image": readImage,
  "list": { try readRows($0, "list", [DataField(parameter: "x", key: "x", dtype: .f32, row: [3, 5, 6])]) },
  "tokenizer": readTokenizer,
  "onnx": { _ = try Importer(path: try written($0, "onnx")).run() },
  "source": readSource,
  "graph": { try readGraph(String(decoding: $0, as: UTF8.self)) },
  "kernel": {
    for kernel in try parseKernels(SourceFile(path: "fuzz.ltk", text: String(decoding: $0, as: UTF8.self))) {
      _ = kernel.verify()
    }
  },
  "log": { _ = CurveFigure([try RunCurves(contentsOf: try written($0, "jsonl"))]) },
  "table": { _ = CurveFigure([try RunCurves(contentsOf: try written($0, "csv"))]) },
  "json": { _ = try JSON(parsing: $0) },
]

private let reader = ProcessInfo.processInfo.environment["LTM_FUZZER"].flatMap { readers[$0] }
private let folder = NSTemporaryDirectory() + "ltm-fuzz-\(ProcessInfo.processInfo.processIdentifier)"

/// What libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  guard let reader else {
    print("LTM_FUZZER is one of \(readers.keys.sorted().joined(separator: ", "))")
    exit(2)
  }
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  do { try reader(bytes) } catch { _ = "\(error)" }
  return 0
}

/// A file with these bytes.
private func written(_ bytes: [UInt8], _ ending: String) throws -> String {
  let path = "\(folder)/fuzz.\(ending)"
  if !FileManager.default.fileExists(atPath: folder) { try makeFolder(folder) }
  try Data(bytes).write(to: URL(filePath: path))
  return path
}

private func readTensors(_ bytes: [UInt8], _ ending: String) throws {
  let archive = try openTensors(try written(bytes, ending))
  for name in archive.names {
    _ = try? archive.entry(name)
    _ = try? archive.tensor(name)
  }
}

private func readRows(
  _ bytes: [UInt8], _ ending: String, _ fields: [DataField], _ reading: DataReading = DataReading()
) throws {
  let data = try Dataset(files: try written(bytes, ending), fields: fields, reading: reading)
  _ = try data.train.batch([0])
}

/// An image behind a list that names it.
private func readImage(_ bytes: [UInt8]) throws {
  let image = try written(bytes, "png")
  try readRows(
    Array("\(image)\tcat\n".utf8), "list", [DataField(parameter: "x", key: "x", dtype: .f32, row: [3, 5, 6])])
}

private func readTokenizer(_ bytes: [UInt8]) throws {
  let tokenizer = try TextTokenizer(bytes, path: "tokenizer.json")
  let tokens = try tokenizer.encode(["Hello, 世界  the end\u{301} 123", ""])
  for row in tokens { _ = try tokenizer.decode(row.ids) }
}

/// Names, shapes and types of everything that a file holds, and its layout.
private func readSource(_ bytes: [UInt8]) throws {
  let file = try load(path: "fuzz.ltm") { path in
    guard path == "fuzz.ltm" else { throw Diagnostic("no such file") }
    return bytes
  }
  _ = file.check()
}

private func readGraph(_ text: String) throws {
  let graph = try Graph.parse(text)
  guard graph.verify().isEmpty else { return }
  _ = graph.text
}
