import LTMSupport
import LTMSyntax

extension Resolver {
  // MARK: Statements

  mutating func resolve(_ body: [Statement]) {
    var ended = false
    for statement in body {
      if ended {
        diagnostics.add(Diagnostic(.warning, "this is never run: the code above it has returned", at: statement.span))
        ended = false
      }
      resolve(statement)
      if alwaysReturns(statement) { ended = true }
    }
  }

  private mutating func resolve(_ statement: Statement) {
    switch statement {
    case .binding(let binding):
      resolve(binding.value)
      for name in binding.names { define(name, binding.isVariable ? .variable : .constant, what: "name") }
    case .assign(let name, let value, _):
      resolve(value)
      requireVariable(name)
    case .write(let name, let part, let value, _):
      resolve(value)
      for item in part { resolve(item) }
      requireWritable(name, inPart: !part.isEmpty)
    case .writeNamed(let name, let part, let value, _):
      resolve(value)
      for item in part { resolve(item) }
      resolve(name)
    case .loop(let loop): resolve(loop)
    case .yield(let value, _): resolve(value)
    case .conditional(let condition, let then, let otherwise, _):
      resolve(condition)
      inScope { $0.resolve(then) }
      inScope { $0.resolve(otherwise) }
    case .require(let requirement): resolve(requirement.condition)
    case .return(let value, _): resolve(value)
    }
  }

  private mutating func resolve(_ loop: Loop) {
    resolve(loop.values)
    inScope { resolver in
      for name in loop.names { resolver.define(name, .constant, what: "name") }
      resolver.resolve(loop.body)
    }
  }

  private mutating func inScope(_ body: (inout Resolver) -> Void) {
    scopes.append([:])
    body(&self)
    scopes.removeLast()
  }

  private mutating func requireVariable(_ name: Identifier) {
    switch local(name.text) {
    case .variable: return
    case .state, .cache:
      let word = local(name.text) == .cache ? "cache" : "state"
      diagnostics.add(Diagnostic("the \(word) '\(name.text)' is written with '<-'", at: name.span))
    case .constant, .dimension, .function:
      diagnostics.add(
        Diagnostic(
          "'\(name.text)' cannot be assigned", at: name.span, notes: ["declare it with 'var' to assign it again"]))
    case nil:
      let isNew = !isKnown(name.text)
      requireKnown(name.text, name.span, notes: ["a new name is bound with 'let \(name.text) = ...'"])
      // Said once: what follows reads it.
      if isNew { define(name, .variable, what: "name") }
    }
  }

  private mutating func requireWritable(_ name: Identifier, inPart: Bool) {
    switch local(name.text) {
    case .state where inPart:
      diagnostics.add(
        Diagnostic(
          "the state '\(name.text)' is written as a whole", at: name.span,
          notes: ["only a 'cache' is written in part"]))
    case .state, .cache: return
    case .variable:
      diagnostics.add(Diagnostic("the 'var' '\(name.text)' is written with '='", at: name.span))
    case .constant, .dimension, .function:
      diagnostics.add(
        Diagnostic(
          "'\(name.text)' is not a state", at: name.span,
          notes: ["'<-' writes a 'state' or a 'cache' of the same layer"]))
    case nil: requireKnown(name.text, name.span)
    }
  }

  mutating func requireReturn(_ function: FunctionDeclaration) {
    guard !function.body.contains(where: alwaysReturns) else { return }
    diagnostics.add(
      Diagnostic(
        "'\(function.name.text)' can end without a 'return'", at: function.name.span,
        notes: ["every function ends in 'return', on both sides of an 'if'"]))
  }

  private func alwaysReturns(_ statement: Statement) -> Bool {
    switch statement {
    case .return: true
    case .conditional(_, let then, let otherwise, _):
      then.contains(where: alwaysReturns) && otherwise.contains(where: alwaysReturns)
    case .binding, .assign, .write, .writeNamed, .loop, .yield, .require: false
    }
  }

  // MARK: Expressions

  mutating func resolve(_ expr: Expr) {
    switch expr.kind {
    case .integer, .float, .boolean, .string, .invalid: return
    case .name(let name): requireKnown(name, expr.span)
    case .template(let parts):
      for case .name(let name) in parts { requireKnown(name.text, name.span) }
    case .list(let items), .tuple(let items): for item in items { resolve(item) }
    case .comprehension(let body, let variable, in: let range):
      resolve(range)
      inScope { resolver in
        resolver.define(variable, .constant, what: "name")
        resolver.resolve(body)
      }
    case .collect(let loop): resolve(loop)
    case .call(let callee, let arguments):
      resolve(callee)
      for argument in arguments { resolve(argument.value) }
    case .member(let base, _): resolve(base)
    case .index(let base, let subscripts):
      resolve(base)
      for item in subscripts { resolve(item) }
    case .unary(_, let operand): resolve(operand)
    case .binary(_, let left, let right), .range(let left, let right), .pipe(let left, let right):
      resolve(left)
      resolve(right)
    case .conditional(let condition, then: let then, otherwise: let otherwise):
      resolve(condition)
      resolve(then)
      resolve(otherwise)
    case .pinned(_, let body), .recompute(let body): resolve(body)
    }
  }

  private mutating func resolve(_ item: Subscript) {
    switch item {
    case .ellipsis: return
    case .index(let expr): resolve(expr)
    case .slice(let low, let high, let step, _):
      if let low { resolve(low) }
      if let high { resolve(high) }
      if let step { resolve(step) }
    }
  }
}
