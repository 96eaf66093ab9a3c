/// A text cut into pieces, which lie one behind the other.
struct Pieces {
  private(set) var scalars: [Unicode.Scalar] = []
  /// One past the last scalar of each piece.
  private(set) var ends: [Int] = []
  /// Whether the first piece is the beginning of the whole text.
  var beginsText = false

  init() {}

  /// One piece.
  init(_ text: [Unicode.Scalar], beginsText: Bool) {
    scalars = text
    self.beginsText = beginsText
    if !text.isEmpty { ends.append(text.count) }
  }

  /// Adds a piece, unless it is empty.
  mutating func append(_ piece: some Collection<Unicode.Scalar>) {
    guard !piece.isEmpty else { return }
    scalars += piece
    ends.append(scalars.count)
  }

  /// Calls `body` with each piece.
  func forEach(_ body: (ArraySlice<Unicode.Scalar>) throws -> Void) rethrows {
    var start = 0
    for end in ends {
      try body(scalars[start..<end])
      start = end
    }
  }
}

/// A part of a piece, and whether it is what was looked for.
struct Segment {
  var range: Range<Int>
  let isMatch: Bool
}

/// What becomes of the parts that were looked for.
enum SplitBehavior: String, CaseIterable, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"

  /// Adds the pieces that segments make.
  func append(_ segments: [Segment], of text: ArraySlice<Unicode.Scalar>, to pieces: inout Pieces) {
    switch self {
    case .removed: for segment in segments where !segment.isMatch { pieces.append(text[segment.range]) }
    case .isolated: for segment in segments { pieces.append(text[segment.range]) }
    case .mergedWithPrevious, .contiguous, .mergedWithNext:
      for range in merged(segments) { pieces.append(text[range]) }
    }
  }

  private func merged(_ segments: [Segment]) -> [Range<Int>] {
    let isBackward = self == .mergedWithNext
    var result: [Range<Int>] = []
    var previous = false
    for segment in isBackward ? segments.reversed() : segments {
      let joins = self == .contiguous ? segment.isMatch == previous : segment.isMatch && !previous
      if joins, let last = result.popLast() {
        result.append(min(last.lowerBound, segment.range.lowerBound)..<max(last.upperBound, segment.range.upperBound))
      } else {
        result.append(segment.range)
      }
      previous = segment.isMatch
    }
    return isBackward ? result.reversed() : result
  }
}

extension ArraySlice<Unicode.Scalar> {
  /// The matches given and what lies between them; `inverted`, the latter are the matches.
  func segments(_ matches: [Range<Int>], inverted: Bool = false) -> [Segment] {
    var result: [Segment] = []
    var start = startIndex
    for match in matches {
      if match.lowerBound > start { result.append(Segment(range: start..<match.lowerBound, isMatch: inverted)) }
      result.append(Segment(range: match, isMatch: !inverted))
      start = match.upperBound
    }
    if start < endIndex { result.append(Segment(range: start..<endIndex, isMatch: inverted)) }
    return result
  }

  /// The single scalars that a test takes, as matches.
  func places(where test: (Unicode.Scalar) -> Bool) -> [Range<Int>] {
    indices.filter { test(self[$0]) }.map { $0..<$0 + 1 }
  }
}
