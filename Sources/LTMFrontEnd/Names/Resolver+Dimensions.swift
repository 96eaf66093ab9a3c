import LTMSupport
import LTMSyntax

extension Resolver {
  /// What a type is declared for, which decides the names that its dimensions may use.
  enum TypeOwner { case parameter, result, storage }

  /// Resolves the names of one dimension.
  mutating func resolveDimension(_ expr: Expr, of owner: TypeOwner) {
    if case .name(let name) = expr.kind, isElementType(name) { return refuseList(of: name, expr.span) }
    for (name, span) in expr.symbols where !isKnown(name) { reportUnbound(name, span, owner) }
    resolveKnown(expr, owner)
  }

  /// `[Int]`: a list, where a shape was read.
  private func isElementType(_ name: String) -> Bool {
    if Names.types.contains(name) || ["int", "float", "bool", "str"].contains(name) { return local(name) == nil }
    if local(name) != nil { return false }
    guard case .type? = file.declaration(name, in: module)?.declaration else { return false }
    return true
  }

  private mutating func refuseList(of name: String, _ span: Span) {
    diagnostics.add(
      Diagnostic(
        "there are no parameters of list type, and '\(name)' is no dimension", at: span, notes: [listParameterRemedy]))
  }

  /// A symbol that no parameter binds.
  private mutating func reportUnbound(_ name: String, _ span: Span, _ owner: TypeOwner) {
    let bound = scopes.flatMap { scope in scope.filter { $0.value == .dimension }.keys }
    let near = bound.isEmpty ? nil : nearest(name, among: bound)
    let fix = near.map { Diagnostic.FixIt(span, $0) }
    switch owner {
    case .parameter:
      diagnostics.add(
        Diagnostic(
          "nothing binds '\(name)': it is no whole dimension of a parameter", at: span,
          notes: ["give this dimension a name of its own, as in [B, S], and compute with it: S - 1, 2 * S"], fixIt: fix)
      )
      // Said once.
      scopes[scopes.count - 1][name] = .dimension
    case .result:
      let known = bound.isEmpty ? "" : "; those of the parameters are \(bound.sorted().joined(separator: ", "))"
      diagnostics.add(
        Diagnostic(
          "no parameter has a dimension '\(name)'", at: span,
          notes: [
            "a result's dimensions are numbers, Ints in scope, the parameters' dimensions, and arithmetic on them\(known)"
          ],
          fixIt: fix))
    case .storage:
      requireKnown(name, span, notes: ["the sizes of a parameter or a state are Ints in scope"])
    }
  }

  /// The names that are no symbols, or are known ones.
  private mutating func resolveKnown(_ expr: Expr, _ owner: TypeOwner) {
    switch expr.kind {
    case .name(let name):
      if Names.isSymbol(name), !isKnown(name) { return }
      let note =
        owner == .storage
        ? "the sizes of a parameter or a state are Ints in scope"
        : "a dimension is a name that begins with a capital letter, or an Int in scope"
      requireKnown(name, expr.span, notes: [note])
    case .unary(_, let operand): resolveKnown(operand, owner)
    case .binary(_, let left, let right):
      resolveKnown(left, owner)
      resolveKnown(right, owner)
    case _: resolve(expr)
    }
  }
}

extension Expr {
  /// The capitalised names in arithmetic, with their places.
  fileprivate var symbols: [(name: String, span: Span)] {
    switch kind {
    case .name(let name): Names.isSymbol(name) ? [(name, span)] : []
    case .unary(_, let operand): operand.symbols
    case .binary(_, let left, let right): left.symbols + right.symbols
    case _: []
    }
  }
}
