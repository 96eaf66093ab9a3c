import LTMSupport

/// What other languages have and `.ltm` has not, by the word that it begins with, with what is written here instead.
struct ForeignWord {
  let message: String
  let note: String
  var fix: String?

  private init(_ word: String, _ note: String, message: String? = nil, fix: String? = nil) {
    self.message = message ?? "there is no '\(word)'"
    self.note = note
    self.fix = fix
  }

  private static let loop = "a loop runs over a range or a list that is known at compile time: for i in 0..<n { ... }"
  private static let whole = "a loop runs over all of its range: choose the range, or put what is skipped in an 'if'"
  private static let output = "code makes a graph, which runs later: return the value, and 'ltm run' gives it out"
  private static let failure =
    "what must hold of values known at compile time is said by 'require', as in 'require n > 0'"
  private static let nested = "a 'func' is declared in a layer, in a model or at the top of a file"
  private static let context = "stop_gradient(x) lets no gradient through, and '@f32 { ... }' pins a dtype"
  private static let choice = "a choice is written 'if c { ... } else { ... }'"

  /// What stands where a statement begins.
  static func statement(_ word: String) -> ForeignWord? {
    switch word {
    case "while", "until", "loop", "do", "repeat": ForeignWord(word, loop)
    case "elif", "elsif", "elseif":
      ForeignWord(word, "another condition is written '} else if c {'", fix: "else if")
    case "else": ForeignWord(word, choice, message: "'else' follows the '}' of its 'if'")
    case "break", "continue": ForeignWord(word, whole)
    case "pass": ForeignWord(word, "an empty block is '{ }', and a function ends in 'return'")
    case "print", "println", "printf", "display": ForeignWord(word, output)
    case "raise", "throw": ForeignWord(word, failure)
    case "try", "except", "catch", "finally", "defer", "guard": ForeignWord(word, failure)
    case "switch", "match", "case", "when", "unless": ForeignWord(word, choice)
    case "with", "using": ForeignWord(word, context)
    case "def", "fn", "fun", "function", "func", "lambda":
      ForeignWord(word, nested, message: "a function is not declared inside of another")
    case "class", "struct", "layer", "model":
      ForeignWord(
        word, "it is declared at the top of a file, and bound by a 'let' of its layer or model",
        message: "a layer is not declared inside of a function")
    case "import", "from", "use", "include":
      ForeignWord(word, "as in: import \"layers.ltm\"", message: "an import stands at the top of the file")
    case "param", "state", "cache":
      ForeignWord(
        word, "a function keeps nothing from call to call; 'let' and 'var' name values",
        message: "a '\(word)' is declared in a layer, not in a function")
    case "await", "async", "del", "global", "nonlocal", "goto":
      ForeignWord(word, "a function binds names with 'let' and 'var', and ends in 'return'")
    case "self", "this", "super":
      ForeignWord(word, "members are named alone, and bound where they are declared: let fc1 = Linear(64, 10)")
    case _: nil
    }
  }

  /// What other trainers are told in their configuration.
  static func trainLine(_ word: String) -> String? {
    switch word {
    case "lr", "learning_rate", "weight_decay", "momentum", "betas":
      "it is an argument of the optimizer: optimizer AdamW(lr: 3e-3, weight_decay: 0.01)"
    case "warmup", "warmup_steps": "it is an argument of the schedule: schedule cosine(warmup: 50)"
    case "shuffle", "save", "resume", "log", "weights", "checkpoint", "output", "precision", "amp", "amp_level",
      "loss_scale",
      "device", "target", "gpus", "threads":
      "it is chosen outside, by a flag of 'ltm train'; 'ltm train --help' lists them"
    case "grad_clip", "gradient_clip_val", "max_norm": "gradients are clipped by a rule: clip norm(1.0)"
    case "ema", "swa": "weights are averaged by a rule: average ema(0.999)"
    case "accumulate_grad_batches", "gradient_accumulation_steps": "batches of one step: accumulate 4"
    case "param_groups", "parameters": "weights that are updated in another way: group \"**.bias\" { weight_decay: 0 }"
    case "validate", "validation": "rows for validation are kept by 'val_split 0.1', or named by 'val_data \"file\"'"
    case "stop", "early_stopping": "it is said by 'monitor val_loss' and 'patience 5'"
    case "callbacks", "dropout":
      "there is no '\(word)' yet"
    case _: nil
    }
  }

  /// A line of a `train` block.
  static func example(of word: Keyword) -> String {
    switch word {
    case .data: "data \"digits.npz\""
    case .minimize: "minimize loss"
    case .report: "report accuracy"
    case .optimizer: "optimizer AdamW(lr: 3e-3)"
    case .schedule: "schedule cosine(warmup: 50)"
    case .clip: "clip norm(1.0)"
    case .average: "average ema(0.999)"
    case .group: "group \"**.bias\" { weight_decay: 0 }"
    case .freeze: "freeze \"encoder.**\""
    case .accumulate: "accumulate 4"
    case _: "\(word.rawValue) 64"
    }
  }

  /// What stands where an expression begins.
  static func expression(_ word: String) -> ForeignWord? {
    switch word {
    case "lambda", "function", "fn", "def":
      ForeignWord(word, "a function has a name: func twice(x: [...]) -> [...] { return 2 * x }")
    case "new": ForeignWord(word, "a layer is made by its name: Linear(64, 10)")
    case "await", "async": ForeignWord(word, "a call gives its value at once")
    case "switch", "match", "case": ForeignWord(word, choice)
    case _: nil
    }
  }
}

extension Parser {
  /// Reports a statement that begins as another language's does; `false` where none does.
  func foreignStatement() -> ForeignWord? {
    switch token.kind {
    // A name of the user's may be any of these: `match |> relu` is an expression.
    case .name where next != .symbol(.dot) && next != .symbol(.pipe):
      next == .symbol(.openParenthesis) && Self.functions.contains(text(of: token))
        ? nil : ForeignWord.statement(text(of: token))
    case .name where ["self", "this", "super"].contains(text(of: token)): ForeignWord.statement(text(of: token))
    case .keyword(let keyword) where keyword.role != .dtype:
      keyword.role == .contextual && !Self.isName(next) ? nil : ForeignWord.statement(keyword.rawValue)
    case .name, .keyword, .integer, .float, .string, .symbol, .comment, .newline, .invalid, .end: nil
    }
  }

  /// Words that are as likely functions of the user's, where something is called.
  private static let functions: Set<String> = ["repeat", "loop", "match", "case", "when", "display", "using", "use"]

  /// An assignment to what is no name: `y[0] = 0`, `layer.weight = w`, `a, b = f(x)`, `n: Int = 3`.
  mutating func refuseForeignAssignment() throws(Unwind) {
    guard atName,
      next == .symbol(.openBracket) || next == .symbol(.dot) || next == .symbol(.comma) || next == .symbol(.colon),
      let sign = assignmentOnLine()
    else { return }
    let name = text(of: token)
    if ["self", "this"].contains(name) { return }
    switch next {
    case .symbol(.comma):
      throw fail("several names are bound by one 'let'", notes: ["write 'let (a, b) = ...'"])
    case .symbol(.colon):
      throw fail(
        "a name is bound with 'let', and its type follows from the value", notes: ["write 'let \(name) = ...'"])
    case .symbol(.dot) where !tokens[(position + 1)...].prefix(3).contains(where: { $0.kind == .symbol(.openBracket) }):
      throw fail(
        "a member is not assigned", at: span(of: tokens[sign]),
        notes: ["a 'state' is written by its name alone, in its own layer: seen <- x"])
    default:
      throw fail(
        "a part of a tensor is not assigned: tensors do not change", at: span(of: tokens[sign]),
        notes: [
          "make a new one: where(iota(y.shape, axis: 0) == 0, 0, y) is y with zeros in row 0, and concat joins parts"
        ])
    }
  }

  /// The `=` or `<-` outside of brackets on the line ahead.
  private func assignmentOnLine() -> Int? {
    var depth = 0
    for index in position + 1..<tokens.count {
      if depth == 0, tokens[index].newlines > 0 || tokens[index].kind == .end { return nil }
      // `y[0] += 1`: the lexer has reported the sign.
      if depth == 0, tokens[index].kind == .invalid { return index }
      guard case .symbol(let symbol) = tokens[index].kind else { continue }
      if symbol.closer != nil { depth += 1 }
      if symbol.opener != nil { depth -= 1 }
      if depth < 0 { return nil }
      if depth == 0, symbol == .assign || symbol == .write { return index }
    }
    return nil
  }

  /// Operators that other languages write as words, with ours.
  private static let operatorWords: [String: Symbol] = ["and": .and, "or": .or, "is": .equal]

  /// The operator ahead, one of those given, which is then behind; a word for it is reported and taken for it.
  mutating func acceptOperator(_ operators: [Symbol]) -> BinaryOperator? {
    if case .symbol(let symbol) = current, operators.contains(symbol) {
      advance()
      return BinaryOperator(rawValue: symbol.rawValue)
    }
    guard current == .name, let meant = Self.operatorWords[text(of: token)], operators.contains(meant) else {
      return nil
    }
    let place = span(of: token)
    _ = fail("'\(place.text)' is written '\(meant.rawValue)'", fixIt: .init(place, meant.rawValue))
    advance()
    return BinaryOperator(rawValue: meant.rawValue)
  }

  /// Whether `not` stands before an operand, where `!` does here; `not(x)` is a call.
  var atNot: Bool {
    guard current == .name, text(of: token) == "not" else { return false }
    return switch next {
    case .name, .integer, .float, .symbol(.not): true
    case .keyword(let keyword): keyword.role == .contextual || keyword == .true || keyword == .false
    case .symbol, .string, .comment, .newline, .invalid, .end: false
    }
  }

  /// How what is meant by a form of other languages is written, where something else was expected.
  var foreignForm: String? {
    let words = [text(of: token), position > 0 ? text(of: tokens[position - 1]) : ""]
    if words[1] == "not" { return "conditions are written with '&&', '||' and '!'" }
    switch current {
    case .symbol(.at): return "a product of matrices is written 'matmul(a, b)'"
    case .symbol(.arrow): return "a value is piped by '|>'"
    case .symbol(.ellipsis): return "a range is written 'a..<b', and its end is not in it"
    case .keyword(.if): return "a choice is written 'if c { a } else { b }', in parentheses within another expression"
    case .keyword(.for): return "a list is written '[f(x) for x in items]'"
    case .keyword(.in): return "each is compared alone: x == a || x == b"
    case .string: return "a string only names a file, after 'import' or 'data'"
    case .name where ["div", "mod", "matmul"].contains(words[0]): return "'\(words[0])' is called: \(words[0])(a, b)"
    case .keyword(.then): return "a choice is written 'if c { a } else { b }'"
    case .name, .keyword, .integer, .float, .symbol, .comment, .newline, .invalid, .end: return nil
    }
  }
}
