extension Formatter {
  /// The lines with their columns aligned, as text.
  mutating func render() -> String {
    alignItems()
    separateDeclarations()
    let columns = commentColumns()
    var result = ""
    for (line, column) in zip(lines, columns) {
      if line.hasBlankBefore, !result.isEmpty { result += "\n" }
      result += String(repeating: "  ", count: line.indent) + line.code
      if let comment = line.comment {
        if !line.code.isEmpty { result += String(repeating: " ", count: max(1, column - line.width)) }
        result += comment
      }
      result += "\n"
    }
    return result
  }

  /// Puts what follows the first words of a `train` block's lines into one column.
  private mutating func alignItems() {
    let groups = Dictionary(grouping: lines.compactMap(\.column), by: \.group)
    let widths = groups.mapValues { $0.map(\.at).max() ?? 0 }
    for index in lines.indices {
      guard let column = lines[index].column, let width = widths[column.group] else { continue }
      let code = lines[index].code
      let padding = String(repeating: " ", count: width - column.at)
      lines[index].code = code.prefix(column.at) + padding + code.dropFirst(column.at)
    }
  }

  /// A declaration of several lines has a blank line around it.
  private mutating func separateDeclarations() {
    var counts: [Int: Int] = [:]
    for line in lines where !line.code.isEmpty { counts[line.declaration, default: 0] += 1 }
    var last: Int?
    for index in lines.indices {
      if let last, lines[index].indent == 0, endsDeclaration(last, before: index) {
        let next = lines[index...].first { !$0.code.isEmpty }?.declaration
        let isTall = counts[lines[last].declaration, default: 0] > 1 || next.map { counts[$0, default: 0] > 1 } == true
        if isTall { lines[index].hasBlankBefore = true }
      }
      last = lines[index].code.isEmpty ? nil : index
    }
  }

  /// Whether the code at `line` is the last of its declaration, and `next` follows it.
  private func endsDeclaration(_ line: Int, before next: Int) -> Bool {
    lines[next...].first { !$0.code.isEmpty }?.declaration != lines[line].declaration
  }

  /// The column of each line's comment: neighbours of one indentation that have code and a comment share one.
  private func commentColumns() -> [Int] {
    var columns = Array(repeating: 0, count: lines.count)
    var start = 0
    while start < lines.count {
      var end = start + 1
      if lines[start].isCommented {
        while end < lines.count, lines[end].isCommented, lines[end].indent == lines[start].indent,
          !lines[end].hasBlankBefore
        { end += 1 }
        let width = lines[start..<end].map(\.width).max() ?? 0
        for index in start..<end { columns[index] = width + 2 }
      }
      start = end
    }
    return columns
  }
}

extension Formatter.Line {
  var width: Int { indent * 2 + code.count }
  var isCommented: Bool { !code.isEmpty && comment != nil }
}
