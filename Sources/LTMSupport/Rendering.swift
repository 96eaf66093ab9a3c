extension Diagnostic {
  /// The message as Swift and Rust show theirs: the place, the line, a caret under the span, labels, notes, the fix.
  ///
  ///     model.ltm:7:18: error: unknown name 'hiden'
  ///        7 |   let fc1 = Linear(64, hiden)
  ///          |                        ^~~~~ did you mean 'hidden'?
  ///          = note: names in scope: hidden
  public func rendered() -> String {
    let place = span.map { "\($0): " } ?? location.map { "\($0): " } ?? ""
    var lines = ["\(place)\(severity.rawValue): \(message)"]
    if let span {
      lines += Self.excerpt(span, caret: "^", text: fixIt?.span == span ? fixIt?.advice : nil)
    }
    for label in labels {
      if label.span.file != span?.file { lines.append("  --> \(label.span)") }
      let excerpt = Self.excerpt(label.span, caret: "-", text: label.text)
      lines += excerpt.first.map(lines.contains) == true ? excerpt.dropFirst() : excerpt[...]
    }
    for note in notes { lines.append("       = note: \(note)") }
    if let fixIt, fixIt.span != span { lines.append("       = fix: \(fixIt.span): \(fixIt.advice)") }
    return lines.joined(separator: "\n")
  }

  /// The line that a span starts on, and its underline.
  private static func excerpt(_ span: Span, caret: Character, text: String?) -> [String] {
    let at = span.file.position(of: span.start)
    let size = span.file.lineRange(at.line).count
    guard size <= SourceFile.longLine else { return ["  \(pad(at.line)) | (a line of \(size) bytes)"] }
    let line = span.file.line(at.line)
    // What a file holds is shown, never sent to the terminal as a command.
    let shown = String(line.map { $0.unicodeScalars.contains { $0.properties.generalCategory == .control } ? " " : $0 })
    let limit = 160
    guard shown.count <= limit else {
      return ["  \(pad(at.line)) | (a line of \(shown.count) characters)"]
    }
    let width = max(1, min(span.text.prefix { $0 != "\n" }.count, shown.count - at.column + 1))
    let tail: Character = caret == "^" ? "~" : "-"
    let mark = String(caret) + String(repeating: tail, count: width - 1)
    let underline = String(repeating: " ", count: at.column - 1) + mark + (text.map { " " + $0 } ?? "")
    return ["  \(pad(at.line)) | \(shown)", "       | \(underline)"]
  }

  private static func pad(_ line: Int) -> String {
    let digits = String(line)
    return String(repeating: " ", count: max(0, 4 - digits.count)) + digits
  }
}

extension Diagnostic.FixIt {
  /// What to do, in words.
  var advice: String {
    if replacement.isEmpty { return "remove this" }
    return span.start == span.end ? "insert '\(replacement)'" : "replace with '\(replacement)'"
  }
}
