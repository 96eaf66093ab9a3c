import LTMSupport

/// What is done to a text before it is cut.
indirect enum Normalizer: Sendable {
  case bert(BERTNormalizer)
  case form(NormalForm)
  case lowercase
  case stripAccents
  case nmt
  case replace(Pattern, [Unicode.Scalar])
  case prepend([Unicode.Scalar])
  case strip(left: Bool, right: Bool)
  case precompiled(Charsmap)
  case byteLevel
  case sequence([Normalizer])

  private static let names =
    ["BertNormalizer"] + NormalForm.allCases.map(\.rawValue) + [
      "Lowercase", "StripAccents", "Nmt", "Replace", "Prepend", "Strip", "Precompiled", "ByteLevel", "Sequence",
    ]

  init(_ settings: Settings) throws(Diagnostic) {
    let type = try settings.type()
    if let form = NormalForm(rawValue: type) {
      self = .form(form)
      return
    }
    switch type {
    case "BertNormalizer": self = .bert(try BERTNormalizer(settings))
    case "Lowercase": self = .lowercase
    case "StripAccents": self = .stripAccents
    case "Nmt": self = .nmt
    case "Replace":
      self = .replace(
        try Pattern(settings.required("pattern")), try settings.required("content").scalars())
    case "Prepend": self = .prepend(try settings.required("prepend").scalars())
    case "Strip":
      self = .strip(left: try settings.bool("strip_left", or: true), right: try settings.bool("strip_right", or: true))
    case "Precompiled": self = .precompiled(try Charsmap(settings.required("precompiled_charsmap")))
    case "ByteLevel": self = .byteLevel
    case "Sequence":
      var parts: [Normalizer] = []
      for part in try settings.required("normalizers").elements() { parts.append(try Normalizer(part)) }
      self = .sequence(parts)
    case _: throw settings.unknown("normalizer", type, known: Self.names)
    }
  }

  /// The text as this step leaves it.
  func normalized(_ text: [Unicode.Scalar]) throws(Diagnostic) -> [Unicode.Scalar] {
    switch self {
    case .bert(let normalizer): return normalizer.normalized(text)
    case .form(let form): return form.normalized(text)
    case .lowercase: return text.lowercased()
    case .stripAccents: return text.filter { !$0.isAccent }
    case .nmt: return text.compactMap(\.normalizedForTranslation)
    case .replace(let pattern, let content):
      var result: [Unicode.Scalar] = []
      for segment in text[...].segments(try pattern.matches(in: text[...])) {
        if segment.isMatch { result += content } else { result += text[segment.range] }
      }
      return result
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .strip(let left, let right):
      var rest = text[...]
      if left { rest = rest.drop(while: \.isSpace) }
      if right { while rest.last?.isSpace ?? false { rest.removeLast() } }
      return Array(rest)
    case .precompiled(let map): return map.normalized(text)
    case .byteLevel:
      var result: [Unicode.Scalar] = []
      ByteAlphabet.append(text, to: &result)
      return result
    case .sequence(let parts):
      var result = text
      for part in parts { result = try part.normalized(result) }
      return result
    }
  }
}

/// BERT's: control characters away, Chinese characters apart, accents away, lower case.
struct BERTNormalizer: Sendable {
  private let cleans: Bool
  private let separatesChinese: Bool
  private let stripsAccents: Bool
  private let lowercases: Bool

  init(_ settings: Settings) throws(Diagnostic) {
    cleans = try settings.bool("clean_text", or: true)
    separatesChinese = try settings.bool("handle_chinese_chars", or: true)
    lowercases = try settings.bool("lowercase", or: true)
    stripsAccents = try settings.bool("strip_accents", or: lowercases)
  }

  func normalized(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count)
    for scalar in text {
      if cleans {
        if scalar.isRemovedByBERT { continue }
        if scalar.isSpace {
          result.append(" ")
          continue
        }
      }
      if separatesChinese, scalar.isChinese {
        result += [" ", scalar, " "]
      } else {
        result.append(scalar)
      }
    }
    if stripsAccents {
      result = NormalForm.nfd.normalized(result)
      result.removeAll(where: \.isAccentOfBERT)
    }
    return lowercases ? result.lowercased() : result
  }
}

extension [Unicode.Scalar] {
  /// Each scalar in lower case, whatever stands around it.
  func lowercased() -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(count)
    for scalar in self {
      if scalar.value < 0x80 {
        result.append(scalar.value &- 0x41 < 26 ? Unicode.Scalar(UInt8(scalar.value | 0x20)) : scalar)
      } else if scalar.properties.changesWhenLowercased {
        result += scalar.properties.lowercaseMapping.unicodeScalars
      } else {
        result.append(scalar)
      }
    }
    return result
  }
}

extension Unicode.Scalar {
  /// The scalar as SentencePiece's rules for translation leave it: spaces plain, control characters away.
  fileprivate var normalizedForTranslation: Unicode.Scalar? {
    switch value {
    case 0x1...0x8, 0xB, 0xE...0x1F, 0x7F, 0x8F, 0x9F: nil
    case 0x9, 0xA, 0xC, 0xD, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: " "
    case _: self
    }
  }
}
