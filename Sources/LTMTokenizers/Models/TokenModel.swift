import LTMSupport

/// What finds the tokens of a word.
enum TokenModel: Sendable {
  case bytePair(BytePairModel)
  case wordPiece(WordPieceModel)
  case unigram(UnigramModel)
  case wordLevel(WordLevelModel)

  /// Reads the model; older files do not say its type.
  init(_ settings: Settings) throws(Diagnostic) {
    let named = try settings["type"]?.string()
    let type =
      named ?? (settings["merges"] != nil ? "BPE" : settings["vocab"]?.value.elements != nil ? "Unigram" : "WordPiece")
    switch type {
    case "BPE": self = .bytePair(try BytePairModel(settings))
    case "WordPiece": self = .wordPiece(try WordPieceModel(settings))
    case "Unigram": self = .unigram(try UnigramModel(settings))
    case "WordLevel": self = .wordLevel(try WordLevelModel(settings))
    case _: throw settings.unknown("model", type, known: ["BPE", "WordPiece", "Unigram", "WordLevel"])
    }
  }

  /// Tokens by their texts.
  var vocabulary: Vocabulary {
    switch self {
    case .bytePair(let model): model.vocabulary
    case .wordPiece(let model): model.vocabulary
    case .unigram(let model): model.vocabulary
    case .wordLevel(let model): model.vocabulary
    }
  }

  /// Adds the tokens of a word.
  func append(_ word: ArraySlice<Unicode.Scalar>, to tokens: inout [Int32]) throws(Diagnostic) {
    switch self {
    case .bytePair(let model): try model.append(word, to: &tokens)
    case .wordPiece(let model): try model.append(word, to: &tokens)
    case .unigram(let model): try model.append(word, to: &tokens)
    case .wordLevel(let model): try model.append(word, to: &tokens)
    }
  }
}

/// The tokens of a model, both ways.
struct Vocabulary: Sendable {
  let table: TokenTable
  /// Texts by number.
  private let texts: [Int32: String]
  /// The largest number.
  let largest: Int

  /// Reads `{"token": number, ...}`.
  init(_ settings: Settings) throws(Diagnostic) {
    guard let members = settings.value.members else { throw settings.error("is no object of tokens") }
    try self.init(settings, members.map { ($0.key, $0.value) })
  }

  /// Tokens in the order of their numbers, or with their numbers.
  init(_ settings: Settings, _ entries: [(text: String, id: JSON)]) throws(Diagnostic) {
    var table = TokenTable()
    var texts: [Int32: String] = [:]
    texts.reserveCapacity(entries.count)
    for (text, id) in entries {
      let shown = "'\(text.prefix(40))'"
      guard let number = id.intValue, (0...TokenTable.largestID).contains(number) else {
        throw settings.error("gives \(shown) the number \(id), and tokens are counted from 0")
      }
      if let other = texts.updateValue(text, forKey: Int32(number)) {
        throw settings.error("gives \(shown) and '\(other.prefix(40))' the same number \(number)")
      }
      if table.insert(Array(text.unicodeScalars)[...], Int32(number)) != nil {
        throw settings.error("has the token \(shown) twice")
      }
    }
    largest = texts.keys.max().map(Int.init) ?? -1
    (self.table, self.texts) = (table, texts)
  }

  func id(_ text: String) -> Int32? { table.value(of: Array(text.unicodeScalars)) }
  func text(_ id: Int32) -> String? { texts[id] }

  /// The tokens of the 256 bytes, for what no other token holds; `nil` for those that are missing.
  var byteTokens: [Int32?] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return id("<0x\(digits.count == 1 ? "0" : "")\(digits)>")
    }
  }

  /// The number of a token that a setting names, where there is such a token.
  func idIfKnown(_ settings: Settings?) throws(Diagnostic) -> Int32? {
    guard let settings else { return nil }
    return id(try settings.string())
  }

  /// The number of a token that a setting names; an error where it is missing.
  func id(named settings: Settings?) throws(Diagnostic) -> Int32? {
    guard let settings else { return nil }
    guard let id = id(try settings.string()) else {
      throw settings.error("is '\(try settings.string().prefix(40))', which is no token of the vocabulary")
    }
    return id
  }
}

/// Whole words.
struct WordLevelModel: Sendable {
  let vocabulary: Vocabulary
  private let unknown: Int32?

  init(_ settings: Settings) throws(Diagnostic) {
    vocabulary = try Vocabulary(settings.required("vocab"))
    unknown = try vocabulary.idIfKnown(settings["unk_token"])
  }

  func append(_ word: ArraySlice<Unicode.Scalar>, to tokens: inout [Int32]) throws(Diagnostic) {
    guard let id = vocabulary.table.value(of: word) ?? unknown else { throw .noUnknownToken }
    tokens.append(id)
  }
}

extension Diagnostic {
  /// A text has what the vocabulary lacks.
  static var noUnknownToken: Diagnostic {
    Diagnostic("a text has a word that is no token, and the tokenizer names no 'unk_token' to stand for it")
  }
}

/// The longest known beginning of a word, then that of the rest.
struct WordPieceModel: Sendable {
  let vocabulary: Vocabulary
  private let unknown: Int32?
  /// What stands before a token that begins no word.
  private let prefix: [Unicode.Scalar]
  private let longestWord: Int
  private let prefixHash: UInt64

  init(_ settings: Settings) throws(Diagnostic) {
    vocabulary = try Vocabulary(settings.required("vocab"))
    prefix = try settings["continuing_subword_prefix"]?.scalars() ?? ["#", "#"]
    longestWord = try settings.integer("max_input_chars_per_word", 0...(.max), or: 100)
    unknown = try vocabulary.idIfKnown(settings["unk_token"])
    prefixHash = TokenTable.hash(prefix)
  }

  func append(_ word: ArraySlice<Unicode.Scalar>, to tokens: inout [Int32]) throws(Diagnostic) {
    let first = tokens.count
    var start = word.startIndex
    if word.count <= longestWord {
      while start < word.endIndex, let (id, end) = longest(word, from: start) {
        tokens.append(id)
        start = end
      }
    }
    guard start < word.endIndex || word.count > longestWord else { return }
    tokens.removeSubrange(first...)
    guard let unknown else { throw .noUnknownToken }
    tokens.append(unknown)
  }

  /// The longest token that begins at a place, and where it ends.
  private func longest(_ word: ArraySlice<Unicode.Scalar>, from start: Int) -> (Int32, Int)? {
    let before = start == word.startIndex ? [] : prefix
    var hash = start == word.startIndex ? TokenTable.seed : prefixHash
    var found: (Int32, Int)?
    for end in start..<min(word.endIndex, start + vocabulary.table.longest) {
      hash = TokenTable.adding(word[end], to: hash)
      if let id = vocabulary.table.value(of: word[start...end], behind: before, hash: hash) { found = (id, end + 1) }
    }
    return found
  }
}
