import LTMSupport

/// How a text is cut into words, in each of which the model looks for tokens.
indirect enum PreTokenizer: Sendable {
  case bert
  case byteLevel(addsSpace: Bool, splits: Bool)
  case whitespace
  case whitespaceSplit
  case split(Pattern, SplitBehavior, inverted: Bool)
  case punctuation(SplitBehavior)
  case digits(individual: Bool)
  case metaspace(Metaspace)
  case delimiter(Unicode.Scalar)
  case sequence([PreTokenizer])

  private static let names = [
    "BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit", "Split", "Punctuation", "Digits", "Metaspace",
    "CharDelimiterSplit", "Sequence",
  ]

  init(_ settings: Settings) throws(Diagnostic) {
    let type = try settings.type()
    switch type {
    case "BertPreTokenizer": self = .bert
    case "ByteLevel":
      self = .byteLevel(
        addsSpace: try settings.bool("add_prefix_space", or: true), splits: try settings.bool("use_regex", or: true))
    case "Whitespace": self = .whitespace
    case "WhitespaceSplit": self = .whitespaceSplit
    case "Split":
      self = .split(
        try Pattern(settings.required("pattern")), try Self.behavior(settings),
        inverted: try settings.bool("invert", or: false))
    case "Punctuation": self = .punctuation(try Self.behavior(settings))
    case "Digits": self = .digits(individual: try settings.bool("individual_digits", or: false))
    case "Metaspace": self = .metaspace(try Metaspace(settings))
    case "CharDelimiterSplit": self = .delimiter(try settings.required("delimiter").scalar())
    case "Sequence":
      var parts: [PreTokenizer] = []
      for part in try settings.required("pretokenizers").elements() { parts.append(try PreTokenizer(part)) }
      self = .sequence(parts)
    case _: throw settings.unknown("pre-tokenizer", type, known: Self.names)
    }
  }

  private static func behavior(_ settings: Settings) throws(Diagnostic) -> SplitBehavior {
    guard let name = settings["behavior"] else { return .isolated }
    let text = try name.string()
    guard let behavior = SplitBehavior(rawValue: text) else {
      throw name.unknown("behavior", text, known: SplitBehavior.allCases.map(\.rawValue))
    }
    return behavior
  }

  /// The pieces, cut further.
  func cut(_ pieces: Pieces) throws(Diagnostic) -> Pieces {
    if case .sequence(let parts) = self {
      var result = pieces
      for part in parts { result = try part.cut(result) }
      return result
    }
    var result = Pieces()
    var start = 0
    for (index, end) in pieces.ends.enumerated() {
      let isFirst = index == 0 && pieces.beginsText
      let keepsBeginning = try cut(pieces.scalars[start..<end], isFirst: isFirst, into: &result)
      if isFirst { result.beginsText = keepsBeginning }
      start = end
    }
    return result
  }

  /// Cuts one piece; whether the first part is its beginning.
  private func cut(
    _ text: ArraySlice<Unicode.Scalar>, isFirst: Bool, into pieces: inout Pieces
  ) throws(Diagnostic) -> Bool {
    switch self {
    case .bert:
      Self.words(text, into: &pieces, apart: \.isPunctuation)
      return !(text.first?.isSpace ?? false)
    case .whitespaceSplit:
      Self.words(text, into: &pieces) { _ in false }
      return !(text.first?.isSpace ?? false)
    case .whitespace:
      Self.wordsAndSigns(text, into: &pieces)
      return !(text.first?.isSpace ?? false)
    case .byteLevel(let addsSpace, let splits):
      let padded = addsSpace && text.first != " " ? [" "] + text : text
      if splits { GPT2Words.cut(padded, into: &pieces) } else { Self.appendBytes(padded, to: &pieces) }
    case .split(let pattern, let behavior, let inverted):
      behavior.append(text.segments(try pattern.matches(in: text), inverted: inverted), of: text, to: &pieces)
    case .punctuation(let behavior):
      behavior.append(text.segments(text.places(where: \.isPunctuation)), of: text, to: &pieces)
    case .digits(let individual):
      let behavior = individual ? SplitBehavior.isolated : .contiguous
      behavior.append(text.segments(text.places(where: \.isNumber)), of: text, to: &pieces)
    case .delimiter(let delimiter):
      SplitBehavior.removed.append(text.segments(text.places { $0 == delimiter }), of: text, to: &pieces)
    case .metaspace(let metaspace): metaspace.cut(text, isFirst: isFirst, into: &pieces)
    case .sequence: break
    }
    return true
  }

  static func appendBytes(_ text: ArraySlice<Unicode.Scalar>, to pieces: inout Pieces) {
    var bytes: [Unicode.Scalar] = []
    bytes.reserveCapacity(text.count * 2)
    ByteAlphabet.append(text, to: &bytes)
    pieces.append(bytes)
  }

  /// What stands between spaces, and apart from it the scalars that a test takes.
  private static func words(
    _ text: ArraySlice<Unicode.Scalar>, into pieces: inout Pieces, apart: (Unicode.Scalar) -> Bool
  ) {
    var start = text.startIndex
    for index in text.indices {
      let isSpace = text[index].isSpace
      guard isSpace || apart(text[index]) else { continue }
      pieces.append(text[start..<index])
      if !isSpace { pieces.append(text[index..<index + 1]) }
      start = index + 1
    }
    pieces.append(text[start...])
  }

  /// Runs of word parts, and runs of what is neither these nor space.
  private static func wordsAndSigns(_ text: ArraySlice<Unicode.Scalar>, into pieces: inout Pieces) {
    var start = text.startIndex
    var previous: Bool?
    for index in text.indices {
      let kind = text[index].isWordPart ? true : text[index].isSpace ? nil : false
      if kind != previous {
        if previous != nil { pieces.append(text[start..<index]) }
        (start, previous) = (index, kind)
      }
    }
    if previous != nil { pieces.append(text[start...]) }
  }
}

/// Spaces as a character of their own, which begins a word.
struct Metaspace: Sendable {
  /// Where a text without a space before it gets one.
  enum Prepending: String, CaseIterable, Sendable {
    case always, first, never
  }

  let replacement: Unicode.Scalar
  let prepending: Prepending
  private let splits: Bool

  init(_ settings: Settings) throws(Diagnostic) {
    replacement = try settings["replacement"]?.scalar() ?? "\u{2581}"
    splits = try settings.bool("split", or: true)
    if let scheme = settings["prepend_scheme"] {
      let name = try scheme.string()
      guard let known = Prepending(rawValue: name) else {
        throw scheme.unknown("scheme", name, known: Prepending.allCases.map(\.rawValue))
      }
      prepending = known
    } else {
      prepending = try settings.bool("add_prefix_space", or: true) ? .always : .never
    }
  }

  func cut(_ text: ArraySlice<Unicode.Scalar>, isFirst: Bool, into pieces: inout Pieces) {
    var marked = text.map { $0 == " " ? replacement : $0 }
    if prepending == .always || (prepending == .first && isFirst), marked.first != replacement {
      marked.insert(replacement, at: 0)
    }
    guard splits else {
      pieces.append(marked)
      return
    }
    let segments = marked[...].segments(marked[...].places { $0 == replacement })
    SplitBehavior.mergedWithNext.append(segments, of: marked[...], to: &pieces)
  }
}

/// GPT-2's words: contractions, letters, digits or signs with a space before them, and spaces.
enum GPT2Words {
  private static let contractions: [[Unicode.Scalar]] = ["s", "t", "re", "ve", "m", "ll", "d"].map {
    Array($0.unicodeScalars)
  }

  private enum Kind { case letter, number, space, other }

  private static func kind(_ scalar: Unicode.Scalar) -> Kind {
    scalar.isLetter ? .letter : scalar.isNumber && scalar.isKnown ? .number : scalar.isSpace ? .space : .other
  }

  /// Adds the words, as bytes.
  static func cut(_ text: ArraySlice<Unicode.Scalar>, into pieces: inout Pieces) {
    var start = text.startIndex
    while start < text.endIndex {
      let end = self.end(of: text, from: start)
      PreTokenizer.appendBytes(text[start..<end], to: &pieces)
      start = end
    }
  }

  private static func end(of text: ArraySlice<Unicode.Scalar>, from start: Int) -> Int {
    if text[start] == "'", let word = contractions.first(where: { text[(start + 1)...].starts(with: $0) }) {
      return start + 1 + word.count
    }
    let first = text[start] == " " && start + 1 < text.endIndex && kind(text[start + 1]) != .space ? start + 1 : start
    let wanted = kind(text[first])
    var end = first + 1
    while end < text.endIndex, kind(text[end]) == wanted { end += 1 }
    // The last of several spaces belongs to the word behind it.
    if wanted == .space, end < text.endIndex, end - start > 1 { end -= 1 }
    return end
  }
}
