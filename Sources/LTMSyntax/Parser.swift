import LTMSupport

/// Reads a file's text into its tree. Mistakes are reported to `diagnostics`, several in one run; the tree then lacks
/// what could not be read, or holds `.invalid` in its place.
public func parse(_ file: SourceFile, into diagnostics: inout DiagnosticSet) -> Module {
  let lexer = Lexer(file)
  var parser = Parser(lexer)
  let module = parser.parseModule()
  for warning in lexer.divisionWarnings() where !parser.diagnostics.isFull { parser.diagnostics.add(warning) }
  for diagnostic in parser.sortedDiagnostics { diagnostics.add(diagnostic) }
  return module
}

/// A recursive-descent parser: each nonterminal of `grammar/ltm.ebnf` has the method that is named after it, and each
/// such method its nonterminal; a test compares them.
///
/// A mistake is reported where it is found and thrown as ``Unwind`` to the nearest list or statement, which skips to
/// its own end and goes on.
struct Parser {
  /// How deep brackets, blocks, chains of operators and `else if` may nest.
  static let depthLimit = 256

  /// Thrown after a mistake was reported.
  struct Unwind: Error {
    /// Whether a bracketed list around the mistake may mend it; otherwise only a statement may.
    var isLocal = true
  }

  /// How the formatter is to set a token, found while parsing.
  struct Layout: OptionSet {
    let rawValue: UInt8
    /// Begins a declaration, a member, a statement or the content of a block.
    static let start = Layout(rawValue: 1)
    /// No space before: the bracket of a call, a subscript, parameters or a shape.
    static let tight = Layout(rawValue: 2)
    /// No space after: an operator before its operand.
    static let prefix = Layout(rawValue: 4)
    /// Closes a list that may end in a comma.
    static let listEnd = Layout(rawValue: 8)
    /// The first word of a line of a `train` block, after which columns are aligned.
    static let item = Layout(rawValue: 16)
    /// Begins a declaration at the top of the file.
    static let declaration = Layout(rawValue: 32)
    /// The brace of a list of fields, behind `data`.
    static let fields = Layout(rawValue: 64)
  }

  let file: SourceFile
  /// The tokens without the comments.
  let tokens: [Token]
  /// What the formatter needs to know of each of `tokens`.
  var layout: [Layout]
  var diagnostics: DiagnosticSet
  var position = 0
  /// The token whose newline has been read.
  var readNewline = -1
  /// Inside `( )`, `[ ]` and the braces of `data`, newlines mean nothing.
  var ignoresNewlines = false
  /// The positions of the brackets that are open.
  var openers: [Int] = []
  var depth = 0
  /// Whether a mistake ended the last list.
  var listFailed = false

  init(_ lexer: Lexer) {
    file = lexer.file
    tokens = lexer.tokens.filter { $0.kind != .comment }
    layout = Array(repeating: [], count: tokens.count)
    diagnostics = lexer.diagnostics
  }

  /// The messages in the order of their places.
  var sortedDiagnostics: [Diagnostic] {
    let all = diagnostics.all.enumerated().sorted { a, b in
      let (left, right) = (a.element.span?.start ?? 0, b.element.span?.start ?? 0)
      return (left, a.offset) < (right, b.offset)
    }
    return all.map(\.element)
  }

  // MARK: Looking

  var token: Token { tokens[position] }

  /// The token ahead, where `.newline` stands for a newline that ends a statement and has not been read.
  var current: Token.Kind { endsLine(before: position) ? .newline : token.kind }

  private func endsLine(before index: Int) -> Bool {
    guard tokens[index].newlines > 0, !ignoresNewlines, index != readNewline else { return false }
    return !tokens[index].continuesPreviousLine && (index == 0 || !tokens[index - 1].continuesAfterNewline)
  }

  func at(_ symbol: Symbol) -> Bool { current == .symbol(symbol) }
  func at(_ keyword: Keyword) -> Bool { current == .keyword(keyword) }

  /// The token after the one ahead, when it stands on the same line.
  var next: Token.Kind {
    guard position + 1 < tokens.count, tokens[position + 1].newlines == 0 else { return .newline }
    return tokens[position + 1].kind
  }

  /// Whether a name is ahead; words with a meaning only elsewhere are names.
  var atName: Bool { Self.isName(current) }

  static func isName(_ kind: Token.Kind) -> Bool {
    if case .keyword(let keyword) = kind { return keyword.role == .contextual }
    return kind == .name
  }

  // MARK: Moving

  @discardableResult
  mutating func advance() -> Token {
    let token = tokens[position]
    position = min(position + 1, tokens.count - 1)
    return token
  }

  @discardableResult
  mutating func expect(_ symbol: Symbol) throws(Unwind) -> Token {
    guard at(symbol) else { throw expected("'\(symbol.rawValue)'") }
    return advance()
  }

  @discardableResult
  mutating func expect(_ keyword: Keyword) throws(Unwind) -> Token {
    guard at(keyword) else { throw expected("'\(keyword.rawValue)'") }
    return advance()
  }

  mutating func mark(_ role: Layout) { layout[position].insert(role) }

  mutating func enter() throws(Unwind) {
    guard depth < Self.depthLimit else { throw tooDeep() }
    depth += 1
  }

  // MARK: Places

  var start: Int32 { token.start }

  func span(of token: Token) -> Span { Span(file, token.start, token.end) }

  /// From `start` to the end of the last token read.
  func span(from start: Int32) -> Span {
    Span(file, start, position > 0 ? max(start, tokens[position - 1].end) : start)
  }

  func text(of token: Token) -> String { file.text(token.start..<token.end) }
}
