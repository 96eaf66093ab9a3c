import Foundation
import LTMSupport
import LTMTokenizers
import Testing

let folder = URL(filePath: #filePath).deletingLastPathComponent()
let fixtures = folder.appending(path: "Fixtures")

func bytes(_ file: URL) throws -> [UInt8] { Array(try Data(contentsOf: file)) }

/// A tokenizer that the `tokenizers` package trained; scripts/tokenizers/fixtures.py made it.
func fixture(_ name: String) throws -> TextTokenizer {
  try TextTokenizer(bytes(fixtures.appending(path: "\(name).json")), path: "\(name).json")
}

/// A tokenizer of a text of JSON.
func tokenizer(_ json: String) throws -> TextTokenizer { try TextTokenizer(Array(json.utf8), path: "t.json") }

/// Bytes as tokens, and nothing else, beside what is given.
func bytesTokenizer(_ members: String = "", model: String = "") -> String {
  let vocabulary = (0..<256).map { byte in
    let digits = String(byte, radix: 16, uppercase: true)
    return "\"<0x\(digits.count == 1 ? "0" : "")\(digits)>\": \(byte)"
  }.joined(separator: ",")
  return """
    {\(members.isEmpty ? "" : members + ",") "model": {"type": "BPE", "byte_fallback": true, "merges": [], \(model)
     "vocab": {\(vocabulary)}}}
    """
}

/// What a tokenizer of bytes makes of a text, as a text again: the text as normalizers and pre-tokenizers leave it.
func shown(_ members: String, _ text: String) throws -> String {
  let ids = try tokenizer(bytesTokenizer(members, model: "\"end_of_word_suffix\": \"|\",")).encode(text).ids
  return String(decoding: ids.map { UInt8($0) }, as: UTF8.self)
}
