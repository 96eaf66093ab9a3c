import Foundation
import LTMSupport
import LTMSyntax
import Testing

@Suite struct GoldenTests {
  /// Compares with the file next to `fixture` that ends in `.ending`. With `LTM_BLESS=1` in the environment the file is
  /// written instead, and the test fails, so that no run both records and passes.
  private func expect(_ text: String, golden ending: String, of fixture: Fixture) throws {
    let url = fixture.url.deletingPathExtension().appendingPathExtension(ending)
    let recorded = try? String(contentsOf: url, encoding: .utf8)
    if recorded != text, ProcessInfo.processInfo.environment["LTM_BLESS"] == "1" {
      try text.write(to: url, atomically: true, encoding: .utf8)
      Issue.record("recorded \(url.lastPathComponent)")
    } else {
      #expect(recorded == text, "LTM_BLESS=1 records \(url.lastPathComponent) anew")
    }
  }

  @Test(arguments: Fixture.all("accept"))
  func `accepted files have this tree and this layout`(fixture: Fixture) throws {
    let source = try fixture.source()
    var diagnostics = DiagnosticSet()
    let module = parse(source, into: &diagnostics)
    try diagnostics.throwIfErrors()
    try expect(dump(module), golden: "ast", of: fixture)
    try expect(try format(source), golden: "formatted", of: fixture)
  }

  @Test(arguments: Fixture.all("reject"))
  func `rejected files have these errors`(fixture: Fixture) throws {
    var diagnostics = DiagnosticSet()
    if let source = sourceFile(path: fixture.name, bytes: try fixture.bytes(), into: &diagnostics) {
      _ = parse(source, into: &diagnostics)
    }
    #expect(diagnostics.hasErrors)
    try expect(diagnostics.description + "\n", golden: "errors", of: fixture)
  }

  @Test func `there are files to accept and to reject`() {
    #expect(Fixture.all("accept").count >= 4)
    #expect(Fixture.all("reject").count >= 20)
  }
}
