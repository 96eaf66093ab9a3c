import LTMSupport

extension Parser {
  /// Reports a mistake and gives what to throw.
  mutating func fail(
    _ message: String, at place: Span? = nil, labels: [Diagnostic.Label] = [], notes: [String] = [],
    fixIt: Diagnostic.FixIt? = nil
  ) -> Unwind {
    // The lexer has reported what it could not read.
    if token.kind != .invalid {
      diagnostics.add(Diagnostic(message, at: place ?? found, labels: labels, notes: notes, fixIt: fixIt))
    }
    if diagnostics.all.count >= DiagnosticSet.limit { position = tokens.count - 1 }
    return Unwind()
  }

  mutating func expected(_ what: String, notes: [String] = [], fixIt: Diagnostic.FixIt? = nil) -> Unwind {
    fail("expected \(what), found \(describe(foundKind))", notes: notes, fixIt: fixIt)
  }

  mutating func tooDeep() -> Unwind {
    _ = fail(
      "this nests deeper than \(Self.depthLimit) levels", at: span(of: token),
      notes: ["name a part of it with 'let'"])
    return Unwind(isLocal: false)
  }

  /// What is ahead, for a message. Where the next line begins something new, that is the end of this one, though an
  /// operator or an open bracket lets the line go on.
  private var foundKind: Token.Kind {
    let endsLine = token.newlines > 0 && position != readNewline && (startsAnew(position) || at(.closeBrace))
    return endsLine ? .newline : current
  }

  /// Where the token ahead stands; for the end of a line, just behind what stands before it.
  var found: Span {
    guard foundKind == .newline || current == .end, position > 0 else { return span(of: token) }
    return afterPrevious
  }

  /// The empty place behind the last token read.
  var afterPrevious: Span {
    let end = position > 0 ? tokens[position - 1].end : 0
    return Span(file, end, end)
  }

  func describe(_ kind: Token.Kind) -> String {
    switch kind {
    case .name, .keyword, .integer, .float: "'\(shortText)'"
    case .string: "a string"
    case .symbol(let symbol): "'\(symbol.rawValue)'"
    case .newline: "the end of the line"
    case .end, .comment: "the end of the file"
    case .invalid: "text that cannot be read"
    }
  }

  /// The text of the token ahead, cut for messages.
  private var shortText: String {
    let text = text(of: token)
    return text.count > 40 ? text.prefix(40) + "..." : text
  }

  /// What is missing between two elements of a list, or behind the last.
  mutating func missingSeparator(opener: Int, close: Symbol) -> Unwind {
    let closes = startsAnew(position) || token.kind == .end || at(.openBrace) || at(.closeBrace)
    let open = Diagnostic.Label(span(of: tokens[opener]), "to close this")
    let place = afterPrevious
    if at(.assign) {
      return fail(
        "expected ',' or '\(close.rawValue)', found '='", labels: [open],
        notes: ["arguments are named with ':', as in 'lr: 0.1'; values are compared with '=='"])
    }
    if closes || ignoresNewlines && token.newlines > 0 {
      return fail(
        "expected '\(close.rawValue)'", at: place, labels: [open], fixIt: .init(place, close.rawValue))
    }
    let form = foreignForm
    return expected(
      "',' or '\(close.rawValue)'", notes: form.map { [$0] } ?? [],
      fixIt: startsOperand && form == nil ? .init(place, ",") : nil)
  }

  /// Whether an operand begins at the token ahead.
  private var startsOperand: Bool {
    switch current {
    case .name, .integer, .float, .string: true
    case .keyword(let keyword): keyword.role != .reserved || [.true, .false, .recompute].contains(keyword)
    case .symbol, .comment, .newline, .invalid, .end: false
    }
  }

  // MARK: Skipping

  /// Whether the token begins a line as only a statement, a member or a declaration does, whatever is open before it.
  func startsAnew(_ index: Int) -> Bool {
    let token = tokens[index]
    guard token.newlines > 0 || index == 0, index + 1 < tokens.count else { return false }
    let next = tokens[index + 1].kind
    if case .keyword(let keyword) = token.kind {
      let isNamed = Self.isName(next) || next == .string && [.param, .state, .cache].contains(keyword)
      if Self.alwaysAnew.contains(keyword) || Self.anewBeforeName.contains(keyword) && isNamed { return true }
    }
    return Self.isName(token.kind) && assigns(next)
  }

  private static let alwaysAnew: Set<Keyword> = [.let, .var, .return, .func, .import]
  private static let anewBeforeName: Set<Keyword> = [
    .layer, .model, .optimizer, .schedule, .clip, .average, .train, .weights, .param, .state, .cache,
  ]

  private func assigns(_ kind: Token.Kind) -> Bool { kind == .symbol(.assign) || kind == .symbol(.write) }

  /// Whether the token begins a declaration at the very left of a line, where nothing else is written.
  private func startsFile(_ index: Int) -> Bool {
    let start = Int(tokens[index].start)
    return startsAnew(index) && (start == 0 || file.bytes[start - 1] == UInt8(ascii: "\n"))
  }

  /// Skips to behind the bracket that closes the one at `openers[mark]`; `false` where it seems to be missing.
  mutating func skipList(from mark: Int) -> Bool {
    let saved = openers
    let origin = position
    while token.kind != .end, !startsAnew(position) {
      if case .symbol(let symbol) = token.kind {
        if symbol.closer != nil {
          openers.append(position)
        } else if let opener = symbol.opener {
          guard close(opener, above: mark) else { break }
          if openers.count == mark {
            advance()
            return true
          }
        }
      }
      advance()
    }
    openers = saved
    position = origin
    return false
  }

  /// Takes brackets off the stack up to the last `opener`; `false` where there is none from `mark` on.
  private mutating func close(_ opener: Symbol, above mark: Int) -> Bool {
    guard let index = openers.lastIndex(where: { tokens[$0].kind == .symbol(opener) }), index >= mark else {
      return false
    }
    openers.removeSubrange(index...)
    return true
  }

  /// Skips the rest of an item of a block: to the next line that begins outside the brackets opened since
  /// `openers.count` was `base`, or to the brace that ends the block.
  mutating func skipItem(from start: Int, base: Int) {
    while token.kind != .end, position == start || !startsFile(position) {
      let startsLine = token.newlines > 0 && position > start
      if startsLine, openers.count <= base || startsAnew(position) && !openBraces(above: base) { break }
      if case .symbol(let symbol) = token.kind {
        if symbol.closer != nil {
          openers.append(position)
        } else if let opener = symbol.opener, !close(opener, above: base), opener == .openBrace, position > start {
          break
        }
      }
      advance()
    }
    openers.removeSubrange(min(base, openers.count)...)
  }

  private func openBraces(above base: Int) -> Bool {
    openers.dropFirst(base).contains { tokens[$0].kind == .symbol(.openBrace) }
  }
}
