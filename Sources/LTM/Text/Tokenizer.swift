import LTMIR
import LTMRuntime
import LTMSupport
import LTMTokenizers

/// A `tokenizer.json` of the Hugging Face kind: texts as tokens, and tokens as texts.
///
/// ```swift
/// let tokenizer = try Tokenizer(contentsOf: "tokenizer.json")
/// let tokens = try tokenizer.encode("It is sunny.")
/// let text = try tokenizer.decode(tokens)
/// ```
public struct Tokenizer: Sendable {
  let reading: TextReading

  /// Reads a file. What it asks for and ltm does not have is an error that names it.
  public init(contentsOf path: String) throws(LTMError) { reading = try reporting { try TextReading(path: path) } }

  private var tokenizer: TextTokenizer { reading.tokenizer }

  /// One more than the largest number of a token: the rows that a model's embedding needs.
  public var vocabularySize: Int { tokenizer.vocabularySize }

  /// How many tokens of a text are kept, those around it included, where the file says it.
  public var longest: Int? { tokenizer.truncation?.length }

  /// The tokens that end a text, by the names that models give them: `</s>`, `<|endoftext|>` and the like.
  public var endTokens: [Int] { tokenizer.endTokens.map(Int.init) }

  /// The number of a token; `nil` where there is none.
  public func token(_ text: String) -> Int? { tokenizer.id(text).map(Int.init) }

  /// A token's own text, as the file has it; `nil` where there is none of that number.
  public func text(of token: Int) -> String? { Int32(exactly: token).flatMap { tokenizer.token($0) } }

  /// The tokens of a text, with what the file puts around it, as many as it keeps.
  public func encode(_ text: String, addingSpecialTokens: Bool = true) throws(LTMError) -> [Int] {
    try reporting { try tokenizer.encode(text, addingSpecialTokens: addingSpecialTokens).ids.map(Int.init) }
  }

  /// The tokens of a text that is to be gone on with: with what stands before every text, and nothing behind it.
  public func encodePrompt(_ text: String) throws(LTMError) -> [Int] {
    try reporting { try tokenizer.encodePrompt(text).map(Int.init) }
  }

  /// Several texts as arrays for a model: tokens `i32[B, T]`, and `bool[B, T]` where they are.
  ///
  /// - Parameter length: tokens of each row; those of the longest text, when left out.
  public func encode(
    batch texts: [String], length: Int? = nil
  ) throws(LTMError) -> (tokens: Tensor, mask: Tensor) {
    guard !texts.isEmpty, length ?? 1 > 0 else { throw LTMError("there are no texts, or no tokens for them") }
    let rows = try reporting { try TokenRows(texts, reading, length: length, path: "the texts given") }
    guard let tokens = rows.tensor(dtype: .i32), let mask = rows.tensor(dtype: .bool) else {
      throw LTMError("the texts make more tokens than one tensor holds")
    }
    return (tokens, mask)
  }

  /// The text of tokens. Numbers that are no token are left out.
  public func decode(_ tokens: [Int], skippingSpecialTokens: Bool = true) throws(LTMError) -> String {
    try reporting {
      try tokenizer.decode(tokens.compactMap { Int32(exactly: $0) }, skippingSpecialTokens: skippingSpecialTokens)
    }
  }

  /// Throws where a model that writes texts has fewer tokens than this has.
  public func check(_ session: GenerationSession) throws(LTMError) {
    guard vocabularySize <= session.vocabulary else {
      throw LTMError(
        "\(reading.path): has \(vocabularySize) tokens, and the model has scores for \(session.vocabulary)",
        notes: ["a model argument, as --set vocab=\(vocabularySize), may make them agree"])
    }
  }
}

extension TextReading {
  /// Throws where a table that tokens point into has fewer rows than there are tokens.
  func check(_ limits: [IndexLimit]) throws(Diagnostic) {
    guard let limit = limits.first(where: { $0.count < tokenizer.vocabularySize }) else { return }
    var problem = Diagnostic(
      .error,
      "\(path): has \(tokenizer.vocabularySize) tokens, and '\(limit.input)' is read by '\(limit.op.name)', which has "
        + "\(limit.count) \(limit.op.indexedThings)",
      notes: ["a model argument, as --set vocab=\(tokenizer.vocabularySize), may make them agree"])
    problem.location = limit.location
    throw problem
  }
}

extension CompiledEntry {
  /// The texts of a file, a row for each line, as a parameter takes them: tokens for integers, else where there are tokens.
  package func rows(
    ofTextIn path: String, for parameter: String, by tokenizer: Tokenizer
  ) throws(LTMError) -> Tensor {
    let input = try textParameter(parameter)
    try reporting { try tokenizer.reading.check(input.limits) }
    let rows = try reporting {
      try TokenRows(TextReading.lines(of: path), tokenizer.reading, length: input.length, path: path)
    }
    guard let tensor = rows.tensor(dtype: input.dtype) else { throw LTMError("\(path): has too many rows") }
    return tensor
  }
}
