import LTMSupport

/// What is put around the tokens of a text.
struct PostProcessor: Sendable {
  /// A token that is put there, or the text's own.
  private enum Part {
    case token(Int32, kind: Int)
    case text(kind: Int)
  }

  private let parts: [Part]

  private static let names = ["TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"]

  init(_ settings: Settings?) throws(Diagnostic) { parts = try settings.map(Self.parts) ?? [.text(kind: 0)] }

  /// How many tokens are put around a text.
  var addedCount: Int {
    parts.count { if case .token = $0 { true } else { false } }
  }

  /// The tokens that are put before a text.
  var leading: [Int32] {
    let before = parts.prefix { if case .token = $0 { true } else { false } }
    return before.compactMap { if case .token(let id, _) = $0 { id } else { nil } }
  }

  /// The largest number of a token that is put there.
  var largest: Int {
    parts.map { if case .token(let id, _) = $0 { Int(id) } else { -1 } }.max() ?? -1
  }

  private static func parts(_ settings: Settings) throws(Diagnostic) -> [Part] {
    let type = try settings.type()
    switch type {
    case "TemplateProcessing": return try template(settings)
    case "BertProcessing", "RobertaProcessing":
      return [
        .token(try pairID(settings, "cls"), kind: 0), .text(kind: 0), .token(try pairID(settings, "sep"), kind: 0),
      ]
    // It changes where tokens are in the text alone.
    case "ByteLevel": return [.text(kind: 0)]
    case "Sequence":
      var result: [Part] = [.text(kind: 0)]
      for step in try settings.required("processors").elements() {
        let outer = try parts(step)
        result = outer.flatMap { if case .text = $0 { result } else { [$0] } }
      }
      return result
    case _: throw settings.unknown("post-processor", type, known: names)
    }
  }

  /// `["[SEP]", 102]` under a name.
  private static func pairID(_ settings: Settings, _ key: String) throws(Diagnostic) -> Int32 {
    let pair = try settings.required(key)
    let elements = try pair.elements()
    guard elements.count == 2 else { throw pair.error("is no token with its number") }
    return Int32(try elements[1].tokenID())
  }

  private static func template(_ settings: Settings) throws(Diagnostic) -> [Part] {
    var result: [Part] = []
    for entry in try settings.required("single").elements() {
      if let sequence = entry["Sequence"] {
        result.append(.text(kind: try sequence.integer("type_id", 0...Int(Int32.max), or: 0)))
      } else {
        let special = try entry.required("SpecialToken")
        let name = try special.required("id").string()
        let kind = try special.integer("type_id", 0...Int(Int32.max), or: 0)
        guard let token = try settings.required("special_tokens")[name] else {
          throw special.error("is '\(name.prefix(40))', which is not under 'special_tokens'")
        }
        for id in try token.required("ids").elements() { result.append(.token(Int32(try id.tokenID()), kind: kind)) }
      }
    }
    guard result.contains(where: { if case .text = $0 { true } else { false } }) else {
      throw settings.error("has no place for the text under 'single'")
    }
    return result
  }

  /// The tokens with what stands around them, and the kind of each.
  func processed(_ tokens: [Int32], addingSpecialTokens: Bool) -> (tokens: [Int32], kinds: [Int]) {
    var result: (tokens: [Int32], kinds: [Int]) = ([], [])
    for part in parts {
      switch part {
      case .text(let kind):
        result.tokens += tokens
        result.kinds += [Int](repeating: kind, count: tokens.count)
      case .token(let id, let kind):
        guard addingSpecialTokens else { continue }
        result.tokens.append(id)
        result.kinds.append(kind)
      }
    }
    return result
  }
}

/// How many tokens of a text are kept.
package struct Truncation: Sendable {
  /// At most so many, those that are put around a text included.
  package let length: Int
  /// Whether those at the end are kept.
  let keepsEnd: Bool

  init?(_ settings: Settings?, added: Int) throws(Diagnostic) {
    guard let settings else { return nil }
    length = try settings.required("max_length").integer(0...Int(Int32.max))
    keepsEnd = try settings["direction"]?.string() == "Left"
    guard length >= added else {
      throw settings.error("keeps \(length) tokens, and \(added) are put around every text")
    }
  }
}

/// How texts are made equally long.
package struct Padding: Sendable {
  /// The token that fills up.
  package let token: Int32
  /// Its kind.
  package let kind: Int
  /// Whether it stands before the text.
  package let isLeft: Bool
  /// The length of every text; `nil` for that of the longest.
  let length: Int?
  let multiple: Int

  init?(_ settings: Settings?) throws(Diagnostic) {
    guard let settings else { return nil }
    token = Int32(try settings.required("pad_id").tokenID())
    kind = try settings.integer("pad_type_id", 0...Int(Int32.max), or: 0)
    isLeft = try settings["direction"]?.string() == "Left"
    multiple = try settings.integer("pad_to_multiple_of", 0...Int(Int32.max), or: 0)
    length = try settings["strategy"]?["Fixed"]?.integer(0...Self.longest)
  }

  /// The longest text that is filled up.
  private static let longest = 1 << 24

  /// The length that texts are given, whose longest has so many tokens.
  func length(longest: Int) -> Int {
    let length = max(longest, self.length ?? 0)
    return multiple > 0 ? (length + multiple - 1) / multiple * multiple : length
  }
}
