import Foundation
import LTMSupport
import LTMSyntax
import TestSupport
import Testing

/// A file of `grammar/`.
struct Fixture: CustomTestStringConvertible, Sendable {
  let url: URL
  var name: String { url.lastPathComponent }
  var testDescription: String { name }

  /// The `.ltm` files of a folder of `grammar/`, by name.
  static func all(_ folder: String) -> [Fixture] {
    let path = root.appending(path: "grammar/\(folder)")
    let files = (try? FileManager.default.contentsOfDirectory(at: path, includingPropertiesForKeys: nil)) ?? []
    return files.filter { $0.pathExtension == "ltm" }.map(Fixture.init).sorted { $0.name < $1.name }
  }

  func bytes() throws -> [UInt8] { Array(try Data(contentsOf: url)) }

  func source() throws -> SourceFile { SourceFile(path: name, text: String(decoding: try bytes(), as: UTF8.self)) }
}

/// The tree of `text` as text; throws what was reported.
func tree(_ text: String, path: String = "test.ltm") throws -> String {
  var diagnostics = DiagnosticSet()
  let module = parse(SourceFile(path: path, text: text), into: &diagnostics)
  try diagnostics.throwIfErrors()
  return dump(module)
}
