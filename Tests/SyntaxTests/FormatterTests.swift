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

  @Test(arguments: [
    ("let   x=f( a,b , )", "let x = f(a, b)\n"),
    ("let x = f(\n a,\n b)", "let x = f(\n  a,\n  b,\n)\n"),
    ("let x = (\n a // why\n )", "let x = (\n  a  // why\n)\n"),
    ("let x = [\n a // why\n ]", "let x = [\n  a,  // why\n]\n"),
    ("let x = - a ** - 1", "let x = -a ** -1\n"),
    ("let x = a [ 0 , 1 ..< 2 , ..< , ... ] . T", "let x = a[0, 1..<2, ..<, ...].T\n"),
    (
      "layer A {\n\n\n}\nlayer B{\n\n let a = 1\n\n\n let b = 2\n\n}",
      "layer A {}\n\nlayer B {\n  let a = 1\n\n  let b = 2\n}\n"
    ),
    ("// only a comment   ", "// only a comment\n"),
    ("\u{FEFF}\r\nlet a = 1\r\n", "let a = 1\n"),
    ("", ""),
  ])
  func `has one layout`(text: String, expected: String) throws {
    #expect(try format(SourceFile(path: "test.ltm", text: text)) == expected)
  }

  private func comments(_ file: SourceFile) -> [String] {
    Lexer(file).tokens.filter { $0.kind == .comment }.map {
      file.text($0.start..<$0.end).trimmingCharacters(in: .whitespaces)
    }
  }
}
