import Foundation

/// The rules of an EBNF text, as `grammar/ltm.ebnf` writes them.
struct EBNF: Sendable {
  indirect enum Rule: Hashable, Sendable {
    /// A token in double quotes.
    case literal(String)
    /// Characters in single quotes, and a range of them.
    case characters(String)
    case range(Character, Character)
    case reference(String)
    /// What is said in words.
    case words(String)
    case sequence([Rule])
    case choice([Rule])
    case optional(Rule)
    case repetition(Rule)
  }

  struct Malformed: Error { var place: String }

  private(set) var rules: [String: Rule] = [:]
  /// The names in the order of the text.
  private(set) var names: [String] = []
  private var words: [Substring] = []

  init(_ text: String) throws {
    let uncommented = text.replacing(#/\(\*(?s:.*?)\*\)/#, with: " ")
    let token = #/"[^"]+"|'.'\.\.'.'|'[^']+'|\?(?:(?!\ \?).)*\ \?|[A-Za-z][A-Za-z\-]*|[=|;\[\]{}()]|\S/#
    words = uncommented.matches(of: token).map(\.output).reversed()
    while let name = words.popLast() {
      try expect("=")
      guard rules.updateValue(try choice(), forKey: String(name)) == nil else { throw Malformed(place: String(name)) }
      names.append(String(name))
      try expect(";")
    }
  }

  private mutating func expect(_ word: String) throws {
    guard let found = words.popLast(), found == word else { throw Malformed(place: "\(names.last ?? "") \(word)") }
  }

  private mutating func choice() throws -> Rule {
    var options = [try sequence()]
    while words.last == "|" {
      words.removeLast()
      options.append(try sequence())
    }
    return options.count == 1 ? options[0] : .choice(options)
  }

  private mutating func sequence() throws -> Rule {
    var parts: [Rule] = []
    while let word = words.last, !["|", ";", "]", "}", ")"].contains(word) { parts.append(try part()) }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func part() throws -> Rule {
    guard let word = words.popLast(), let first = word.first else { throw Malformed(place: "the end") }
    switch first {
    case "[": return .optional(try enclosed("]"))
    case "{": return .repetition(try enclosed("}"))
    case "(": return try enclosed(")")
    case "\"": return .literal(String(word.dropFirst().dropLast()))
    case "?": return .words(word.dropFirst().dropLast().trimmingCharacters(in: .whitespaces))
    case "'":
      let characters = Array(word)
      if characters.count == 8 { return .range(characters[1], characters[6]) }
      return .characters(String(word.dropFirst().dropLast()))
    case _ where first.isLetter: return .reference(String(word))
    default: throw Malformed(place: String(word))
    }
  }

  private mutating func enclosed(_ closer: String) throws -> Rule {
    let rule = try choice()
    try expect(closer)
    return rule
  }

  /// Every part of every rule.
  var parts: [Rule] { rules.values.flatMap(Self.parts) }

  private static func parts(_ rule: Rule) -> [Rule] {
    switch rule {
    case .literal, .characters, .range, .reference, .words: [rule]
    case .sequence(let rules), .choice(let rules): rules.flatMap(parts)
    case .optional(let inner), .repetition(let inner): parts(inner)
    }
  }

  var literals: Set<String> {
    Set(parts.compactMap { if case .literal(let text) = $0 { text } else { nil } })
  }

  var references: Set<String> {
    Set(parts.compactMap { if case .reference(let name) = $0 { name } else { nil } })
  }
}
