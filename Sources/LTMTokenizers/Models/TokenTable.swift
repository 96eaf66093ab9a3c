/// Numbers by texts, the texts as scalars one behind the other. Texts are the same where their scalars are: Swift's strings, which are the
/// same where they look the same, would take two tokens for one.
struct TokenTable: Sendable {
  private var scalars: [Unicode.Scalar] = []
  private var starts: [Int] = [0]
  private var values: [Int32] = []
  /// The hash of each entry.
  private var hashes: [UInt64] = []
  /// Entries by hash: 1 more than the entry's index, 0 for none.
  private var slots = [Int32](repeating: 0, count: 16)
  /// Scalars of the longest text.
  private(set) var longest = 0

  /// The largest number that a token may have.
  static let largestID = 0x7FFF_FFFE

  var count: Int { values.count }

  /// The hash of no text; a scalar is added to the hash of what stands before it.
  static let seed = UInt64.random(in: 0 ... .max)

  static func adding(_ scalar: Unicode.Scalar, to hash: UInt64) -> UInt64 {
    let mixed = (hash ^ UInt64(scalar.value)) &* 0x9E37_79B9_7F4A_7C15
    return mixed ^ (mixed >> 32)
  }

  static func hash(_ text: some Sequence<Unicode.Scalar>, after hash: UInt64 = seed) -> UInt64 {
    var hash = hash
    for scalar in text { hash = adding(scalar, to: hash) }
    return hash
  }

  /// The number of a text; `nil` where it is not here.
  func value(of text: ArraySlice<Unicode.Scalar>) -> Int32? { value(of: text, hash: Self.hash(text)) }

  func value(of text: [Unicode.Scalar]) -> Int32? { value(of: text[...]) }

  /// The number of `prefix` and `text` together, whose hash is known.
  func value(of text: ArraySlice<Unicode.Scalar>, behind prefix: [Unicode.Scalar] = [], hash: UInt64) -> Int32? {
    entry(of: text, behind: prefix, hash: hash).map { values[$0] }
  }

  private func entry(of text: ArraySlice<Unicode.Scalar>, behind prefix: [Unicode.Scalar], hash: UInt64) -> Int? {
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if hashes[entry] == hash, isEqual(entry, prefix, text) { return entry }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  private func isEqual(_ entry: Int, _ prefix: [Unicode.Scalar], _ text: ArraySlice<Unicode.Scalar>) -> Bool {
    let start = starts[entry]
    guard starts[entry + 1] - start == prefix.count + text.count else { return false }
    for (index, scalar) in prefix.enumerated() where scalars[start + index] != scalar { return false }
    var at = start + prefix.count
    for scalar in text {
      if scalars[at] != scalar { return false }
      at += 1
    }
    return true
  }

  /// Adds a text; gives the number that it had before, if any, which stays.
  @discardableResult
  mutating func insert(_ text: ArraySlice<Unicode.Scalar>, _ value: Int32) -> Int32? {
    let hash = Self.hash(text)
    if let entry = entry(of: text, behind: [], hash: hash) { return values[entry] }
    scalars += text
    starts.append(scalars.count)
    values.append(value)
    hashes.append(hash)
    longest = max(longest, text.count)
    guard values.count * 2 > slots.count else {
      place(values.count - 1)
      return nil
    }
    slots = [Int32](repeating: 0, count: slots.count * 2)
    for entry in values.indices { place(entry) }
    return nil
  }

  private mutating func place(_ entry: Int) {
    var slot = Int(truncatingIfNeeded: hashes[entry]) & (slots.count - 1)
    while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
    slots[slot] = Int32(entry + 1)
  }
}
