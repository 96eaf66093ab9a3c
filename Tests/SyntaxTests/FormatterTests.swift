import Foundation
import LTMSupport
import LTMSyntax
import Testing

@Suite struct FormatterTests {
  @Test(arguments: Fixture.all("accept"))
  func `keeps the tree and the comments, and is its own fixed point`(fixture: Fixture) throws {
    let source = try fixture.source()
    let once = try format(source)
    let twice = try format(SourceFile(path: "once.ltm", text: once))
    #expect(once == twice)
    #expect(try tree(String(decoding: source.bytes, as: UTF8.self)) == tree(once))
    #expect(comments(source) == comments(SourceFile(path: "once.ltm", text: once)))
  }

  private func comments(_ file: SourceFile) -> [String] {
    Lexer(file).tokens.filter { $0.kind == .comment }.map {
      file.text($0.start..<$0.end).trimmingCharacters(in: .whitespaces)
    }
  }
}
