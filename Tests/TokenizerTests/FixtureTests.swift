import Foundation
import LTMSupport
import LTMTokenizers
import Testing

/// Tokens and texts as the `tokenizers` package has them, of a thousand texts.
@Suite struct FixtureTests {
  static let names = [
    "word_piece", "gpt2", "roberta", "llama3", "llama2", "clip", "pieces", "pieces_with_bytes", "words",
  ]

  private func texts() throws -> [String] {
    try #require(JSON(parsing: bytes(fixtures.appending(path: "texts.json"))).elements).compactMap(\.stringValue)
  }

  @Test(arguments: names) func agreesOnAThousandTexts(_ name: String) throws {
    let tokenizer = try fixture(name)
    let texts = try texts()
    #expect(texts.count == 1000)
    let hashes = try String(contentsOf: fixtures.appending(path: "\(name).hashes"), encoding: .utf8)
      .split(separator: "\n")
    for (index, tokens) in try tokenizer.encode(texts).enumerated() {
      let answer = JSON.array([
        list(tokens.ids), list(tokens.kinds), list(tokens.mask.map { $0 ? 1 : 0 }),
        list(try tokenizer.encode(texts[index], addingSpecialTokens: false).ids),
        .string(try tokenizer.decode(tokens.ids)),
        .string(try tokenizer.decode(tokens.ids, skippingSpecialTokens: false)),
      ])
      #expect(hash(answer.text()) == hashes[index], "text \(index) of \(name): \(texts[index].debugDescription)")
    }
  }

  private func list(_ numbers: [Int32]) -> JSON { .array(numbers.map { .int(Int($0)) }) }

  /// FNV-1a, as scripts/tokenizers/fixtures.py has it.
  private func hash(_ text: String) -> String {
    let value = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The same from several threads, which share a cache of words.
  @Test func isTheSameFromSeveralThreads() async throws {
    let tokenizer = try fixture("gpt2")
    let texts = try texts()
    let expected = try tokenizer.encode(texts)
    try await withThrowingTaskGroup(of: [TextTokens].self) { group in
      for _ in 0..<4 { group.addTask { try tokenizer.encode(texts) } }
      for try await tokens in group { #expect(tokens == expected) }
    }
  }

  /// MiniLM's own file, where `LTM_MINILM` names the folder that it lies in; its tokens are recorded from the package.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["LTM_MINILM"] != nil)) func readsMiniLM() throws {
    let folder = try #require(ProcessInfo.processInfo.environment["LTM_MINILM"])
    let file = URL(filePath: folder).appending(path: "tokenizer.json")
    let tokenizer = try TextTokenizer(bytes(file), path: file.path)
    #expect(tokenizer.vocabularySize == 30522)
    #expect(try tokenizer.encode("It's so sunny outside!").ids == [101, 2009, 1005, 1055, 2061, 11559, 2648, 999, 102])
    #expect(try tokenizer.encode(["cat"])[0].ids.count == 128)
    let text = "a compiled tensor language."
    #expect(try tokenizer.decode(tokenizer.encode(text).ids) == text)
  }
}
