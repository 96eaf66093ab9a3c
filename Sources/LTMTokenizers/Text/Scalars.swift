/// Kinds of scalars as tokenizers tell them apart. Where the package's tables are of an older Unicode, a scalar that is younger is of no kind.
extension Unicode.Scalar {
  /// Letters of all scripts.
  var isLetter: Bool {
    if value < 0x80 { return (value | 0x20) &- 0x61 < 26 }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return isKnown
    case _: return false
    }
  }

  /// Digits, and what else stands for a number.
  var isNumber: Bool {
    if value < 0x80 { return value &- 0x30 < 10 }
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: return true
    case _: return false
    }
  }

  var isSpace: Bool {
    if value < 0x80 { return value == 0x20 || value &- 9 < 5 }
    return properties.isWhitespace
  }

  var isMark: Bool {
    guard value >= 0x300 else { return false }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: return true
    case _: return false
    }
  }

  /// A mark as `StripAccents` knows them, by the categories of Unicode 9.
  var isAccent: Bool {
    switch value {
    case 0x1CF2, 0x1CF3: true
    case 0x111C9: false
    case _: isMark && isNoYounger(than: 9)
    }
  }

  /// A mark as BERT takes them away, by the categories of Unicode 8.
  var isAccentOfBERT: Bool {
    switch value {
    case ..<0x300, 0x1885, 0x1886, 0xA9BD, 0x111C9: false
    case 0x1734, 0x1171E: true
    case _: properties.generalCategory == .nonspacingMark && isNoYounger(than: 8)
    }
  }

  /// What a word consists of, as regular expressions say it.
  var isWordPart: Bool {
    if value < 0x80 { return isLetter || isNumber || value == 0x5F }
    if properties.isAlphabetic || isMark || properties.isJoinControl { return isKnown }
    let category = properties.generalCategory
    return (category == .decimalNumber || category == .connectorPunctuation) && isKnown
  }

  /// What a word consists of in Oniguruma's patterns: Latin-1's small numbers too.
  var isWordInPatterns: Bool {
    switch value {
    case 0xB2, 0xB3, 0xB9, 0xBC...0xBE: true
    case 0x200C, 0x200D: false
    case _: isWordPart
    }
  }

  /// Whether the scalar is in Unicode 16, whose tables the package's patterns have. Most can be told by their place.
  var isKnown: Bool { value < 0x880 || (0x2000..<0xA7CE).contains(value) || isNoYounger(than: 16) }

  var isASCIIPunctuation: Bool { value > 0x20 && value < 0x7F && !isLetter && !isNumber }

  var isPunctuationCategory: Bool {
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return true
    case _: return false
    }
  }

  /// Punctuation, ASCII's symbols included.
  var isPunctuation: Bool {
    if value < 0x80 { return isASCIIPunctuation }
    // Two signs that were punctuation once.
    if value == 0x166D || value == 0x111C9 { return true }
    return isPunctuationCategory && isNoYounger(than: 8)
  }

  /// What BERT takes away: control characters, but for tab and line ends, and characters of format and private use.
  var isRemovedByBERT: Bool {
    if value < 0x20 { return value != 9 && value != 0xA && value != 0xD }
    if value < 0x7F { return false }
    if value == 0xFFFD { return true }
    switch properties.generalCategory {
    case .control, .format, .privateUse: return isNoYounger(than: 8) || properties.generalCategory == .privateUse
    case _: return false
    }
  }

  /// A character of Chinese as BERT counts them.
  var isChinese: Bool {
    switch value {
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
      0x2F800...0x2FA1F:
      true
    case _: false
    }
  }

  /// Whether the scalar is in that version of Unicode.
  func isNoYounger(than version: Int) -> Bool { properties.age.map { $0.major <= version } ?? false }
}
