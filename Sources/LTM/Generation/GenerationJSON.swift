import LTMSupport

/// What was written, as JSON: for each text its prompt, its tokens, why it ended, and the text itself where tokens are bytes.
package func generatedJSON(prompts: [[Int]], texts: [[Int]], ends: [GenerationEnd?], isText: Bool) -> String {
  let rows = texts.enumerated().map { row, tokens -> JSON in
    var members = [
      JSON.Member("prompt_tokens", .array(prompts[row].map { .int($0) })),
      JSON.Member("tokens", .array(tokens.map { .int($0) })),
      JSON.Member("end", .string(ends[row]?.rawValue ?? "interrupted")),
    ]
    if isText {
      members.append(JSON.Member("text", .string(String(decoding: tokens.map { UInt8(clamping: $0) }, as: UTF8.self))))
    }
    return .object(members)
  }
  return JSON.object([JSON.Member("texts", .array(rows))]).text(indent: 2)
}
