import LTMIR

/// Puts what is read once where it is read, as long as the line stays one that people read.
struct Inliner {
  let symbols: [Builder.Symbol]
  /// The most parts of an expression with another one in it.
  private static let sizeLimit = 14

  func inlined(
    _ statements: [Builder.Statement], _ results: [Expression], keeping named: Set<SymbolID> = []
  ) -> (statements: [Builder.Statement], results: [Expression]) {
    var uses: [SymbolID: Int] = [:]
    for expression in statements.map(\.expression) + results { expression.forEachName { uses[$0, default: 0] += 1 } }
    var definitions: [SymbolID: Expression] = [:]
    var gone: Set<SymbolID> = []
    func joined(_ expression: Expression, room: Int) -> Expression {
      var left = room - expression.size
      return expression.replacing { id in
        guard uses[id] == 1, !named.contains(id), let definition = definitions[id], definition.size <= left else {
          return nil
        }
        left -= definition.size
        gone.insert(id)
        return definition
      }.simplified
    }
    var kept: [Builder.Statement] = []
    for statement in statements {
      var statement = statement
      statement.expression = joined(statement.expression, room: Self.sizeLimit)
      if statement.names.count == 1 { definitions[statement.names[0]] = statement.expression }
      kept.append(statement)
    }
    let results = results.map { joined($0, room: results.count == 1 ? Self.sizeLimit : 4) }
    return (kept.filter { !($0.names.count == 1 && gone.contains($0.names[0])) }, results)
  }
}
