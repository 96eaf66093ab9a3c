import Foundation
import Fuzzing
import LTMSupport
import LTMTokenizers
import TestSupport
import Testing

/// Files that cannot be read: each gets a message that names the place, and none a crash.
@Suite struct MessageTests {
  static let files: [(name: String, json: String)] = [
    ("empty", ""), ("truncated", String(bytesTokenizer().prefix(300))), ("a list", "[]"), ("no model", "{}"),
    ("deep", String(repeating: "[", count: 10_000)),
    ("deep steps", "{\"normalizer\":" + String(repeating: "{\"type\":\"Sequence\",\"normalizers\":[", count: 10_000)),
    ("unknown model", "{\"model\": {\"type\": \"Lattice\", \"vocab\": {}}}"),
    ("unknown normalizer", bytesTokenizer("\"normalizer\": {\"type\": \"Rot13\"}")),
    ("unknown pre-tokenizer", bytesTokenizer("\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}")),
    ("unknown post-processor", bytesTokenizer("\"post_processor\": {\"type\": \"X\"}")),
    ("unknown decoder", bytesTokenizer("\"decoder\": {\"type\": \"X\"}")),
    ("no type", bytesTokenizer("\"decoder\": {}")),
    ("a negative number", #"{"model": {"type": "WordPiece", "unk_token": "a", "vocab": {"a": -1}}}"#),
    ("a huge number", #"{"model": {"type": "WordPiece", "unk_token": "a", "vocab": {"a": 99999999999999999999}}}"#),
    ("a number twice", #"{"model": {"type": "WordPiece", "unk_token": "a", "vocab": {"a": 1, "b": 1}}}"#),
    ("a token twice", #"{"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 1]]}}"#),
    ("no tokens", #"{"model": {"type": "WordPiece", "vocab": {}}}"#),
    ("a merge of strangers", #"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}"#),
    ("a merge of three", #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a a"]}}"#),
    ("a merge of numbers", #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [[1, 2]]}}"#),
    ("dropout", #"{"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}}"#),
    (
      "an unknown token that is none", #"{"model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0}, "merges": []}}"#
    ),
    ("unk_id beyond the end", #"{"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0]]}}"#),
    ("a score that is none", #"{"model": {"type": "Unigram", "vocab": [["a", "b"]]}}"#),
    ("an added token of another number", bytesTokenizer(#""added_tokens": [{"id": 5, "content": "<0x41>"}]"#)),
    ("an added token in another's place", bytesTokenizer(#""added_tokens": [{"id": 5, "content": "x"}]"#)),
    ("a pattern that is open", bytesTokenizer(splitting("(a"))),
    ("a pattern that looks back", bytesTokenizer(splitting("(?<=a)b"))),
    ("a pattern with a script", bytesTokenizer(splitting(#"\\p{Han}"#))),
    ("a pattern that repeats nothing", bytesTokenizer(splitting("a|*"))),
    ("a pattern that is huge", bytesTokenizer(splitting("(?:(?:a{1000}){1000}){1000}"))),
    ("a pattern that is deep", bytesTokenizer(splitting(String(repeating: "(", count: 10_000)))),
    ("a charsmap that is none", bytesTokenizer(#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}"#)),
    (
      "a charsmap that is cut",
      bytesTokenizer(#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAEAAA"}"#)
    ),
    ("a template without a place", bytesTokenizer(#""post_processor": {"type": "TemplateProcessing", "single": []}"#)),
    (
      "truncation below what is added",
      bytesTokenizer(
        #""truncation": {"max_length": 1}, "post_processor": {"type": "BertProcessing", "sep": ["a", 1], "cls": ["b", 2]}"#
      )
    ),
    ("padding to a huge length", bytesTokenizer(#""padding": {"strategy": {"Fixed": 99999999999}, "pad_id": 0}"#)),
  ]

  private static func splitting(_ pattern: String) -> String {
    "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Removed\", \"pattern\": {\"Regex\": \"\(pattern)\"}}"
  }

  @Test func areMessages() throws {
    var lines: [String] = []
    for file in Self.files {
      do {
        _ = try tokenizer(file.json)
        Issue.record("\(file.name) is read")
      } catch let error as Diagnostic {
        lines.append("\(file.name)\n  \(error.message)\n" + error.notes.map { "  note: \($0)\n" }.joined())
      }
    }
    try expectGolden(lines.joined(separator: "\n"), folder.appending(path: "Goldens/messages.txt"))
  }

  /// Any byte of a file may be another.
  @Test func damagedFilesAreReadOrRefused() throws {
    for name in ["words", "pieces_with_bytes"] {
      let whole = try bytes(fixtures.appending(path: "\(name).json"))
      var generator = SeededGenerator(seed: 5)
      for round in 0..<fuzzRounds(60) {
        var damaged = whole
        let end = round % 3 == 0 ? whole.count : 600
        for _ in 0..<3 {
          damaged[Int.random(in: 0..<end, using: &generator)] = .random(in: 32...126, using: &generator)
        }
        guard let tokenizer = try? TextTokenizer(damaged, path: "t.json") else { continue }
        let tokens = try? tokenizer.encode("Some text, 123 ünïcode 你好")
        _ = try? tokenizer.decode(tokens?.ids ?? [])
      }
    }
  }

  @Test func aWordThatIsNoTokenIsAMessage() throws {
    let tokenizer = try tokenizer(#"{"model": {"type": "WordLevel", "vocab": {"a": 0}}}"#)
    #expect { try tokenizer.encode("b") } throws: { "\($0)".contains("unk_token") }
  }
}
