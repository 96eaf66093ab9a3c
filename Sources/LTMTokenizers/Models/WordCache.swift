import Synchronization

/// The tokens of words that were met, for words come again and again.
struct WordTokens {
  private var words = TokenTable()
  private var ranges: [Range<Int>] = []
  private var tokens: [Int32] = []

  /// Words that are kept, and scalars of the longest one.
  private static let most = 1 << 16
  private static let longest = 64

  /// Adds the tokens of a word, which `model` finds where they are not known.
  mutating func append(
    _ word: ArraySlice<Unicode.Scalar>, _ model: TokenModel, to result: inout [Int32]
  ) throws {
    guard word.count <= Self.longest else { return try model.append(word, to: &result) }
    if let known = words.value(of: word) {
      result += tokens[ranges[Int(known)]]
      return
    }
    let start = result.count
    try model.append(word, to: &result)
    if words.count >= Self.most { self = WordTokens() }
    words.insert(word, Int32(words.count))
    ranges.append(tokens.count..<tokens.count + result.count - start)
    tokens += result[start...]
  }
}

/// The words of a tokenizer that several threads use: each text takes them, and gives them back.
final class WordCache: Sendable {
  private let held = Mutex<WordTokens?>(WordTokens())

  func with<R>(_ body: (inout WordTokens) throws -> R) rethrows -> R {
    var words =
      held.withLock { held in
        defer { held = nil }
        return held
      } ?? WordTokens()
    defer {
      let back = words
      held.withLock { $0 = back }
    }
    return try body(&words)
  }
}
