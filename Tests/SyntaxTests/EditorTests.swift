import Foundation
import LTMSyntax
import TestSupport
import Testing

@Suite struct EditorTests {
  private struct TextMate: Decodable {
    struct Pattern: Decodable {
      var name: String?
      var match: String?
      var begin: String?
      var end: String?
    }
    var scopeName: String
    var fileTypes: [String]
    var patterns: [Pattern]
  }

  @Test func `the TextMate grammar knows the lexer's keywords and symbols`() throws {
    let url = root.appending(path: "grammar/editors/ltm.tmLanguage.json")
    let grammar = try JSONDecoder().decode(TextMate.self, from: Data(contentsOf: url))
    #expect(grammar.scopeName == "source.ltm" && grammar.fileTypes == ["ltm"])
    for expression in grammar.patterns.flatMap({ [$0.match, $0.begin, $0.end] }).compactMap({ $0 }) {
      #expect(throws: Never.self, "\(expression)") { try Regex(expression) }
    }
    func words(_ scope: String) -> Set<String> {
      let matches = grammar.patterns.filter { $0.name?.hasPrefix(scope) == true }.compactMap(\.match)
      return Set(
        matches.flatMap { $0.matches(of: #/[a-z]+[0-9]*/#).map { String($0.output) } }.filter {
          !["b", "s", "w"].contains($0)
        })
    }
    #expect(words("keyword.control").union(words("constant.language")) == keywords(.reserved))
    #expect(words("storage.type") == keywords(.contextual))
    #expect(words("support.type") == keywords(.dtype))
    let operators = try Regex(try #require(grammar.patterns.first { $0.name == "keyword.operator.ltm" }?.match))
    for symbol in Symbol.allCases where symbol != .underscore {
      let isPunctuation = "()[]{},:.".contains(symbol.rawValue)
      #expect(try isPunctuation || operators.wholeMatch(in: symbol.rawValue) != nil, "\(symbol.rawValue)")
    }
  }

  private func keywords(_ role: Keyword.Role) -> Set<String> {
    Set(Keyword.allCases.filter { $0.role == role }.map(\.rawValue))
  }
}
