import LTMSupport

/// Tokens with the logarithms of their probabilities: a word is cut so that their sum is largest.
struct UnigramModel: Sendable {
  let vocabulary: Vocabulary
  private let scores: [Double]
  private let unknown: Int32?
  private let unknownScore: Double
  private let bytes: [Int32?]?
  private let trie: TokenTrie

  init(_ settings: Settings) throws(Diagnostic) {
    let list = try settings.required("vocab")
    var entries: [(text: String, id: JSON)] = []
    var scores: [Double] = []
    for (id, entry) in try list.elements().enumerated() {
      guard let text = entry.value[0]?.stringValue, let score = entry.value[1]?.doubleValue else {
        throw entry.error("is no token with its score")
      }
      entries.append((text, .int(id)))
      scores.append(score)
    }
    vocabulary = try Vocabulary(list, entries)
    self.scores = scores
    unknown = try settings["unk_id"].map { (id) throws(Diagnostic) in
      Int32(try id.integer(0...max(0, entries.count - 1)))
    }
    // As far below the least likely token as SentencePiece has it.
    unknownScore = (scores.min() ?? 0) - 10
    bytes = try settings.bool("byte_fallback", or: false) ? vocabulary.byteTokens : nil
    var trie = TokenTrie()
    for (id, entry) in entries.enumerated() { trie.insert(entry.text.unicodeScalars, Int32(id)) }
    self.trie = trie
  }

  /// The best way to a place in a word.
  private struct Way {
    var score = 0.0
    var start = -1
    var id: Int32 = -1
  }

  /// Adds the tokens of a word; neighbours that are unknown are one.
  func append(_ word: ArraySlice<Unicode.Scalar>, to tokens: inout [Int32]) throws(Diagnostic) {
    let ways = bestWays(word)
    var parts: [(range: Range<Int>, id: Int32)] = []
    var end = word.endIndex
    while end > word.startIndex {
      let way = ways[end - word.startIndex]
      if way.id == -1, let last = parts.last, last.id == -1 {
        parts[parts.count - 1].range = way.start..<last.range.upperBound
      } else {
        parts.append((way.start..<end, way.id))
      }
      end = way.start
    }
    for part in parts.reversed() {
      if part.id >= 0 {
        tokens.append(part.id)
      } else if let id = vocabulary.table.value(of: word[part.range]) {
        tokens.append(id)
      } else if let ids = byteTokens(word[part.range]) {
        tokens += ids
      } else if let unknown {
        tokens.append(unknown)
      } else {
        throw .noUnknownToken
      }
    }
  }

  private func bestWays(_ word: ArraySlice<Unicode.Scalar>) -> [Way] {
    var ways = [Way](repeating: Way(), count: word.count + 1)
    for start in word.indices {
      let before = ways[start - word.startIndex].score
      func improve(_ end: Int, _ id: Int32, _ score: Double) {
        let place = end - word.startIndex
        if ways[place].start < 0 || before + score > ways[place].score {
          ways[place] = Way(score: before + score, start: start, id: id)
        }
      }
      var isKnown = false
      trie.tokens(of: word[start...]) { id, end in
        isKnown = isKnown || end == start + 1
        improve(end, id == unknown ? -1 : id, scores[Int(id)])
      }
      if !isKnown { improve(start + 1, -1, unknownScore) }
    }
    return ways
  }

  private func byteTokens(_ text: ArraySlice<Unicode.Scalar>) -> [Int32]? {
    guard let bytes else { return nil }
    var ids: [Int32] = []
    for scalar in text {
      for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
        guard let id = bytes[Int(byte)] else { return nil }
        ids.append(id)
      }
    }
    return ids
  }
}

/// Tokens by their beginnings.
struct TokenTrie: Sendable {
  /// By a node and a scalar: the node behind it.
  private var children = IntegerMap()
  /// The token that ends at each node: -1 for none.
  private var tokens: [Int32] = [-1]

  var isEmpty: Bool { tokens.count == 1 }

  mutating func insert(_ text: some Sequence<Unicode.Scalar>, _ id: Int32) {
    var node: Int32 = 0
    for scalar in text {
      if let child = children[Self.key(node, scalar)] {
        node = child
      } else {
        children.set(Self.key(node, scalar), Int32(tokens.count))
        node = Int32(tokens.count)
        tokens.append(-1)
      }
    }
    if node > 0 { tokens[Int(node)] = id }
  }

  private static func key(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 {
    UInt64(node) << 21 | UInt64(scalar.value)
  }

  /// Calls `body` with each token that a text begins with, and where it ends.
  func tokens(of text: ArraySlice<Unicode.Scalar>, _ body: (Int32, Int) -> Void) {
    var node: Int32 = 0
    for index in text.indices {
      guard let child = children[Self.key(node, text[index])] else { return }
      node = child
      if tokens[Int(node)] >= 0 { body(tokens[Int(node)], index + 1) }
    }
  }
}
