import Foundation
import LTMSupport
import LTMSyntax
import TestSupport
import Testing

@Suite struct GoldenTests {
  /// Compares with the file next to `fixture` that ends in `.ending`, or records it.
  private func expect(_ text: String, golden ending: String, of fixture: Fixture) throws {
    try expectGolden(text, fixture.url.deletingPathExtension().appendingPathExtension(ending))
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
