import LTMSupport

extension Formatter {
  /// Adds a comment to the line it follows, or on a line of its own.
  mutating func addComment(_ index: Int) {
    var comment = text(index)
    while let last = comment.last, last.isWhitespace { comment.removeLast() }
    if tokens[index].newlines == 0, index > 0, let line = lines.indices.last, lines[line].comment == nil {
      lines[line].comment = comment
    } else {
      beginLine(index, indent: contentIndent(index))
      lines[lines.count - 1].comment = comment
    }
  }

  mutating func addToken(_ index: Int) {
    let token = tokens[index]
    var closed: Bracket?
    if case .symbol(let symbol) = token.kind, symbol.opener != nil { closed = brackets.popLast() }
    if layout[index].contains(.declaration) { declaration += 1 }
    if breaksLine(before: index, closing: closed) {
      if let closed, layout[index].contains(.listEnd) { endListWithComma(closed) }
      beginLine(index, indent: closed?.indent ?? contentIndent(index))
    } else if closed != nil, layout[index].contains(.listEnd) {
      dropComma()
    }
    append(index)
    if case .symbol(let symbol) = token.kind, symbol.closer != nil {
      let indent = lines.last?.indent ?? 0
      brackets.append(Bracket(symbol: symbol, position: index, indent: indent, isBroken: isBroken(index)))
    }
  }

  /// Whether the token begins a line of the result.
  private func breaksLine(before index: Int, closing closed: Bracket?) -> Bool {
    let token = tokens[index]
    guard index > 0 else { return true }
    if tokens[index - 1].kind == .comment { return true }
    if let closed { return closed.isBroken }
    if let open = brackets.last, open.position == index - 1 { return open.isBroken }
    switch token.kind {
    case .keyword(.else), .symbol(.comma), .symbol(.colon), .symbol(.openBrace): return false
    case .name, .integer, .float, .string, .keyword, .symbol, .comment, .newline, .invalid, .end:
      return token.newlines > 0
    }
  }

  /// The indentation of a line that begins with the token or comment.
  private func contentIndent(_ index: Int) -> Int {
    let base = brackets.last.map { $0.indent + 1 } ?? 0
    if tokens[index].kind == .keyword(.else) { return base }
    let inBrace = brackets.last.map { $0.symbol == .openBrace && !isList($0) } ?? true
    let follower = followers[index]
    guard inBrace, tokens[follower].kind != .end else { return base }
    return layout[follower].contains(.start) || closesBlock(follower) ? base : base + 1
  }

  private func closesBlock(_ index: Int) -> Bool {
    tokens[index].kind == .symbol(.closeBrace) || tokens[index].kind == .keyword(.else)
  }

  /// Whether a brace holds a list of fields, and no statements.
  private func isList(_ bracket: Bracket) -> Bool {
    bracket.symbol == .openBrace && layout[bracket.position].contains(.fields)
  }

  private mutating func beginLine(_ index: Int, indent: Int) {
    let previous = index > 0 ? tokens[index - 1] : nil
    let opens = brackets.last?.position == index - 1 || previous == nil
    let closes = if case .symbol(let symbol) = tokens[index].kind { symbol.opener != nil } else { false }
    lines.append(
      Line(
        indent: indent, code: "", comment: nil, hasBlankBefore: tokens[index].newlines > 1 && !opens && !closes,
        declaration: declaration))
  }

  private mutating func append(_ index: Int) {
    let line = lines.count - 1
    if !lines[line].code.isEmpty, needsSpace(before: index) { lines[line].code += " " }
    if let item = index > 0 ? itemBefore(index) : nil {
      lines[line].column = (item, lines[line].code.count)
    }
    lines[line].code += text(index)
  }

  /// The `train` block's brace, where the token follows the first word of one of its lines.
  private func itemBefore(_ index: Int) -> Int? {
    guard layout[index - 1].contains(.item), let brace = brackets.last(where: { $0.symbol == .openBrace }) else {
      return nil
    }
    return brace.position
  }

  private func needsSpace(before index: Int) -> Bool {
    let (left, right) = (tokens[index - 1], tokens[index])
    if layout[index].contains(.tight) || layout[index - 1].contains(.prefix) { return false }
    if left.kind == .symbol(.openBrace), right.kind == .symbol(.closeBrace) { return false }
    if case .symbol(let symbol) = left.kind, [.openParenthesis, .openBracket, .dot, .range].contains(symbol) {
      return false
    }
    guard case .symbol(let symbol) = right.kind else { return true }
    if symbol == .range { return left.kind == .symbol(.comma) }
    return ![.closeParenthesis, .closeBracket, .comma, .colon, .dot].contains(symbol)
  }

  /// A list whose closer has a line of its own ends in a comma, so that adding to it changes one line.
  private mutating func endListWithComma(_ bracket: Bracket) {
    guard bracket.isBroken, let line = lines.lastIndex(where: { !$0.code.isEmpty }) else { return }
    if !lines[line].code.hasSuffix(",") { lines[line].code += "," }
  }

  /// A list that ends on its line does not end in a comma.
  private mutating func dropComma() {
    guard let line = lines.indices.last, lines[line].code.hasSuffix(",") else { return }
    lines[line].code.removeLast()
  }
}
