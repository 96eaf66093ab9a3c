import Foundation
import LTM

/// What `ltm generate` prints: one text as its tokens come, or several one after the other.
struct GenerationView {
  private let prompts: [[Int]]
  /// Whether tokens are bytes of text.
  private let isText: Bool
  private let isJSON: Bool
  private var texts: [[Int]]
  /// Bytes of a character that is not complete.
  private var waiting: [UInt8] = []

  init(prompts: [[Int]], isText: Bool, isJSON: Bool) {
    (self.prompts, self.isText, self.isJSON) = (prompts, isText, isJSON)
    texts = prompts.map { _ in [] }
  }

  private var streams: Bool { !isJSON && prompts.count == 1 }

  mutating func add(_ token: GeneratedToken) throws {
    if streams, texts[0].isEmpty, isText { try printText(string(prompts[0])) }
    texts[token.row].append(token.token)
    guard streams else { return }
    guard isText else { return try printText("\(texts[0].count > 1 ? " " : "")\(token.token)") }
    waiting.append(UInt8(clamping: token.token))
    if String(validating: waiting, as: UTF8.self) != nil || waiting.count == 4 {
      try printText(String(decoding: waiting, as: UTF8.self))
      waiting = []
    }
  }

  mutating func finish(_ ends: [GenerationEnd?]) throws {
    if isJSON { return try printLine(generatedJSON(prompts: prompts, texts: texts, ends: ends, isText: isText)) }
    if streams { return try printLine(String(decoding: waiting, as: UTF8.self)) }
    for (row, text) in texts.enumerated() {
      try printLine(isText ? string(prompts[row] + text) : text.map(String.init).joined(separator: " "))
      if row < texts.count - 1 { try printLine("---") }
    }
  }

  private func string(_ tokens: [Int]) -> String { String(decoding: tokens.map { UInt8(clamping: $0) }, as: UTF8.self) }
}
