import LTMSupport

/// A step of a regular expression; lengths and targets are relative to the step itself.
enum PatternStep: Sendable {
  case scalar(Unicode.Scalar)
  case set(ScalarSet)
  /// Tries the first way, and the second where the first leads nowhere.
  case split(Int, Int)
  case jump(Int)
  case lineStart
  case lineEnd
  case textStart
  case textEnd
  /// Whether the steps that follow hold here; nothing is taken.
  case look(isNegated: Bool, length: Int)
  /// What the steps that follow take at first is all that they take.
  case atomic(length: Int)
  case match
}

/// A text to look for, or a regular expression.
struct Pattern: Sendable {
  private let steps: [PatternStep]
  /// What is looked for, where it is a text.
  private let literal: [Unicode.Scalar]?

  /// Reads `{"String": "..."}`, `{"Regex": "..."}` or a text.
  init(_ settings: Settings) throws(Diagnostic) {
    if let text = settings.value.stringValue {
      (literal, steps) = (Array(text.unicodeScalars), [])
      return
    }
    if let text = settings["String"] {
      (literal, steps) = (try text.scalars(), [])
      return
    }
    let regex = try settings.required("Regex")
    do {
      (literal, steps) = (nil, try PatternParser.steps(of: try regex.string()))
    } catch let error as PatternError {
      throw regex.error("is a pattern that \(error.problem)")
    } catch let error as Diagnostic {
      throw error
    } catch {
      throw regex.error("is no pattern: \(error)")
    }
  }

  /// A text to look for.
  init(literal: String) { (self.literal, steps) = (Array(literal.unicodeScalars), []) }

  /// Where a text that is looked for stands.
  func places(in text: ArraySlice<Unicode.Scalar>) -> [Range<Int>] { Self.places(of: literal ?? [], in: text) }

  /// Where the pattern holds, from left to right.
  func matches(in text: ArraySlice<Unicode.Scalar>) throws(Diagnostic) -> [Range<Int>] {
    if let literal { return Self.places(of: literal, in: text) }
    var matcher = PatternMatcher(steps: steps, text: text)
    var found: [Range<Int>] = []
    var start = text.startIndex
    while start <= text.endIndex {
      guard let end = try matcher.end(from: start) else {
        start += 1
        continue
      }
      if end > start || found.last?.upperBound != start { found.append(start..<end) }
      start = max(end, start + (end == start ? 1 : 0))
    }
    return found
  }

  private static func places(of literal: [Unicode.Scalar], in text: ArraySlice<Unicode.Scalar>) -> [Range<Int>] {
    guard let first = literal.first, literal.count <= text.count else { return [] }
    var found: [Range<Int>] = []
    var start = text.startIndex
    while start <= text.endIndex - literal.count {
      if text[start] == first, text[start..<start + literal.count].elementsEqual(literal) {
        found.append(start..<start + literal.count)
        start += literal.count
      } else {
        start += 1
      }
    }
    return found
  }
}

/// Goes through a pattern's steps, and back where they lead nowhere. The number of steps is bounded by the text's length.
private struct PatternMatcher {
  let steps: [PatternStep]
  let text: ArraySlice<Unicode.Scalar>
  /// Steps that may still be taken.
  private var left: Int
  private var ways: [(step: Int, position: Int)] = []

  init(steps: [PatternStep], text: ArraySlice<Unicode.Scalar>) {
    (self.steps, self.text) = (steps, text)
    left = 1_000_000 + 2_000 * text.count
  }

  /// Where the match that begins at a position ends; `nil` where there is none.
  mutating func end(from position: Int) throws(Diagnostic) -> Int? { try run(from: 0, at: position) }

  private mutating func run(from first: Int, at start: Int) throws(Diagnostic) -> Int? {
    let base = ways.count
    defer { ways.removeSubrange(base...) }
    var (step, position) = (first, start)
    while true {
      left -= 1
      if left < 0 {
        throw Diagnostic("a pattern of the tokenizer takes too long on a text of \(text.count) characters")
      }
      var holds = true
      switch steps[step] {
      case .scalar(let scalar): holds = take(&position) { $0 == scalar }
      case .set(let set): holds = take(&position) { set.contains($0) }
      case .split(let one, let other):
        ways.append((step + other, position))
        step += one - 1
      case .jump(let distance): step += distance - 1
      case .lineStart: holds = position == text.startIndex || text[position - 1] == "\n"
      case .lineEnd: holds = position == text.endIndex || text[position] == "\n"
      case .textStart: holds = position == text.startIndex
      case .textEnd: holds = position == text.endIndex
      case .look(let isNegated, let length):
        holds = (try run(from: step + 1, at: position) == nil) == isNegated
        step += length
      case .atomic(let length):
        let end = try run(from: step + 1, at: position)
        holds = end != nil
        position = end ?? position
        step += length
      case .match: return position
      }
      if holds {
        step += 1
      } else if ways.count > base {
        (step, position) = ways.removeLast()
      } else {
        return nil
      }
    }
  }

  private func take(_ position: inout Int, _ test: (Unicode.Scalar) -> Bool) -> Bool {
    guard position < text.endIndex, test(text[position]) else { return false }
    position += 1
    return true
  }
}
