import LTMIR
import LTMSupport
import LTMSyntax

/// Code that no model uses is checked as it stands: an `Int` that has no value yet is a symbol, everything else that is
/// not known is poison. What such an `Int` decides is no mistake; what it may decide is a warning.
struct Generic {
  /// The Ints without a value.
  var unknowns: Set<String> = []
  /// Inside a branch or a loop that may not run.
  var speculation = 0
  /// What `...` was taken to be, for messages.
  var ellipsis: [Dim]?
}

extension Elaborator {
  var isGeneric: Bool { generic != nil }

  func isUnknown(_ dim: Dim) -> Bool {
    guard let generic, !generic.unknowns.isEmpty else { return false }
    return !dim.symbols.isDisjoint(with: generic.unknowns)
  }

  /// Whether an `Int` without a value is in it.
  func isUnknown(_ value: Value) -> Bool {
    guard isGeneric else { return false }
    return switch value.kind {
    case .integer(let dim): isUnknown(dim)
    case .list(let items), .tuple(let items): items.contains { $0.isPoison || isUnknown($0) }
    default: false
    }
  }

  /// Runs what needs the numbers themselves: where one has no value yet, a failure says nothing.
  func needing(_ values: [Value], _ body: () -> Value) -> Value {
    guard values.contains(where: isUnknown) else { return body() }
    let kept = (diagnostics, reported)
    let value = body()
    if value.isPoison, !isExhausted { (diagnostics, reported) = kept }
    return value
  }

  /// The message as generic code gives it: sizes that Ints without a value decide may yet agree. `nil` where the code may
  /// be one that never runs with such Ints.
  func softened(_ diagnostic: Diagnostic, about dims: [Dim]) -> Diagnostic? {
    guard let generic else { return diagnostic }
    var result = diagnostic
    let unknowns = Set(dims.flatMap(\.symbols)).intersection(generic.unknowns).sorted()
    if !unknowns.isEmpty {
      if generic.speculation > 0 { return nil }
      result.severity = .warning
      let names = unknowns.map { "'\($0)'" }.joined(separator: " and ")
      result.notes.append("this is right only where \(names) \(unknowns.count == 1 ? "makes" : "make") them agree")
    }
    if let ellipsis = generic.ellipsis, let first = ellipsis.first?.symbol, diagnostic.message.contains(first) {
      result.notes.append("checked with '...' as \(Self.text(ellipsis))")
    }
    return result
  }

  // MARK: Branches

  /// Both sides of an `if` whose condition is not known; what they assign is not known either.
  func either(_ then: [Statement], _ otherwise: [Statement]) -> Value? {
    let results = [then, otherwise].map { body in speculate { inBlock { run(body) } } }
    forget(then + otherwise)
    guard let span = results[0]?.origin, results[1] != nil else { return nil }
    return Value(.poison, span)
  }

  /// One round of a loop whose range is not known.
  func perhaps(_ names: [Identifier], _ body: [Statement]) {
    speculate {
      inBlock {
        for name in names { frame.bind(name.text, Value(.poison, name.span)) }
        _ = run(body)
      }
    }
    forget(body)
  }

  /// Runs code that may not run: what it changes is taken back.
  @discardableResult
  func speculate<T>(_ body: () -> T) -> T {
    let saved = (frame.blocks, current)
    generic?.speculation += 1
    defer {
      generic?.speculation -= 1
      (frame.blocks, current) = saved
    }
    return body()
  }

  private func forget(_ statements: [Statement]) {
    for statement in statements {
      switch statement {
      case .assign(let name, _, let span): _ = frame.assign(name.text, Value(.poison, span))
      case .loop(let loop): forget(loop.body)
      case .conditional(_, let then, let otherwise, _): forget(then + otherwise)
      case .binding, .write, .writeNamed, .require, .yield, .return: continue
      }
    }
  }

  // MARK: Functions

  /// Elaborates a function on arguments that stand for any.
  func elaborateGenerically(_ function: FunctionValue, storages: [StorageID]) {
    begin(function.declaration.name.text)
    defineStorages(storages)
    let declaration = function.declaration
    defineDraws([], at: declaration.name.span)
    let frame = Frame(
      name: title(function), module: function.module, owner: function.owner, function: declaration.span)
    within(frame) {
      self.frame.ellipsis = generic?.ellipsis
      for parameter in declaration.parameters { defineSymbols(parameter.type) }
      // The types of tensors may name the others.
      let (tensors, others) = declaration.parameters.partitioned { $0.type?.isTensor ?? false }
      for parameter in others + tensors { self.frame.bind(parameter.name.text, anyValue(of: parameter)) }
      let value = run(declaration.body) ?? missingReturn(declaration)
      _ = checkResult(value, declaration, at: declaration.name.span)
    }
  }

  /// What stands for any argument of a parameter: its default where it has one.
  func anyValue(of parameter: Parameter) -> Value {
    let poison = Value(.poison, parameter.span)
    if let value = parameter.defaultValue, !(parameter.type?.isTensor ?? false) {
      return compileTime(evaluate(value), parameter, value.span, allowsSymbols: true) ?? poison
    }
    return anyValue(parameter.type, parameter.name.text, parameter.span)
  }

  private func anyValue(_ type: TypeExpr?, _ name: String, _ span: Span) -> Value {
    let poison = Value(.poison, span)
    switch type {
    case .tensor?:
      guard let tensor = tensorType(type) else { return poison }
      builder.location = Location(span)
      return Value(.tensor(builder.input(name, tensor, role: .argument)), span)
    case .named(let known)?:
      switch known.text {
      case "Int":
        generic?.unknowns.insert(name)
        return Value(.integer(Dim(symbol: name)), span)
      case "Float": return Value(.float(0.5), span)
      case "Bool": return Value(.boolean(training), span)
      default: return poison
      }
    case .tuple(let types, _)?:
      return Value(.tuple(types.enumerated().map { anyValue($1, "\(name).\($0)", span) }), span)
    case .list?, .function?, nil: return poison
    }
  }
}

extension Array {
  /// Those for which `condition` holds, and the others.
  fileprivate func partitioned(_ condition: (Element) -> Bool) -> ([Element], [Element]) {
    (filter(condition), filter { !condition($0) })
  }
}
