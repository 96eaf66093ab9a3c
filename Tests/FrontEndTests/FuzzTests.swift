import Foundation
import Fuzzing
import LTMFrontEnd
import LTMSupport
import LTMSyntax
import TestSupport
import Testing

/// Damaged files: always a program or messages, never a crash; and what still parses can be formatted, once for all, without
/// a change of meaning. `LTM_FUZZ=100` makes the run a hundred times as long.
@Suite struct FuzzTests {
  private static let words = [
    "0", "-1", "1", "2", "9223372036854775807", "1e308", "true", "x", "B", "...", "[1, 2]", "f16", "relu", "Linear",
    "Linear(2, 3)", "x.T", "if", "training", "inf", "nan", "0..<3", "/ 0", "** 70", "matmul", "reshape", "split", "(",
    ")", "[", "]", "{", "}", ",", ":", "|>", "<-", "zeros()", "iota([B, 0])", "@f32 { x }", "stack", "gather", "max",
    "min", "\n", "//", "func", "layer", "model", "let", "var", "for i in 0..<B {", "} else {", "return", "->", "=",
    "\"",
  ]

  /// Every source text of the project, with the path that messages would name.
  static let sources: [URL] = {
    let folders = ["samples", "grammar/accept", "grammar/reject", "Sources/LTMFrontEnd/Prelude"]
    let files = folders.flatMap { folder in
      (try? FileManager.default.contentsOfDirectory(
        at: root.appending(path: folder), includingPropertiesForKeys: nil)) ?? []
    }
    let goldens = (Golden.all(in: "graphs") + Golden.all(in: "errors")).map(\.url)
    return files.filter { $0.pathExtension == "ltm" }.sorted { $0.path < $1.path } + goldens
  }()

  @Test func thereAreSources() { #expect(Self.sources.count > 60) }

  @Test(arguments: sources.indices)
  func damage(index: Int) throws {
    let url = Self.sources[index]
    let whole = String(decoding: try Data(contentsOf: url), as: UTF8.self)
    let text = try #require(whole.components(separatedBy: Golden.separator).first)
    var mutator = Mutator(seed: UInt64(index), words: Self.words)
    for _ in 0..<fuzzRounds(30) {
      let bytes = mutator.mutated(Array(text.utf8))
      check(bytes)
      format(bytes)
    }
  }

  private func check(_ bytes: [UInt8]) {
    do {
      _ = try load(path: "test.ltm") { asked in
        guard asked == "test.ltm" else { throw Diagnostic("no such file") }
        return bytes
      }.check()
    } catch {
      #expect(error.hasErrors && !error.description.isEmpty)
    }
  }

  private func format(_ bytes: [UInt8]) {
    var diagnostics = DiagnosticSet()
    guard let file = sourceFile(path: "test.ltm", bytes: bytes, into: &diagnostics) else { return }
    let tree = dump(parse(file, into: &diagnostics))
    if diagnostics.hasErrors { return }
    let first = messagesOr { try LTMSyntax.format(file) }
    let again = SourceFile(path: "test.ltm", text: first)
    #expect(dump(parse(again, into: &diagnostics)) == tree, "\(file.text(0..<Int32.max))")
    #expect(messagesOr { try LTMSyntax.format(again) } == first, "\(file.text(0..<Int32.max))")
  }

  private func messagesOr(_ body: () throws -> String) -> String {
    do { return try body() } catch { return "\(error)" }
  }
}
