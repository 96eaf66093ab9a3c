import LTMTokenizers
import Testing

/// What single steps do, seen through a tokenizer of bytes: each word ends in `|`.
@Suite struct StepTests {
  private func normalized(_ normalizer: String, _ text: String) throws -> String {
    try shown("\"normalizer\": \(normalizer)", text).replacing("|", with: "")
  }

  private func cut(_ preTokenizer: String, _ text: String) throws -> String {
    try shown("\"pre_tokenizer\": \(preTokenizer)", text)
  }

  @Test func putsTextsIntoNormalForms() throws {
    let text = "e\u{301}\u{323} \u{212B} \u{FB01} \u{1E9B}\u{323} 각 \u{1112}\u{1161}\u{11AB}"
    let forms = [
      "NFC": "\u{1EB9}\u{301} \u{C5} \u{FB01} \u{1E9B}\u{323} \u{AC01} \u{D55C}",
      "NFD":
        "e\u{323}\u{301} A\u{30A} \u{FB01} \u{17F}\u{323}\u{307} \u{1100}\u{1161}\u{11A8} \u{1112}\u{1161}\u{11AB}",
      "NFKC": "\u{1EB9}\u{301} \u{C5} fi \u{1E69} \u{AC01} \u{D55C}",
      "NFKD": "e\u{323}\u{301} A\u{30A} fi s\u{323}\u{307} \u{1100}\u{1161}\u{11A8} \u{1112}\u{1161}\u{11AB}",
    ]
    for (form, expected) in forms {
      #expect(try Array(normalized("{\"type\": \"\(form)\"}", text).utf8) == Array(expected.utf8), "\(form)")
    }
  }

  @Test func cutsByRegularExpressions() throws {
    func split(_ pattern: String, _ behavior: String = "Isolated", invert: Bool = false) throws -> String {
      try cut(
        "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\(pattern)\"}, \"behavior\": \"\(behavior)\", \"invert\": \(invert)}",
        "ab12 cdé, AB\n")
    }
    #expect(try split(#"\\d+"#) == "ab|12| cdé, AB\n|")
    #expect(try split(#"\\d+"#, "Removed") == "ab| cdé, AB\n|")
    #expect(try split(#"\\d"#, "MergedWithPrevious") == "ab1|2| cdé, AB\n|")
    #expect(try split(#"\\d"#, "MergedWithNext") == "ab|1|2 cdé, AB\n|")
    #expect(try split(#"\\d"#, "Contiguous") == "ab|12| cdé, AB\n|")
    #expect(try split(#"\\p{L}+"#, "Removed", invert: true) == "ab|cdé|AB|")
    #expect(try split(#"(?i:ab)"#) == "ab|12 cdé, |AB|\n|")
    #expect(try split(#"[^\\s\\p{L}]{1,2}?"#) == "ab|1|2| cdé|,| AB\n|")
    #expect(try split(#"\\w+(?=,)|(?!a)[a-c]"#) == "a|b|12 |cdé|, AB\n|")
    #expect(try split(#"(?:a|ab)(?:12|2)"#) == "ab12| cdé, AB\n|")
    #expect(try split(#"(?>a|ab)12"#) == "ab12 cdé, AB\n|")
    #expect(try split(#"\\x41|\\u00e9|$"#) == "ab12 cd|é|, |A|B|\n|")
  }

  @Test func marksTheFirstWordAlone() throws {
    let metaspace = "{\"type\": \"Metaspace\", \"prepend_scheme\": \"first\"}"
    #expect(try cut(metaspace, "a b") == "▁a|▁b|")
    let added = "\"added_tokens\": [{\"id\": 256, \"content\": \"<s>\", \"special\": true}]"
    let tokenizer = try tokenizer(bytesTokenizer("\(added), \"pre_tokenizer\": \(metaspace)"))
    #expect(try tokenizer.encode("a<s>b").ids == [0xE2, 0x96, 0x81, 0x61, 256, 0x62])
  }

  /// Strings that are equal for Swift are two tokens, and two keys of JSON.
  @Test func tokensThatLookTheSameStayApart() throws {
    let tokenizer = try tokenizer(#"{"model": {"type": "WordLevel", "vocab": {"\u00e9": 0, "e\u0301": 1}}}"#)
    #expect(try tokenizer.encode("\u{E9}").ids == [0])
    #expect(try tokenizer.encode("e\u{301}").ids == [1])
  }

  @Test func keepsAsManyTokensAsThereIsRoomFor() throws {
    let tokenizer = try fixture("word_piece")
    let whole = try tokenizer.encode("a good text")
    for most in 0...whole.ids.count + 1 {
      let kept = try tokenizer.encode("a good text", most: most)
      #expect(kept.ids.count == min(most, whole.ids.count) && kept.kinds.count == kept.ids.count)
      #expect(tokenizer.padded(kept, to: 20).mask.count { $0 } == kept.ids.count)
    }
  }

  /// A word of two hundred thousand letters costs no square of its length, whatever the model.
  @Test(arguments: FixtureTests.names) func readsAVeryLongWord(_ name: String) throws {
    let tokenizer = try fixture(name)
    for text in [String(repeating: "a", count: 200_000), String(repeating: "ab\u{301}", count: 60_000)] {
      let tokens = try tokenizer.encode(text, most: 1_000_000).ids
      #expect(tokens.allSatisfy { $0 < tokenizer.vocabularySize })
    }
  }

  @Test func leavesAPatternThatTakesTooLong() throws {
    let tokenizer = try tokenizer(
      bytesTokenizer(
        "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?:a|aa)+b\"}, \"behavior\": \"Isolated\"}"
      ))
    #expect { try tokenizer.encode(String(repeating: "a", count: 200)) } throws: { "\($0)".contains("takes too long") }
  }
}
