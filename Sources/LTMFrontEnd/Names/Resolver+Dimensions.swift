import LTMSupport
import LTMSyntax

extension Resolver {
  /// What a type is declared for, which decides the names that its dimensions may use.
  enum TypeOwner { case parameter, result, storage, cache }

  /// Resolves the names of one dimension.
  mutating func resolveDimension(_ expr: Expr, of owner: TypeOwner) {
    if case .name(let name) = expr.kind, isElementType(name) { return refuseList(of: name, expr.span) }
    if owner == .result, case .name(let name) = expr.kind, isNewResult(name) {
      scopes[scopes.count - 1][name] = .dimension
      return
    }
    // A cache has the sizes of the call that it serves.
    for (name, span) in expr.symbols where !isKnown(name) && owner != .cache { reportUnbound(name, span, owner) }
    resolveKnown(expr, owner)
  }

  /// `[Int]`: a list, where a shape was read.
  private func isElementType(_ name: String) -> Bool {
    if Self.typeNames[name] != nil { return local(name) == nil }
    if local(name) != nil { return false }
    guard case .type? = file.declaration(name, in: module)?.declaration else { return false }
    return true
  }

  private mutating func refuseList(of name: String, _ span: Span) {
    let meant = Self.typeNames[name]
    diagnostics.add(
      Diagnostic(
        "'\(name)' is no dimension", at: span,
        notes: [meant == nil ? "a list of layers is declared [Layer]" : listTypeForms],
        fixIt: .init(span, meant ?? "Layer")))
  }

  /// What other languages call the types of values that are known at compile time.
  private static let typeNames = [
    "int": "Int", "Integer": "Int", "float": "Float", "Double": "Float", "bool": "Bool", "Boolean": "Bool",
    "str": "String", "string": "String", "Str": "String", "Callable": "func", "Function": "func",
  ]

  /// Whether a name alone in a result's type is a new one, which the body binds; one that is spelt nearly like a
  /// parameter's dimension is a mistake.
  private func isNewResult(_ name: String) -> Bool {
    guard Names.isSymbol(name), !isKnown(name) else { return false }
    let bound = scopes.flatMap { scope in scope.filter { $0.value == .dimension }.keys }
    return bound.isEmpty || name.count == 1 || nearest(name, among: bound) == nil
  }

  /// Adds the names that arithmetic in a signature binds: `[B, 2 * T]` tells what T is, where nothing else does.
  mutating func declareSolved(_ type: TypeExpr) {
    guard case .tensor(_, let dims, _) = type else { return }
    for case .expression(let expr) in dims {
      let unknown = expr.symbols.filter { !isKnown($0.name) }
      guard unknown.count == 1, let name = unknown.first?.name, expr.isLinear(in: name) else { continue }
      scopes[scopes.count - 1][name] = .dimension
    }
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
          notes: [
            "a dimension binds one name, alone or as in 2 * T + 1; give this one a name of its own, as in [B, S]"
          ],
          fixIt: fix)
      )
      // Said once.
      scopes[scopes.count - 1][name] = .dimension
    case .result:
      let known = bound.isEmpty ? "" : "; those of the parameters are \(bound.sorted().joined(separator: ", "))"
      diagnostics.add(
        Diagnostic(
          "no parameter has a dimension '\(name)'", at: span,
          notes: [
            "a result's dimensions are numbers, Ints in scope, the parameters' dimensions, arithmetic on them, and new names that stand alone\(known)"
          ],
          fixIt: fix))
    case .storage, .cache:
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
  /// Whether a name occurs once, where sums and products alone lead to it.
  fileprivate func isLinear(in symbol: String) -> Bool {
    switch kind {
    case .name(let name): name == symbol
    case .unary(.negate, let operand): operand.isLinear(in: symbol)
    case .binary(.add, let left, let right), .binary(.subtract, let left, let right),
      .binary(.multiply, let left, let right):
      left.isLinear(in: symbol) || right.isLinear(in: symbol)
    case _: false
    }
  }

  /// The capitalised names in arithmetic, with their places.
  var symbols: [(name: String, span: Span)] {
    switch kind {
    case .name(let name): Names.isSymbol(name) ? [(name, span)] : []
    case .unary(_, let operand): operand.symbols
    case .binary(_, let left, let right): left.symbols + right.symbols
    case _: []
    }
  }
}
