import LTMSupport

/// A token that stands in texts as it is, whatever the model would make of it.
struct AddedToken: Sendable {
  let id: Int32
  let content: String
  let isSpecial: Bool
  /// It is no part of a word.
  let isSingleWord: Bool
  /// It takes the spaces before it, or behind it.
  let takesLeft: Bool
  let takesRight: Bool
  /// It is looked for in the normalized text.
  let isNormalized: Bool

  /// Longer ones are refused: each place of a text is compared with them.
  private static let longest = 1000

  init(_ settings: Settings) throws(Diagnostic) {
    id = Int32(try settings.required("id").tokenID())
    content = try settings.required("content").string()
    isSpecial = try settings.bool("special", or: false)
    isSingleWord = try settings.bool("single_word", or: false)
    takesLeft = try settings.bool("lstrip", or: false)
    takesRight = try settings.bool("rstrip", or: false)
    isNormalized = try settings.bool("normalized", or: !isSpecial)
    guard content.unicodeScalars.count <= Self.longest else {
      throw settings.error(
        "is a token of \(content.unicodeScalars.count) characters, and at most \(Self.longest) are read")
    }
  }
}

/// The added tokens of a file, and where they are in texts.
struct AddedTokens: Sendable {
  /// By number.
  private(set) var byID: [Int32: AddedToken] = [:]
  /// What the tokens are written as, which is normalized where they are.
  private(set) var texts: [Int32: String] = [:]
  private var byText = TokenTable()
  private var raw = TokenTrie()
  private var normalized = TokenTrie()

  init(_ settings: Settings?, _ vocabulary: Vocabulary, _ normalizer: Normalizer?) throws(Diagnostic) {
    for entry in try settings?.elements() ?? [] {
      let token = try AddedToken(entry)
      if token.content.isEmpty { continue }
      if let known = vocabulary.id(token.content), known != token.id {
        throw entry.error(
          "gives '\(token.content.prefix(40))' the number \(token.id), and the vocabulary the number \(known)")
      }
      if let other = vocabulary.text(token.id) ?? byID[token.id]?.content,
        !other.unicodeScalars.elementsEqual(token.content.unicodeScalars)
      {
        throw entry.error("gives '\(token.content.prefix(40))' the number of '\(other.prefix(40))'")
      }
      byID[token.id] = token
      byText.insert(Array(token.content.unicodeScalars)[...], token.id)
      let text = Array(token.content.unicodeScalars)
      if token.isNormalized, let normalizer {
        let form = try normalizer.normalized(text)
        normalized.insert(form, token.id)
        texts[token.id] = String(String.UnicodeScalarView(form))
      } else {
        texts[token.id] = token.content
        raw.insert(text, token.id)
      }
    }
  }

  /// The largest number.
  var largest: Int { byID.keys.max().map(Int.init) ?? -1 }

  func id(_ text: String) -> Int32? { byText.value(of: Array(text.unicodeScalars)) }

  /// A part of a text: an added token, or what is none.
  enum Part {
    case token(Int32)
    case text(Range<Int>)
  }

  /// The parts of a text as it was given, or of one that was normalized.
  func parts(of text: [Unicode.Scalar], isNormalized: Bool) -> [Part] {
    let trie = isNormalized ? normalized : raw
    var parts: [Part] = []
    var (start, position) = (0, 0)
    while !trie.isEmpty, position < text.count {
      guard let (token, end) = token(trie, text, at: position) else {
        position += 1
        continue
      }
      guard let found = extent(of: token, position..<end, in: text, after: start) else {
        position = end
        continue
      }
      if found.lowerBound > start { parts.append(.text(start..<found.lowerBound)) }
      parts.append(.token(token.id))
      (start, position) = (found.upperBound, max(end, found.upperBound))
    }
    if start < text.count { parts.append(.text(start..<text.count)) }
    return parts
  }

  /// The longest token at a place.
  private func token(_ trie: TokenTrie, _ text: [Unicode.Scalar], at position: Int) -> (AddedToken, Int)? {
    var found: (AddedToken, Int)?
    trie.tokens(of: text[position...]) { id, end in
      if let token = byID[id] { found = (token, end) }
    }
    return found
  }

  /// A token with the spaces that it takes; `nil` where it is part of a word and must not be.
  private func extent(
    of token: AddedToken, _ range: Range<Int>, in text: [Unicode.Scalar], after start: Int
  ) -> Range<Int>? {
    var (low, high) = (range.lowerBound, range.upperBound)
    if token.isSingleWord {
      if low > 0, text[low - 1].isWordPart { return nil }
      if high < text.count, text[high].isWordPart { return nil }
    }
    if token.takesLeft { while low > start, text[low - 1].isSpace { low -= 1 } }
    if token.takesRight { while high < text.count, text[high].isSpace { high += 1 } }
    return low..<high
  }
}
