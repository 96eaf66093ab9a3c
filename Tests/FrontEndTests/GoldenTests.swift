import Foundation
import LTMFrontEnd
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// A file under `Goldens`: a source, a line `=====`, and what the compiler says of it.
struct Golden: Sendable, CustomTestStringConvertible {
  static let separator = "\n=====\n"
  let url: URL
  var testDescription: String { url.deletingPathExtension().lastPathComponent }

  static func all(in folder: String) -> [Golden] {
    let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Goldens/\(folder)")
    let files = try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)
    return (files ?? []).filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }.map { Golden(url: $0) }
  }

  /// Compares, or records.
  func check(_ actual: (String) -> String) throws {
    let text = try String(contentsOf: url, encoding: .utf8)
    let parts = text.components(separatedBy: Golden.separator)
    let source = try #require(parts.first)
    let result = actual(source + "\n")
    try expectGolden(source + Golden.separator + result + "\n", url)
  }
}

@Suite struct GoldenTests {
  /// Everything that `check` says of a file.
  private func report(_ source: String) -> String {
    messages {
      let diagnostics = try loaded(source, named: "model.ltm").check()
      if !diagnostics.all.isEmpty { throw diagnostics }
    }
  }

  @Test(arguments: Golden.all(in: "errors"))
  func error(golden: Golden) throws { try golden.check(report) }

  @Test(arguments: Golden.all(in: "graphs"))
  func graph(golden: Golden) throws {
    try golden.check { source in
      var text = ""
      let failure = messages {
        let file = try loaded(source, named: "model.ltm")
        let program = try file.instantiate(model: try #require(file.mainModel))
        for entry in program.entries {
          for training in [false, true] {
            let graph = try program.graph(entry: entry.name, training: training)
            #expect(graph.verify().isEmpty)
            let next = graph.text
            if !text.hasSuffix(next) { text += (training ? "// training\n" : "") + next }
          }
        }
      }
      return text + failure
    }
  }

  @Test func thereAreGoldens() {
    #expect(Golden.all(in: "errors").count > 30)
    #expect(Golden.all(in: "graphs").count > 3)
  }
}
