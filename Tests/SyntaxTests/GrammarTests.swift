import Foundation
import LTMGrammar
import LTMSupport
import LTMSyntax
import TestSupport
import Testing

@Suite struct GrammarTests {
  private static let grammar = Result { try EBNF(Grammar.ebnf) }
  let grammar: EBNF

  init() throws { grammar = try Self.grammar.get() }

  @Test func `each name that a rule uses has a rule, and each rule is used`() {
    #expect(grammar.references.union(["module"]) == Set(grammar.names))
  }

  @Test func `each literal is a token, and each token a literal`() {
    let tokens = Keyword.allCases.map(\.rawValue) + Symbol.allCases.map(\.rawValue)
    #expect(grammar.literals == Set(tokens))
    for literal in grammar.literals {
      let lexer = Lexer(SourceFile(path: "literal", text: literal))
      #expect(lexer.tokens.count == 2 && lexer.diagnostics.all.isEmpty, "\(literal) is not one token")
    }
  }

  @Test func `each nonterminal has its parse method, and each parse method its nonterminal`() throws {
    let folder = root.appending(path: "Sources/LTMSyntax")
    var methods: Set<String> = []
    for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    where file.lastPathComponent.hasPrefix("Parser") {
      let text = try String(contentsOf: file, encoding: .utf8)
      methods.formUnion(text.matches(of: #/func parse([A-Z]\w*)\(/#).map { String($0.output.1) })
    }
    let nonterminals = grammar.names.filter { $0 != $0.uppercased() }
    #expect(Set(nonterminals.map(Self.camelCase)) == methods)
  }

  private static func camelCase(_ name: String) -> String {
    name.split(separator: "-").map(\.capitalized).joined()
  }

  @Test func `words that are names elsewhere are those that the grammar lists as names`() {
    guard case .choice(let options)? = grammar.rules["name"] else {
      Issue.record("'name' is not a choice")
      return
    }
    let listed = options.compactMap { if case .literal(let word) = $0 { word } else { nil } }
    #expect(Set(listed) == Set(Keyword.allCases.filter { $0.role == .contextual }.map(\.rawValue)))
    guard case .choice(let dtypes)? = grammar.rules["dtype"] else {
      Issue.record("'dtype' is not a choice")
      return
    }
    #expect(Set(dtypes) == Set(Keyword.allCases.filter { $0.role == .dtype }.map { .literal($0.rawValue) }))
  }

  @Test(arguments: 0..<10)
  func `random sentences parse, and survive the formatter`(seed: Int) throws {
    var maker = SentenceMaker(grammar, seed: UInt64(seed))
    for _ in 0..<10 {
      let sentence = maker.sentence(from: "module")
      var diagnostics = DiagnosticSet()
      let expected = dump(parse(SourceFile(path: "sentence", text: sentence), into: &diagnostics))
      try #require(!diagnostics.hasErrors, "\(diagnostics)\n\(sentence)")
      let once = try format(SourceFile(path: "sentence", text: sentence))
      #expect(try tree(once, path: "once") == expected, "\(sentence)\n---\n\(once)")
      #expect(try format(SourceFile(path: "once", text: once)) == once, "\(sentence)\n---\n\(once)")
    }
  }

  @Test func `random sentences use every literal`() {
    var maker = SentenceMaker(grammar, seed: 7)
    var seen: Set<String> = []
    for _ in 0..<150 {
      let lexer = Lexer(SourceFile(path: "sentence", text: maker.sentence(from: "module")))
      for token in lexer.tokens { seen.insert(lexer.text(of: token)) }
    }
    #expect(grammar.literals.subtracting(seen).isEmpty)
  }
}
