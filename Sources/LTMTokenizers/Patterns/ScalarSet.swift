/// The scalars that a part of a pattern takes.
struct ScalarSet: Sendable {
  /// Kinds by the names that patterns give them.
  enum Kind: Sendable {
    case category(@Sendable (Unicode.GeneralCategory) -> Bool)
    case property(@Sendable (Unicode.Scalar) -> Bool)
  }

  private(set) var ranges: [ClosedRange<UInt32>] = []
  private(set) var kinds: [(kind: Kind, isNegated: Bool)] = []
  /// Of sets that stand in this one.
  private(set) var sets: [ScalarSet] = []
  var isNegated = false
  var ignoresCase = false
  /// The answers for ASCII.
  private var ascii: [Bool] = []

  mutating func add(_ range: ClosedRange<UInt32>) { ranges.append(range) }
  mutating func add(_ kind: Kind, isNegated: Bool) { kinds.append((kind, isNegated)) }
  mutating func add(_ set: ScalarSet) { sets.append(set) }

  /// The set with what it says of ASCII written down.
  func finished() -> ScalarSet {
    var result = self
    result.ascii = (0..<128).map { computes(Unicode.Scalar(UInt8($0))) }
    return result
  }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 128, !ascii.isEmpty { return ascii[Int(scalar.value)] }
    return computes(scalar)
  }

  private func computes(_ scalar: Unicode.Scalar) -> Bool {
    var found = holds(scalar)
    if !found, ignoresCase { found = scalar.otherCases.contains(where: holds) }
    return found != isNegated
  }

  private func holds(_ scalar: Unicode.Scalar) -> Bool {
    ranges.contains { $0.contains(scalar.value) }
      || kinds.contains { entry in
        switch entry.kind {
        case .category(let test): test(scalar.properties.generalCategory) != entry.isNegated
        case .property(let test): test(scalar) != entry.isNegated
        }
      } || sets.contains { $0.contains(scalar) }
  }
}

extension Unicode.Scalar {
  /// What differs from the scalar by its case alone.
  var otherCases: [Unicode.Scalar] {
    [properties.lowercaseMapping, properties.uppercaseMapping].compactMap { text in
      let scalars = text.unicodeScalars
      return scalars.count == 1 && scalars.first != self ? scalars.first : nil
    }
  }
}

extension ScalarSet.Kind {
  static let space = Self.property { $0.isSpace }
  static let digit = Self.category { $0 == .decimalNumber }
  static let word = Self.property { $0.isWordInPatterns }

  /// The kind that `\p{name}` means; `nil` for one that is not here.
  static func named(_ name: String) -> Self? {
    let plain = name.lowercased().filter { $0 != "_" && $0 != " " && $0 != "-" }
    if let kind = properties[plain] { return .property(kind) }
    let short = categoryNames[plain] ?? plain
    guard !short.isEmpty, short.count <= 2, categories.values.contains(where: { $0.hasPrefix(short) }) else {
      return nil
    }
    return .category { categories[$0]?.hasPrefix(short) ?? false }
  }

  private static let properties: [String: @Sendable (Unicode.Scalar) -> Bool] = [
    "alphabetic": { $0.properties.isAlphabetic }, "alpha": { $0.properties.isAlphabetic },
    "whitespace": { $0.isSpace }, "space": { $0.isSpace }, "uppercase": { $0.properties.isUppercase },
    "lowercase": { $0.properties.isLowercase }, "any": { _ in true },
    "alnum": { $0.properties.isAlphabetic || $0.isNumber },
    "digit": { $0.properties.generalCategory == .decimalNumber }, "word": { $0.isWordInPatterns },
  ]

  private static let categoryNames = [
    "letter": "l", "mark": "m", "number": "n", "punctuation": "p", "punct": "p", "symbol": "s", "separator": "z",
    "other": "c", "uppercaseletter": "lu", "lowercaseletter": "ll", "decimalnumber": "nd",
  ]

  private static let categories: [Unicode.GeneralCategory: String] = [
    .uppercaseLetter: "lu", .lowercaseLetter: "ll", .titlecaseLetter: "lt", .modifierLetter: "lm", .otherLetter: "lo",
    .nonspacingMark: "mn", .spacingMark: "mc", .enclosingMark: "me", .decimalNumber: "nd", .letterNumber: "nl",
    .otherNumber: "no", .connectorPunctuation: "pc", .dashPunctuation: "pd", .openPunctuation: "ps",
    .closePunctuation: "pe", .initialPunctuation: "pi", .finalPunctuation: "pf", .otherPunctuation: "po",
    .mathSymbol: "sm", .currencySymbol: "sc", .modifierSymbol: "sk", .otherSymbol: "so", .spaceSeparator: "zs",
    .lineSeparator: "zl", .paragraphSeparator: "zp", .control: "cc", .format: "cf", .surrogate: "cs",
    .privateUse: "co", .unassigned: "cn",
  ]
}
