import LTMSupport

/// The file in its one canonical layout, or what is wrong with it.
///
/// Indentation, spaces, blank lines, columns of comments, commas that end a list and the place of braces are the
/// formatter's; where a long expression or list breaks is the writer's. Every comment stays, and nothing but a comma at
/// the end of a list is added or taken away, so that the tree is the same.
public func format(_ file: SourceFile) throws(DiagnosticSet) -> String {
  let lexer = Lexer(file)
  var parser = Parser(lexer)
  _ = parser.parseModule()
  try DiagnosticSet(parser.sortedDiagnostics).throwIfErrors()
  var formatter = Formatter(file: file, tokens: lexer.tokens, layout: parser.layout)
  return formatter.run()
}

/// Sets tokens into lines. It runs only on a file without errors, so that brackets match.
struct Formatter {
  /// One line of the result.
  struct Line {
    var indent: Int
    var code: String
    var comment: String?
    var hasBlankBefore: Bool
    /// Where the code after a `train` item's first word begins in `code`; the train block's opening brace names the group.
    var column: (group: Int, at: Int)?
    /// The number of the declaration the line belongs to.
    var declaration: Int
  }

  /// A bracket that is open.
  struct Bracket {
    var symbol: Symbol
    /// The position of the bracket, and the indentation of the line it stands on.
    var position: Int
    var indent: Int
    /// Whether its content begins on a new line, as its closer then does.
    var isBroken: Bool
  }

  let file: SourceFile
  let tokens: [Token]
  /// The layout of each of `tokens`; none for comments.
  let layout: [Parser.Layout]
  /// For each of `tokens` itself, or the token that follows a comment.
  let followers: [Int]
  var lines: [Line] = []
  var brackets: [Bracket] = []
  var declaration = 0
  /// Blocks that the source breaks over lines, by the position of their opening bracket.
  private var broken: Set<Int> = []

  init(file: SourceFile, tokens: [Token], layout: [Parser.Layout]) {
    self.file = file
    self.tokens = tokens
    var next = layout.makeIterator()
    self.layout = tokens.map { $0.kind == .comment ? [] : next.next() ?? [] }
    var followers = Array(tokens.indices)
    for index in tokens.indices.dropLast().reversed() where tokens[index].kind == .comment {
      followers[index] = followers[index + 1]
    }
    self.followers = followers
    broken = Self.brokenBrackets(tokens)
  }

  mutating func run() -> String {
    for index in tokens.indices where tokens[index].kind != .end {
      if tokens[index].kind == .comment { addComment(index) } else { addToken(index) }
    }
    return render()
  }

  /// A brace is broken when a newline stands anywhere in it, any other bracket when one follows it.
  private static func brokenBrackets(_ tokens: [Token]) -> Set<Int> {
    var broken: Set<Int> = []
    var open: [Int] = []
    for (index, token) in tokens.enumerated() {
      if token.newlines > 0, let opener = open.last {
        let isContent = !closes(token, tokens[opener]) || opener != index - 1
        if tokens[opener].kind == .symbol(.openBrace) {
          if isContent { for brace in open where tokens[brace].kind == .symbol(.openBrace) { broken.insert(brace) } }
        } else {
          if opener == index - 1, isContent { broken.insert(opener) }
          for brace in open where tokens[brace].kind == .symbol(.openBrace) { broken.insert(brace) }
        }
      }
      guard case .symbol(let symbol) = token.kind else { continue }
      if symbol.closer != nil { open.append(index) } else if symbol.opener != nil { open.removeLast() }
    }
    return broken
  }

  private static func closes(_ token: Token, _ opener: Token) -> Bool {
    guard case .symbol(let close) = token.kind, case .symbol(let open) = opener.kind else { return false }
    return open.closer == close
  }

  func isBroken(_ opener: Int) -> Bool { broken.contains(opener) }

  func text(_ index: Int) -> String { file.text(tokens[index].start..<tokens[index].end) }
}
