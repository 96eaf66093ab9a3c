import LTMSupport

/// The tokens of a text.
package struct TextTokens: Sendable, Hashable {
  /// Their numbers.
  package var ids: [Int32]
  /// Which part of the input each belongs to, for models that are given several.
  package var kinds: [Int32]
  /// Whether each is of the text, and not there to fill up.
  package var mask: [Bool]
}

/// What a `tokenizer.json` of the Hugging Face kind says: texts as tokens, and back.
package struct TextTokenizer: Sendable {
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer?
  private let model: TokenModel
  private let postProcessor: PostProcessor
  private let decoder: Decoder?
  private let added: AddedTokens
  /// How many tokens are kept, if the file says it.
  package let truncation: Truncation?
  /// How texts are filled up, if the file says it.
  package let padding: Padding?
  private let words = WordCache()

  /// The largest file that is read.
  package static let sizeLimit = 1 << 30

  /// Reads the bytes of a file, which messages call `path`.
  package init(_ bytes: [UInt8], path: String) throws(Diagnostic) {
    let json: JSON
    do {
      json = try JSON(parsing: bytes)
    } catch {
      throw Diagnostic("\(path): is no tokenizer.json: \(error.message), at byte \(error.offset)")
    }
    let root = Settings(value: json, path: "", file: path)
    guard json.members != nil, root["model"] != nil else {
      throw root.error("has no 'model'", remedy: "a tokenizer.json holds an object with one")
    }
    normalizer = try root["normalizer"].map(Normalizer.init)
    preTokenizer = try root["pre_tokenizer"].map(PreTokenizer.init)
    model = try TokenModel(root.required("model"))
    postProcessor = try PostProcessor(root["post_processor"])
    decoder = try root["decoder"].map(Decoder.init)
    added = try AddedTokens(root["added_tokens"], model.vocabulary, normalizer)
    truncation = try Truncation(root["truncation"], added: postProcessor.addedCount)
    padding = try Padding(root["padding"])
    guard vocabularySize > 0 else { throw root.error("has no tokens") }
  }

  /// One more than the largest number of a token: the rows that an embedding needs.
  package var vocabularySize: Int {
    max(model.vocabulary.largest, added.largest, postProcessor.largest, padding.map { Int($0.token) } ?? -1) + 1
  }

  /// The number of a token.
  package func id(_ token: String) -> Int32? { added.id(token) ?? model.vocabulary.id(token) }

  /// A token's own text.
  package func token(_ id: Int32) -> String? { added.byID[id]?.content ?? model.vocabulary.text(id) }

  // MARK: texts as tokens

  /// The tokens of a text, as many as the file keeps, or `most`; not filled up.
  package func encode(
    _ text: String, addingSpecialTokens: Bool = true, most: Int? = nil
  ) throws(Diagnostic) -> TextTokens {
    var ids = try tokens(of: text)
    let length = [most, truncation?.length].compactMap { $0 }.min()
    if let length {
      let kept = max(0, length - (addingSpecialTokens ? postProcessor.addedCount : 0))
      if ids.count > kept { ids = Array(truncation?.keepsEnd ?? false ? ids.suffix(kept) : ids.prefix(kept)) }
    }
    var (all, kinds) = postProcessor.processed(ids, addingSpecialTokens: addingSpecialTokens)
    // A row may be shorter than what is put around a text.
    if let most, all.count > most { (all, kinds) = (Array(all.prefix(most)), Array(kinds.prefix(most))) }
    return TextTokens(
      ids: all, kinds: kinds.map { Int32(clamping: $0) }, mask: [Bool](repeating: true, count: all.count))
  }

  /// All tokens of a text, and none around it.
  package func encodeWhole(_ text: String) throws(Diagnostic) -> [Int32] { try tokens(of: text) }

  /// All tokens of a text that goes on, and before them what stands before every text.
  package func encodePrompt(_ text: String) throws(Diagnostic) -> [Int32] {
    postProcessor.leading + (try tokens(of: text))
  }

  /// The tokens that end a text, by the names that models give them.
  package var endTokens: [Int32] {
    Self.endNames.compactMap { name in added.id(name).flatMap { added.byID[$0]?.isSpecial ?? false ? $0 : nil } }
  }

  /// What the token at the end of a text is called.
  package static let endNames = [
    "</s>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|im_end|>", "<|end|>", "<eos>", "<end_of_turn>",
    "[EOS]",
  ]

  /// Fills a text up to a length.
  package func padded(_ text: TextTokens, to length: Int) -> TextTokens {
    let missing = length - text.ids.count
    guard missing > 0 else { return text }
    let ids = [Int32](repeating: padding?.token ?? 0, count: missing)
    let kinds = [Int32](repeating: Int32(clamping: padding?.kind ?? 0), count: missing)
    let mask = [Bool](repeating: false, count: missing)
    return padding?.isLeft ?? false
      ? TextTokens(ids: ids + text.ids, kinds: kinds + text.kinds, mask: mask + text.mask)
      : TextTokens(ids: text.ids + ids, kinds: text.kinds + kinds, mask: text.mask + mask)
  }

  /// The tokens of several texts, filled up as the file says.
  package func encode(_ texts: [String], addingSpecialTokens: Bool = true) throws(Diagnostic) -> [TextTokens] {
    var result: [TextTokens] = []
    for text in texts { result.append(try encode(text, addingSpecialTokens: addingSpecialTokens)) }
    guard let padding else { return result }
    let length = padding.length(longest: result.map(\.ids.count).max() ?? 0)
    return result.map { padded($0, to: length) }
  }

  private func tokens(of text: String) throws(Diagnostic) -> [Int32] {
    let scalars = Array(text.unicodeScalars)
    var ids: [Int32] = []
    for part in added.parts(of: scalars, isNormalized: false) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        let plain = Array(scalars[range])
        try appendTokens(of: try normalizer?.normalized(plain) ?? plain, beginsText: range.lowerBound == 0, to: &ids)
      }
    }
    return ids
  }

  private func appendTokens(of text: [Unicode.Scalar], beginsText: Bool, to ids: inout [Int32]) throws(Diagnostic) {
    for part in added.parts(of: text, isNormalized: true) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        let pieces = Pieces(Array(text[range]), beginsText: beginsText && range.lowerBound == 0)
        try appendTokens(of: try preTokenizer?.cut(pieces) ?? pieces, to: &ids)
      }
    }
  }

  private func appendTokens(of pieces: Pieces, to ids: inout [Int32]) throws(Diagnostic) {
    do {
      try words.with { words in try pieces.forEach { try words.append($0, model, to: &ids) } }
    } catch let error as Diagnostic {
      throw error
    } catch {
      throw .internalError(in: "tokenizer", "\(error)")
    }
  }

  // MARK: tokens as a text

  /// The text of tokens. Numbers that are no token are left out.
  package func decode(_ ids: some Sequence<Int32>, skippingSpecialTokens: Bool = true) throws(Diagnostic) -> String {
    var tokens: [String] = []
    for id in ids {
      if skippingSpecialTokens, added.byID[id]?.isSpecial ?? false { continue }
      if let token = added.texts[id] ?? model.vocabulary.text(id) { tokens.append(token) }
    }
    return try decoder.map { (decoder) throws(Diagnostic) in try decoder.decoded(tokens).joined() }
      ?? tokens.joined(separator: " ")
  }
}
