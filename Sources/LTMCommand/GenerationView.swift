import LTM

/// What `ltm generate` prints: one text as its tokens come, or several one after the other.
struct GenerationView {
  /// What tokens are.
  enum Form {
    case bytes
    case numbers
    /// Texts, by a tokenizer; each is given up to where it has one of the stops.
    case text(Tokenizer, stops: [String])
  }

  private let prompts: [[Int]]
  private let form: Form
  private let isJSON: Bool
  private var tokens: [[Int]]
  /// What is written so far of each text, its prompt aside.
  private var written: [String]
  /// Of each text, what is not complete yet.
  private var streams: [TextStream] = []
  private var bytes: [[UInt8]]

  init(prompts: [[Int]], form: Form, isJSON: Bool) {
    (self.prompts, self.form, self.isJSON) = (prompts, form, isJSON)
    tokens = prompts.map { _ in [] }
    written = prompts.map { _ in "" }
    bytes = prompts.map { _ in [] }
    if case .text(let tokenizer, let stops) = form {
      streams = prompts.map { TextStream(tokenizer, after: $0, stops: stops) }
    }
  }

  private var isLive: Bool { !isJSON && prompts.count == 1 }

  /// Takes a token; whether the text ends with what stands before it.
  mutating func add(_ token: GeneratedToken) throws -> Bool {
    let row = token.row
    if isLive, tokens[row].isEmpty { try printText(promptText(row)) }
    tokens[row].append(token.token)
    let new = try text(of: token)
    written[row] += new
    if isLive { try printText(new) }
    return !streams.isEmpty && streams[row].isStopped
  }

  private mutating func text(of token: GeneratedToken) throws -> String {
    let row = token.row
    switch form {
    case .numbers: return "\(tokens[row].count > 1 ? " " : "")\(token.token)"
    case .text: return try streams[row].add(token.token)
    case .bytes:
      bytes[row].append(UInt8(clamping: token.token))
      guard String(validating: bytes[row], as: UTF8.self) != nil || bytes[row].count == 4 else { return "" }
      defer { bytes[row] = [] }
      return String(decoding: bytes[row], as: UTF8.self)
    }
  }

  private func promptText(_ row: Int) throws -> String {
    switch form {
    case .numbers: ""
    case .bytes: String(decoding: prompts[row].map { UInt8(clamping: $0) }, as: UTF8.self)
    case .text(let tokenizer, _): try tokenizer.decode(prompts[row])
    }
  }

  mutating func finish(_ ends: [GenerationEnd?]) throws {
    for row in prompts.indices {
      let rest = try streams.isEmpty ? String(decoding: bytes[row], as: UTF8.self) : streams[row].finish()
      written[row] += rest
      if isLive { return try printLine(rest) }
    }
    if isJSON {
      let texts: [String]? = if case .numbers = form { nil } else { written }
      return try printLine(generatedJSON(prompts: prompts, texts: tokens, ends: ends, written: texts))
    }
    for row in prompts.indices {
      try printLine(promptText(row) + written[row])
      if row < prompts.count - 1 { try printLine("---") }
    }
  }
}
