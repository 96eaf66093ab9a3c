/// The tree as text, without places: what `--emit ast` prints, and what tests compare.
///
///     (module
///       (model Digits ((hidden Int 128))
///         (let fc1 (call Linear 64 hidden))))
public func dump(_ module: Module) -> String {
  SExpression.list([.atom("module")] + module.declarations.map(\.dumped)).text(indent: 0) + "\n"
}

/// A word, or a list in parentheses.
private indirect enum SExpression {
  case atom(String)
  case list([SExpression])

  init(_ head: String, _ rest: [SExpression] = []) { self = .list([.atom(head)] + rest) }

  /// On one line where it fits, else the words it begins with, and each of the rest on a line of its own.
  func text(indent: Int) -> String {
    guard case .list(let items) = self else { return flat }
    let line = flat
    if line.utf8.count + indent <= 100 { return line }
    let head = items.prefix { if case .atom = $0 { true } else { false } }
    let margin = "\n" + String(repeating: " ", count: indent + 2)
    let rest = items.dropFirst(head.count).map { margin + $0.text(indent: indent + 2) }
    return "(" + head.map(\.flat).joined(separator: " ") + rest.joined() + ")"
  }

  private var flat: String {
    switch self {
    case .atom(let text): text
    case .list(let items): "(" + items.map(\.flat).joined(separator: " ") + ")"
    }
  }
}

/// A string with its quotes, as it is written in a file.
private func quoted(_ text: String) -> SExpression { .atom("\"\(escaped(text))\"") }

private func escaped(_ text: String) -> String {
  var result = ""
  for character in text {
    if character == "\"" || character == "\\" { result.append("\\") }
    result.append(character)
  }
  return result
}

extension Identifier {
  fileprivate var dumped: SExpression { .atom(text) }
}

extension Declaration {
  fileprivate var dumped: SExpression {
    switch self {
    case .import(let declaration): SExpression("import", [quoted(declaration.path.value)])
    case .constant(let binding): binding.dumped
    case .function(let function): function.dumped
    case .type(let type): type.dumped
    case .train(let train): train.dumped
    case .weights(let weights): weights.dumped
    }
  }
}

extension TypeDeclaration {
  fileprivate var dumped: SExpression {
    SExpression(kind.rawValue, [name.dumped, .list(parameters.map(\.dumped))] + members.map(\.dumped))
  }
}

extension Parameter {
  fileprivate var dumped: SExpression {
    .list([name.dumped, type?.dumped ?? .atom("_")] + (defaultValue.map { [$0.dumped] } ?? []))
  }
}

extension Member {
  fileprivate var dumped: SExpression {
    switch self {
    case .binding(let binding): binding.dumped
    case .param(let member): member.dumped("param")
    case .state(let member): member.dumped("state")
    case .cache(let member): member.dumped("cache")
    case .require(let requirement): requirement.dumped
    case .function(let function): function.dumped
    case .loop(let loop): loop.dumped
    case .conditional(let condition, let then, let otherwise, _):
      SExpression(
        "if",
        [condition.dumped, SExpression("then", then.map(\.dumped)), SExpression("else", otherwise.map(\.dumped))])
    }
  }
}

extension MemberLoop {
  fileprivate var dumped: SExpression {
    let pattern = isTuple ? SExpression.list(names.map(\.dumped)) : names.first?.dumped ?? .atom("_")
    return SExpression("for", [pattern, values.dumped] + members.map(\.dumped))
  }
}

extension Requirement {
  fileprivate var dumped: SExpression { SExpression("require", [condition.dumped]) }
}

extension StorageMember {
  fileprivate func dumped(_ word: String) -> SExpression {
    let first = initializer.map { [$0.dumped] } ?? []
    return SExpression(word, [computedName?.dumped ?? name.dumped, type?.dumped ?? .atom("_")] + first)
  }
}

extension FunctionDeclaration {
  fileprivate var dumped: SExpression {
    let signature: [SExpression] = [name.dumped, .list(parameters.map(\.dumped)), .list(results.map(\.dumped))]
    return SExpression("func", signature + body.map(\.dumped))
  }
}

extension TypeExpr {
  fileprivate var dumped: SExpression {
    switch self {
    case .named(let name): name.dumped
    case .tensor(let dtype, let dims, _): SExpression("tensor", [.atom(dtype?.text ?? "_")] + dims.map(\.dumped))
    case .list(let element, _): SExpression("list-of", [element.dumped])
    case .tuple(let types, _): SExpression("tuple-of", types.map(\.dumped))
    case .function: .atom("func")
    }
  }
}

extension DimExpr {
  fileprivate var dumped: SExpression {
    switch self {
    case .ellipsis: .atom("...")
    case .expression(let expr): expr.dumped
    }
  }
}

extension Binding {
  fileprivate var dumped: SExpression {
    let pattern = isTuple ? SExpression.list(names.map(\.dumped)) : names.first?.dumped ?? .atom("_")
    return SExpression(isVariable ? "var" : "let", [computedName?.dumped ?? pattern, value.dumped])
  }
}

extension Statement {
  fileprivate var dumped: SExpression {
    switch self {
    case .binding(let binding): binding.dumped
    case .assign(let name, let value, _): SExpression("=", [name.dumped, value.dumped])
    case .write(let name, let part, let value, _): written(name.dumped, part, value)
    case .writeNamed(let name, let part, let value, _): written(name.dumped, part, value)
    case .loop(let loop): loop.dumped("for")
    case .yield(let value, _): SExpression("yield", [value.dumped])
    case .conditional(let condition, let then, let otherwise, _):
      SExpression(
        "if",
        [condition.dumped, SExpression("then", then.map(\.dumped)), SExpression("else", otherwise.map(\.dumped))])
    case .require(let requirement): requirement.dumped
    case .return(let value, _): SExpression("return", [value.dumped])
    }
  }
}

private func written(_ name: SExpression, _ part: [Subscript], _ value: Expr) -> SExpression {
  SExpression("<-", [part.isEmpty ? name : SExpression("index", [name] + part.map(\.dumped)), value.dumped])
}

extension Loop {
  fileprivate func dumped(_ word: String) -> SExpression {
    let pattern = isTuple ? SExpression.list(names.map(\.dumped)) : names.first?.dumped ?? .atom("_")
    return SExpression(word, [pattern, values.dumped] + body.map(\.dumped))
  }
}

extension Expr {
  fileprivate var dumped: SExpression {
    switch kind {
    case .integer(let value): .atom(String(value))
    case .float(let value): .atom(String(value))
    case .boolean(let value): .atom(String(value))
    case .string(let value): quoted(value)
    case .template(let parts): .atom("\"" + parts.map(\.dumped).joined() + "\"")
    case .name(let name): .atom(name)
    case .list(let elements): SExpression("list", elements.map(\.dumped))
    case .comprehension(let element, let variable, let values):
      SExpression("list-for", [element.dumped, variable.dumped, values.dumped])
    case .collect(let loop): loop.dumped("collect")
    case .tuple(let elements): SExpression("tuple", elements.map(\.dumped))
    case .call(let callee, let arguments): SExpression("call", [callee.dumped] + arguments.map(\.dumped))
    case .member(let value, let name): SExpression(".", [value.dumped, name.dumped])
    case .index(let value, let places): SExpression("index", [value.dumped] + places.map(\.dumped))
    case .unary(let operation, let value): SExpression(operation.rawValue, [value.dumped])
    case .binary(let operation, let left, let right): SExpression(operation.rawValue, [left.dumped, right.dumped])
    case .range(let low, let high): SExpression("..<", [low.dumped, high.dumped])
    case .pipe(let value, let stage): SExpression("|>", [value.dumped, stage.dumped])
    case .conditional(let condition, let then, let otherwise):
      SExpression("if", [condition.dumped, then.dumped, otherwise.dumped])
    case .pinned(let dtype, let value): SExpression("@" + dtype.text, [value.dumped])
    case .recompute(let value): SExpression("recompute", [value.dumped])
    case .invalid: SExpression("invalid")
    }
  }
}

extension TemplatePart {
  fileprivate var dumped: String {
    switch self {
    case .text(let text): escaped(text)
    case .name(let name): "\\(\(name.text))"
    }
  }
}

extension Argument {
  fileprivate var dumped: SExpression {
    guard let name else { return value.dumped }
    return SExpression(name.text + ":", [value.dumped])
  }
}

extension Subscript {
  fileprivate var dumped: SExpression {
    switch self {
    case .ellipsis: .atom("...")
    case .index(let value): value.dumped
    case .slice(let low, let high, let step, _):
      SExpression("..<", [low?.dumped ?? .atom("_"), high?.dumped ?? .atom("_")] + (step.map { [$0.dumped] } ?? []))
    }
  }
}

extension TrainDeclaration {
  fileprivate var dumped: SExpression {
    SExpression("train", [SExpression(model.text, arguments.map(\.dumped))] + items.map(\.dumped))
  }
}

extension WeightsDeclaration {
  fileprivate var dumped: SExpression { SExpression("weights", [model.dumped] + lines.map(\.dumped)) }
}

extension WeightLine {
  fileprivate var dumped: SExpression {
    func names(_ all: [StringLiteral]) -> SExpression {
      all.count == 1 ? quoted(all[0].value) : .list(all.map { quoted($0.value) })
    }
    switch self {
    case .map(let from, let to, let isTransposed, _):
      return SExpression("->", [names(from), names(to)] + (isTransposed ? [.atom("transposed")] : []))
    case .ignore(let path, _): return SExpression("ignore", [quoted(path.value)])
    }
  }
}

extension TrainItem {
  fileprivate var dumped: SExpression {
    switch self {
    case .data(let path, let fields, _):
      SExpression("data", [quoted(path.value)] + fields.map { .list([$0.parameter.dumped, $0.key.dumped]) })
    case .minimize(let loss, _):
      SExpression("minimize", [loss.name.dumped] + loss.paths.map { quoted($0.value) } + loss.items.map(\.dumped))
    case .report(let names, _): SExpression("report", names.map(\.dumped))
    case .optimizer(let name, let arguments, _): SExpression("optimizer", [name.dumped] + arguments.map(\.dumped))
    case .schedule(let rules, _): SExpression("schedule", rules.count == 1 ? rules[0].parts : rules.map(\.dumped))
    case .clip(let rule, _): SExpression("clip", rule.parts)
    case .average(let rule, _): SExpression("average", rule.parts)
    case .group(let pattern, let arguments, _): SExpression("group", [quoted(pattern.value)] + arguments.map(\.dumped))
    case .freeze(let pattern, _): SExpression("freeze", [quoted(pattern.value)])
    case .setting(let name, let value, _), .option(let name, let value, _): SExpression(name.text, [value.dumped])
    }
  }
}

extension UsedRule {
  fileprivate var parts: [SExpression] { [name.dumped] + arguments.map(\.dumped) }
  fileprivate var dumped: SExpression { .list(parts) }
}
