import LTMSupport

/// How tokens become a text again.
indirect enum Decoder: Sendable {
  case wordPiece(prefix: String, cleans: Bool)
  case byteLevel
  case metaspace(Metaspace)
  case bpe(suffix: String)
  case byteFallback
  case fuse
  case strip(Unicode.Scalar, start: Int, stop: Int)
  case replace(Pattern, String)
  case ctc(pad: String, delimiter: String, cleans: Bool)
  case sequence([Decoder])

  private static let names = [
    "WordPiece", "ByteLevel", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse", "Strip", "Replace", "CTC", "Sequence",
  ]

  init(_ settings: Settings) throws(Diagnostic) {
    let type = try settings.type()
    switch type {
    case "WordPiece":
      self = .wordPiece(
        prefix: try settings["prefix"]?.string() ?? "##", cleans: try settings.bool("cleanup", or: true))
    case "ByteLevel": self = .byteLevel
    case "Metaspace": self = .metaspace(try Metaspace(settings))
    case "BPEDecoder": self = .bpe(suffix: try settings["suffix"]?.string() ?? "</w>")
    case "ByteFallback": self = .byteFallback
    case "Fuse": self = .fuse
    case "Strip":
      self = .strip(
        try settings["content"]?.scalar() ?? " ", start: try settings.integer("start", 0...(.max), or: 0),
        stop: try settings.integer("stop", 0...(.max), or: 0))
    case "Replace":
      self = .replace(try Pattern(settings.required("pattern")), try settings.required("content").string())
    case "CTC":
      self = .ctc(
        pad: try settings["pad_token"]?.string() ?? "<pad>",
        delimiter: try settings["word_delimiter_token"]?.string() ?? "|", cleans: try settings.bool("cleanup", or: true)
      )
    case "Sequence":
      var parts: [Decoder] = []
      for part in try settings.required("decoders").elements() { parts.append(try Decoder(part)) }
      self = .sequence(parts)
    case _: throw settings.unknown("decoder", type, known: Self.names)
    }
  }

  /// What the tokens are written as, one behind the other.
  func decoded(_ tokens: [String]) throws(Diagnostic) -> [String] {
    switch self {
    case .wordPiece(let prefix, let cleans):
      return tokens.enumerated().map { index, token in
        var text = token
        if index > 0 { text = token.hasScalarPrefix(prefix) ? token.droppingScalars(prefix) : " " + token }
        return cleans ? text.cleanedUp : text
      }
    case .byteLevel: return [String(decoding: tokens.flatMap(ByteAlphabet.bytes), as: UTF8.self)]
    case .metaspace(let metaspace):
      return tokens.enumerated().map { index, token in
        token.mappingScalars {
          guard $0 == metaspace.replacement else { return $0 }
          return index == 0 && metaspace.prepending != .never ? nil : " "
        }
      }
    case .bpe(let suffix):
      return tokens.enumerated().map { index, token in
        suffix.isEmpty ? token : token.replacingScalars(suffix, with: index == tokens.count - 1 ? "" : " ")
      }
    case .byteFallback: return Self.joiningBytes(tokens)
    case .fuse: return [tokens.joined()]
    case .strip(let scalar, let start, let stop):
      return tokens.map { token in
        var rest = Array(token.unicodeScalars)[...]
        for _ in 0..<min(start, rest.count) where rest.first == scalar { rest.removeFirst() }
        for _ in 0..<min(stop, rest.count) where rest.last == scalar { rest.removeLast() }
        return String(String.UnicodeScalarView(rest))
      }
    case .replace(let pattern, let content):
      var result: [String] = []
      for token in tokens {
        let text = Array(token.unicodeScalars)
        result.append(
          text[...].segments(try pattern.matches(in: text[...])).map {
            $0.isMatch ? content : String(String.UnicodeScalarView(text[$0.range]))
          }.joined())
      }
      return result
    case .ctc(let pad, let delimiter, let cleans):
      return Self.withoutRepetitions(tokens).map {
        let text = $0.replacingScalars(pad, with: "")
        return cleans ? text.cleanedUp.replacingScalars(delimiter, with: " ") : text
      }.filter { !$0.isEmpty }
    case .sequence(let parts):
      var result = tokens
      for part in parts { result = try part.decoded(result) }
      return result
    }
  }

  private static func withoutRepetitions(_ tokens: [String]) -> [String] {
    tokens.enumerated().filter { $0 == 0 || tokens[$0 - 1] != $1 }.map(\.element)
  }

  /// Puts bytes together that are tokens; where they are no text, each is a replacement character.
  private static func joiningBytes(_ tokens: [String]) -> [String] {
    var result: [String] = []
    var bytes: [UInt8] = []
    func flush() {
      if let text = String(validating: bytes, as: UTF8.self) {
        if !text.isEmpty { result.append(text) }
      } else {
        result += bytes.map { _ in "\u{FFFD}" }
      }
      bytes = []
    }
    for token in tokens {
      if token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">"),
        let byte = UInt8(token.dropFirst(3).dropLast(), radix: 16)
      {
        bytes.append(byte)
      } else {
        flush()
        result.append(token)
      }
    }
    flush()
    return result
  }
}

extension String {
  fileprivate func hasScalarPrefix(_ prefix: String) -> Bool { unicodeScalars.starts(with: prefix.unicodeScalars) }

  fileprivate func droppingScalars(_ prefix: String) -> String {
    String(unicodeScalars.dropFirst(prefix.unicodeScalars.count))
  }

  fileprivate func mappingScalars(_ map: (Unicode.Scalar) -> Unicode.Scalar?) -> String {
    String(String.UnicodeScalarView(unicodeScalars.compactMap(map)))
  }

  /// The text with each place of another replaced.
  fileprivate func replacingScalars(_ other: String, with content: String) -> String {
    let text = Array(unicodeScalars)
    let places = Pattern(literal: other).places(in: text[...])
    if places.isEmpty { return self }
    return text[...].segments(places).map { $0.isMatch ? content : String(String.UnicodeScalarView(text[$0.range])) }
      .joined()
  }

  /// Without the spaces that English does not have before its signs.
  fileprivate var cleanedUp: String {
    guard unicodeScalars.contains(" ") else { return self }
    let rules = [
      (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
      (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ]
    return rules.reduce(self) { $0.replacingScalars($1.0, with: $1.1) }
  }
}
