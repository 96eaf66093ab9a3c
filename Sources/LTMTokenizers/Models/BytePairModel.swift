import LTMSupport

/// Byte-pair encoding: a word is its characters, of which the pair that was learned first is merged, again and again.
struct BytePairModel: Sendable {
  let vocabulary: Vocabulary
  /// By two tokens: which merge it is.
  private let ranks: IntegerMap
  /// What each merge makes.
  private let results: [Int32]
  private let unknown: Int32?
  private let fusesUnknown: Bool
  private let bytes: [Int32?]?
  private let ignoresMerges: Bool
  private let prefix: [Unicode.Scalar]
  private let suffix: [Unicode.Scalar]
  /// The tokens of single characters, where none gets a prefix or suffix.
  private let singles: IntegerMap?

  init(_ settings: Settings) throws(Diagnostic) {
    vocabulary = try Vocabulary(settings.required("vocab"))
    if let dropout = settings["dropout"], dropout.value.doubleValue != 0 {
      throw dropout.error("leaves out merges at random, which is for training a model", remedy: "set it to null")
    }
    prefix = try settings["continuing_subword_prefix"]?.scalars() ?? []
    suffix = try settings["end_of_word_suffix"]?.scalars() ?? []
    fusesUnknown = try settings.bool("fuse_unk", or: false)
    ignoresMerges = try settings.bool("ignore_merges", or: false)
    bytes = try settings.bool("byte_fallback", or: false) ? vocabulary.byteTokens : nil
    unknown = try vocabulary.id(named: settings["unk_token"])
    (ranks, results) = try Self.merges(settings.required("merges"), vocabulary, prefix.count)
    var singles = IntegerMap(minimumCapacity: 256)
    for byte in UInt32(0)..<0x250 {
      guard let scalar = Unicode.Scalar(byte), let id = vocabulary.table.value(of: [scalar]) else { continue }
      singles.set(UInt64(byte), id)
    }
    self.singles = prefix.isEmpty && suffix.isEmpty ? singles : nil
  }

  /// Merges as `"a b"` or `["a", "b"]`, in the order of their ranks.
  private static func merges(
    _ settings: Settings, _ vocabulary: Vocabulary, _ prefixLength: Int
  ) throws(Diagnostic) -> (IntegerMap, [Int32]) {
    guard let entries = settings.value.elements else { throw settings.error("is no list of merges") }
    var ranks = IntegerMap(minimumCapacity: entries.count)
    var results: [Int32] = []
    results.reserveCapacity(entries.count)
    for (rank, entry) in entries.enumerated() {
      func error(_ problem: String) -> Diagnostic {
        Settings(value: entry, path: "\(settings.path)[\(rank)]", file: settings.file).error(problem)
      }
      guard let (left, right) = pair(entry) else { throw error("is no pair of tokens") }
      var ids: [Int32] = []
      for text in [left, right, left + right.dropFirst(prefixLength)] {
        guard let id = vocabulary.table.value(of: text) else {
          throw error(
            "speaks of '\(String(String.UnicodeScalarView(text)).prefix(40))', which is no token of the vocabulary")
        }
        ids.append(id)
      }
      ranks.set(key(ids[0], ids[1]), Int32(rank))
      results.append(ids[2])
    }
    return (ranks, results)
  }

  private static func pair(_ entry: JSON) -> ([Unicode.Scalar], [Unicode.Scalar])? {
    if let text = entry.stringValue {
      let parts = text.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false)
      return parts.count == 2 ? (Array(parts[0]), Array(parts[1])) : nil
    }
    guard let parts = entry.elements, parts.count == 2, let left = parts[0].stringValue,
      let right = parts[1].stringValue
    else { return nil }
    return (Array(left.unicodeScalars), Array(right.unicodeScalars))
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Adds the tokens of a word.
  func append(_ word: ArraySlice<Unicode.Scalar>, to tokens: inout [Int32]) throws(Diagnostic) {
    if ignoresMerges, let id = vocabulary.table.value(of: word) {
      tokens.append(id)
      return
    }
    var symbols: [Int32] = []
    symbols.reserveCapacity(word.count)
    // An unknown character is written where the next known one is, so that several can be one token.
    var pending = false
    for index in word.indices {
      if let id = symbol(word, at: index) {
        if pending, let unknown { symbols.append(unknown) }
        pending = false
        symbols.append(id)
      } else if let ids = byteTokens(word, at: index) {
        symbols += ids
      } else if let unknown {
        if pending, !fusesUnknown { symbols.append(unknown) }
        pending = true
      }
    }
    if pending, let unknown { symbols.append(unknown) }
    MergeQueue.merge(&symbols) { left, right in
      guard let rank = ranks[Self.key(left, right)] else { return nil }
      return (rank, results[Int(rank)])
    }
    tokens += symbols
  }

  private func symbol(_ word: ArraySlice<Unicode.Scalar>, at index: Int) -> Int32? {
    if let singles, word[index].value < 0x250 { return singles[UInt64(word[index].value)] }
    return vocabulary.table.value(of: written(word, at: index))
  }

  /// A character of a word with the prefix and suffix that its place asks for.
  private func written(_ word: ArraySlice<Unicode.Scalar>, at index: Int) -> [Unicode.Scalar] {
    (index == word.startIndex ? [] : prefix) + [word[index]] + (index == word.endIndex - 1 ? suffix : [])
  }

  private func byteTokens(_ word: ArraySlice<Unicode.Scalar>, at index: Int) -> [Int32]? {
    guard let bytes else { return nil }
    let text = String(String.UnicodeScalarView(written(word, at: index)))
    let ids = text.utf8.compactMap { bytes[Int($0)] }
    return ids.count == text.utf8.count ? ids : nil
  }
}

/// Merges neighbours in the order of their ranks, the left ones of a rank first.
enum MergeQueue {
  /// What a pair becomes, and when: smaller ranks first.
  typealias Merge = (rank: Int32, result: Int32)

  static func merge(_ symbols: inout [Int32], _ merge: (Int32, Int32) -> Merge?) {
    if symbols.count < 2 { return }
    if symbols.count <= 24 { scan(&symbols, merge) } else { queue(&symbols, merge) }
  }

  /// Looks at all pairs of a short word each time.
  private static func scan(_ symbols: inout [Int32], _ merge: (Int32, Int32) -> Merge?) {
    var merges: [Merge?] = (1..<symbols.count).map { merge(symbols[$0 - 1], symbols[$0]) }
    while true {
      var best: (index: Int, merge: Merge)?
      for (index, candidate) in merges.enumerated() {
        if let candidate, best.map({ candidate.rank < $0.merge.rank }) ?? true { best = (index, candidate) }
      }
      guard let (index, chosen) = best else { return }
      symbols[index] = chosen.result
      symbols.remove(at: index + 1)
      merges.remove(at: index)
      if index < merges.count { merges[index] = merge(symbols[index], symbols[index + 1]) }
      if index > 0 { merges[index - 1] = merge(symbols[index - 1], symbols[index]) }
    }
  }

  private struct Entry: Comparable {
    /// The rank, then the place.
    let order: UInt64
    let left: Int32
    let right: Int32

    static func < (one: Entry, other: Entry) -> Bool { one.order < other.order }
  }

  /// Keeps the pairs in a heap: a word of any length costs its length times the logarithm.
  private static func queue(_ symbols: inout [Int32], _ merge: (Int32, Int32) -> Merge?) {
    var next = Array(1...symbols.count)
    var previous = Array(-1..<symbols.count - 1)
    var isGone = [Bool](repeating: false, count: symbols.count)
    var heap = Heap<Entry>()
    func push(_ left: Int, _ right: Int, _ symbols: [Int32]) {
      guard left >= 0, right < symbols.count, let found = merge(symbols[left], symbols[right]) else { return }
      heap.push(
        Entry(order: UInt64(UInt32(found.rank)) << 32 | UInt64(left), left: symbols[left], right: symbols[right]))
    }
    for left in 0..<symbols.count - 1 { push(left, left + 1, symbols) }
    while let entry = heap.pop() {
      let left = Int(entry.order & 0xFFFF_FFFF)
      let right = next[left]
      // One of the two may have been merged with another since.
      guard !isGone[left], right < symbols.count, symbols[left] == entry.left, symbols[right] == entry.right,
        let found = merge(entry.left, entry.right)
      else { continue }
      symbols[left] = found.result
      isGone[right] = true
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      push(previous[left], left, symbols)
      push(left, next[left], symbols)
    }
    symbols = symbols.indices.filter { !isGone[$0] }.map { symbols[$0] }
  }
}

/// A binary heap, the least first.
struct Heap<Element: Comparable> {
  private var elements: [Element] = []

  mutating func push(_ element: Element) {
    var child = elements.count
    elements.append(element)
    while child > 0, elements[child] < elements[(child - 1) / 2] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Element? {
    guard let first = elements.first, let last = elements.popLast() else { return nil }
    guard !elements.isEmpty else { return first }
    elements[0] = last
    var parent = 0
    while true {
      var least = 2 * parent + 1
      guard least < elements.count else { return first }
      if least + 1 < elements.count, elements[least + 1] < elements[least] { least += 1 }
      guard elements[least] < elements[parent] else { return first }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
