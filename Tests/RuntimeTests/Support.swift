import Foundation
import LTMIR
import LTMRuntime
import TestSupport
import Testing

/// The folder of the committed files that other programs wrote.
let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures").path + "/"

/// Calls `body` with the path of a new folder, which is removed afterwards.
func withTemporaryFolder(_ body: (_ folder: String) throws -> Void) throws {
  let folder = try TemporaryFolder()
  try withExtendedLifetime(folder) { try body(folder.path + "/") }
}

func bytes(of path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }

func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }

/// The names in a folder, hidden ones included.
func names(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

/// Runs `body`, which must fail, and gives what the user would read.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    Issue.record("no error was thrown")
    return ""
  } catch let error as FileError {
    return error.description
  } catch {
    Issue.record("an error of another kind: \(error)")
    return ""
  }
}

/// A safetensors file from its header's text and the size of its data.
func safetensors(_ header: String, data: Int = 0) -> [UInt8] {
  let text = Array(header.utf8)
  let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
  return length + text + [UInt8](repeating: 0, count: data)
}
