/// A text that comes token by token: gives what can be read of it so far. A character whose bytes are spread over several tokens waits
/// for the last of them, and what may be the beginning of a text to stop at waits for the rest.
public struct TextStream: Sendable {
  private let tokenizer: Tokenizer
  private let stops: [String]
  /// Tokens whose text is not yet given as a whole, after some that give them their surroundings.
  private var tokens: [Int] = []
  /// How many of them are surroundings.
  private var before = 0
  /// What may be the beginning of a text to stop at.
  private var held = ""
  /// Whether one of the texts to stop at was met.
  public private(set) var isStopped = false

  /// - Parameters:
  ///   - prompt: the tokens that the text goes on from.
  ///   - stops: texts that end it, and are not given.
  public init(_ tokenizer: Tokenizer, after prompt: [Int] = [], stops: [String] = []) {
    (self.tokenizer, self.stops) = (tokenizer, stops.filter { !$0.isEmpty })
    tokens = Array(prompt.suffix(Self.surroundings))
    before = tokens.count
  }

  /// Tokens that decide how the next one is written: whether a space stands before it.
  private static let surroundings = 6

  /// The text that is complete with another token.
  public mutating func add(_ token: Int) throws(LTMError) -> String {
    if isStopped { return "" }
    tokens.append(token)
    let (known, text) = (try tokenizer.decode(Array(tokens.prefix(before))), try tokenizer.decode(tokens))
    // Bytes of a character are four at most, and each may be a token.
    if text.unicodeScalars.last == "\u{FFFD}", tokens.count - before < 4 { return "" }
    let new = Self.rest(of: text, behind: known)
    (tokens, before) = (Array(tokens.suffix(Self.surroundings)), min(tokens.count, Self.surroundings))
    return release(new)
  }

  /// What was held back.
  public mutating func finish() throws(LTMError) -> String {
    defer { held = "" }
    if isStopped { return "" }
    let known = try tokenizer.decode(Array(tokens.prefix(before)))
    let new = tokens.count > before ? Self.rest(of: try tokenizer.decode(tokens), behind: known) : ""
    (before, held) = (tokens.count, held + new)
    return held
  }

  private static func rest(of text: String, behind known: String) -> String {
    let (text, known) = (text.unicodeScalars, known.unicodeScalars)
    return text.starts(with: known) ? String(text.dropFirst(known.count)) : String(text)
  }

  /// Gives what cannot be the beginning of a stop any more.
  private mutating func release(_ new: String) -> String {
    let all = Array((held + new).utf8)
    let found = stops.compactMap { Self.place(of: Array($0.utf8), in: all) }.min()
    if let found {
      (isStopped, held) = (true, "")
      return String(decoding: all[..<found], as: UTF8.self)
    }
    let kept = stops.map { Self.overlap(of: Array($0.utf8), with: all) }.max() ?? 0
    held = String(decoding: all.suffix(kept), as: UTF8.self)
    return String(decoding: all.dropLast(kept), as: UTF8.self)
  }

  private static func place(of stop: [UInt8], in text: [UInt8]) -> Int? {
    guard stop.count <= text.count else { return nil }
    return (0...text.count - stop.count).first { text[$0..<$0 + stop.count].elementsEqual(stop) }
  }

  /// How many of a text's last bytes are a stop's first ones.
  private static func overlap(of stop: [UInt8], with text: [UInt8]) -> Int {
    (0..<min(stop.count, text.count + 1)).last { text.suffix($0).elementsEqual(stop.prefix($0)) } ?? 0
  }
}
