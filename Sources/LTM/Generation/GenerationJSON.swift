import LTMSupport

/// What was written, as JSON: for each text its prompt, its tokens, why it ended, and the text itself where tokens are text.
package func generatedJSON(
  prompts: [[Int]], texts: [[Int]], ends: [GenerationEnd?], written: [String]?
) -> String {
  let rows = texts.enumerated().map { row, tokens -> JSON in
    var members = [
      JSON.Member("prompt_tokens", .array(prompts[row].map { .int($0) })),
      JSON.Member("tokens", .array(tokens.map { .int($0) })),
      JSON.Member("end", .string(ends[row]?.rawValue ?? "interrupted")),
    ]
    if let written { members.append(JSON.Member("text", .string(written[row]))) }
    return .object(members)
  }
  return JSON.object([JSON.Member("texts", .array(rows))]).text(indent: 2)
}
