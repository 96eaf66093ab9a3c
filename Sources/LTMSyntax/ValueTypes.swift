import LTMSupport

/// How the types of lists and tuples are written.
package let listTypeForms = "a list is declared [Int], a tuple (Int, Int), a function func"

extension TypeExpr {
  /// The names of types whose values are known when the code is elaborated.
  package static let valueTypes: Set<String> = ["Int", "Float", "Bool", "String", "Layer", "DType", "Padding"]

  /// What stands in the brackets of `[Int]`, `[(Int, Int)]` or `[[Int]]`, read as a dimension; `nil` where it is one.
  init?(_ dim: Expr) {
    switch dim.kind {
    case .name(let name) where Self.valueTypes.contains(name): self = .named(Identifier(name, dim.span))
    case .tuple(let items):
      let types = items.compactMap { TypeExpr($0) }
      guard types.count == items.count else { return nil }
      self = .tuple(types, dim.span)
    case .list(let items):
      guard items.count == 1, let element = TypeExpr(items[0]) else { return nil }
      self = .list(element, dim.span)
    default: return nil
    }
  }
}
