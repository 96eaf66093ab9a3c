import LTMSupport

// The shapes that many productions share: comma-separated lists in brackets, and lines in braces.
extension Parser {
  /// `open [ element { "," element } [ "," ] ] close`, in which newlines mean nothing. After a mistake the list ends at
  /// its closing bracket, with `placeholder` for what could not be read.
  mutating func list<Element>(
    _ open: Symbol, _ close: Symbol, placeholder: Element? = nil,
    element: (inout Parser) throws(Unwind) -> Element
  ) throws(Unwind) -> [Element] {
    let base = openers.count
    let opener = position
    try expect(open)
    openers.append(opener)
    let outer = ignoresNewlines
    ignoresNewlines = true
    listFailed = false
    defer { ignoresNewlines = outer }
    var elements: [Element] = []
    do throws(Unwind) {
      while !at(close) {
        elements.append(try element(&self))
        if at(.comma) { advance() } else if !at(close) { throw missingSeparator(opener: opener, close: close) }
      }
    } catch {
      guard error.isLocal, skipList(from: base) else { throw Unwind(isLocal: false) }
      listFailed = true
      return elements + (placeholder.map { [$0] } ?? [])
    }
    listFailed = false
    if !elements.isEmpty { mark(.listEnd) }
    advance()
    openers.removeSubrange(base...)
    return elements
  }

  /// What a block is made of, which tells what cannot stand in it.
  enum Level { case members, items, statements }

  /// `"{" [ lines ] [ item { lines item } [ lines ] ] "}"`. After a mistake the block goes on with its next line.
  mutating func block<Item>(
    _ level: Level, item: (inout Parser) throws(Unwind) -> Item
  ) throws(Unwind) -> [Item] {
    let opener = position
    try openBlock()
    try enter()
    let outer = ignoresNewlines
    ignoresNewlines = false
    defer {
      ignoresNewlines = outer
      depth -= 1
    }
    let base = openers.count
    var items: [Item] = []
    skipLines()
    while !at(.closeBrace) {
      if token.kind == .end || startsOutside(level, opener) {
        reportUnclosed(opener)
        openers.removeSubrange((base - 1)...)
        return items
      }
      if let item = line(base: base, item) { items.append(item) }
      skipLines()
    }
    advance()
    openers.removeSubrange((base - 1)...)
    return items
  }

  /// One item and the end of its line; `nil` after a mistake.
  mutating func line<Item>(base: Int, _ item: (inout Parser) throws(Unwind) -> Item) -> Item? {
    let start = position
    readNewline = start
    mark(.start)
    do throws(Unwind) {
      let result = try item(&self)
      try expectEndOfLine()
      return result
    } catch {
      skipItem(from: start, base: base)
      return nil
    }
  }

  /// The `{` of a block, which stands on the line of what it belongs to.
  mutating func openBlock() throws(Unwind) {
    if current == .newline, token.kind == .symbol(.openBrace) {
      _ = fail("'{' stands at the end of the line before", at: span(of: token))
      readNewline = position
    }
    let opener = position
    guard at(.openBrace) else {
      let isColon = at(.colon)
      let note = isColon ? "what belongs to this line stands in braces, as in 'if c { ... }'" : foreignForm
      throw expected("'{'", notes: note.map { [$0] } ?? [])
    }
    advance()
    openers.append(opener)
  }

  private mutating func expectEndOfLine() throws(Unwind) {
    switch current {
    case .newline, .end, .symbol(.closeBrace): return
    case .symbol(.assign): throw expected("the end of the line", notes: ["values are compared with '=='"])
    case .symbol(let symbol) where BinaryOperator(rawValue: symbol.rawValue) != nil:
      throw fail(
        "'\(symbol.rawValue)' cannot follow here", notes: ["put what stands before it in parentheses"])
    case .name, .integer, .float, .string, .keyword, .symbol, .comment, .invalid:
      throw expected("the end of the line", notes: foreignForm.map { [$0] } ?? [])
    }
  }

  /// Whether what is ahead belongs outside the block: a word that no item begins with, indented no more than the line
  /// that opens the block.
  private func startsOutside(_ level: Level, _ opener: Int) -> Bool {
    guard case .keyword(let keyword) = token.kind, position + 1 < tokens.count else { return false }
    let named = Self.isName(tokens[position + 1].kind)
    let isForeign =
      switch level {
      case .members: keyword == .import || Self.typeStarters.contains(keyword) && named
      case .items:
        keyword == .import || keyword == .func || [.layer, .model, .train, .weights].contains(keyword) && named
      case .statements:
        keyword == .import || keyword == .func || Self.typeStarters.contains(keyword) && named
          || [.param, .state, .cache].contains(keyword) && named
      }
    return isForeign && indentation(of: position) <= indentation(of: opener)
  }

  private static let typeStarters: Set<Keyword> = [
    .layer, .model, .optimizer, .schedule, .clip, .average, .train, .weights,
  ]

  /// The spaces before the line that a token stands on.
  private func indentation(of index: Int) -> Int {
    let first = tokens[...index].lastIndex { $0.newlines > 0 } ?? 0
    let before = file.bytes[..<Int(tokens[first].start)].reversed()
    return before.prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }.count
  }

  private mutating func reportUnclosed(_ opener: Int) {
    _ = fail(
      "expected '}', found \(describe(token.kind))", at: token.kind == .end ? afterPrevious : span(of: token),
      labels: [.init(span(of: tokens[opener]), "to close this")])
    // The line that follows is still to be begun.
    readNewline = -1
  }

  mutating func skipLines() {
    if current == .newline { parseLines() }
  }

  /// `lines`
  mutating func parseLines() { readNewline = position }
}
