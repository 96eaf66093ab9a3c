import Fuzzing
import LTMSyntax
import TestSupport

/// Makes random sentences from a grammar. Past a depth, each choice takes the option that ends soonest.
struct SentenceMaker {
  let grammar: EBNF
  var random: SeededGenerator
  private var heights: [String: Int] = [:]
  private let depthLimit = 22

  init(_ grammar: EBNF, seed: UInt64) {
    self.grammar = grammar
    random = SeededGenerator(seed: seed)
    // The least height of each rule's trees, by relaxation.
    var changed = true
    while changed {
      changed = false
      for (name, rule) in grammar.rules {
        let height = height(rule) + 1
        if height < heights[name, default: 1000] {
          heights[name] = height
          changed = true
        }
      }
    }
  }

  private func height(_ rule: EBNF.Rule) -> Int {
    switch rule {
    case .literal, .characters, .range, .words, .optional, .repetition: 0
    case .reference(let name): heights[name, default: 1000]
    case .sequence(let rules): rules.map(height).max() ?? 0
    case .choice(let rules): rules.map(height).min() ?? 0
    }
  }

  mutating func sentence(from name: String) -> String { text(.reference(name), depth: 0, isLexical: false) }

  private mutating func text(_ rule: EBNF.Rule, depth: Int, isLexical: Bool) -> String {
    let separator = isLexical ? "" : " "
    switch rule {
    case .literal(let text), .characters(let text): return text
    case .range(let low, let high):
      let values = (low.asciiValue ?? 0)...(high.asciiValue ?? 0)
      return String(UnicodeScalar(values.randomElement(using: &random) ?? 0))
    case .words(let words): return said(words)
    case .reference(let name): return reference(name, depth: depth)
    case .sequence(let rules):
      return rules.map { text($0, depth: depth, isLexical: isLexical) }.joined(separator: separator)
    case .choice(let rules):
      let least = rules.map(height).min() ?? 0
      let options = depth > depthLimit ? rules.filter { height($0) == least } : rules
      return text(options.randomElement(using: &random) ?? rule, depth: depth, isLexical: isLexical)
    case .optional(let rule):
      return depth > depthLimit || Bool.random(using: &random) ? "" : text(rule, depth: depth, isLexical: isLexical)
    case .repetition(let rule):
      let count = depth > depthLimit ? 0 : Int.random(in: 0...3, using: &random) - 1
      return (0..<max(0, count)).map { _ in text(rule, depth: depth, isLexical: isLexical) }
        .joined(separator: separator)
    }
  }

  /// The text of a named rule; a token is made again until it is within the bounds that the grammar states in words.
  private mutating func reference(_ name: String, depth: Int) -> String {
    guard let rule = grammar.rules[name] else { return "" }
    let isLexical = name == name.uppercased()
    guard isLexical else { return text(rule, depth: depth + 1, isLexical: false) }
    while true {
      let made = text(rule, depth: 0, isLexical: true)
      let number = Double(made.filter { $0 != "_" })
      switch name {
      case "NAME" where Keyword(rawValue: made) != nil || made == "_": continue
      case "FLOAT" where number.map { !$0.isFinite || $0 == 0 } ?? true: continue
      default: return made
      }
    }
  }

  private mutating func said(_ words: String) -> String {
    if words.contains("carriage return") { return Bool.random(using: &random) ? "\n" : "\r\n" }
    let characters: [String] = ["a", "Z", "7", " ", "/", "ü", "漢", ".", "{", "(", "'", "👍🏽"]
    return characters.randomElement(using: &random) ?? "a"
  }
}
