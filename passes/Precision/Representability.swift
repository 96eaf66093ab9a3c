import LTMIR
import LTMSupport

/// Constants that a dtype cannot hold, in a graph after casts: an error where one overflows, unless it was written as an
/// infinity; a warning where one that is not zero becomes zero.
package func representability(of graph: Graph) -> [Diagnostic] {
  constants(of: graph).compactMap { finding($0, in: graph[$0.value].type.dtype, owner: nil) }
}

/// The constants of an optimizer that meet its weights and state, against the dtype that those are kept in.
package func representability(of graph: Graph, in dtype: DType, owner: OptimizerTemplate) -> [Diagnostic] {
  let users = graph.users()
  let isScalar = graph.input("weight").map { graph[$0.value].type.rank == 0 } ?? false
  return constants(of: graph).compactMap { constant in
    let meetsTensor = isScalar || users[constant.value.index].contains { graph[$0].type.rank > 0 }
    let isUndecided = graph[constant.value].type.dtype == .float
    return meetsTensor && isUndecided ? finding(constant, in: dtype, owner: owner) : nil
  }
}

/// The first values of an optimizer's states, likewise.
package func representability(
  of states: [RuleState], in weights: DType, owner: OptimizerTemplate
) -> [Diagnostic] {
  states.compactMap { state in
    let dtype = state.type.dtype == .float ? weights : state.type.dtype
    guard case .initializer(.constant(let number)) = state.initial, !dtype.holds(number) else { return nil }
    return Diagnostic(
      .error, "\(owner.name): \(plain(number)), the first value of '\(state.name)', is infinite in \(dtype)",
      at: owner.span)
  }
}

/// A number in a graph, and the op that it goes into.
private struct Constant {
  let value: ValueID
  let number: Double
  let reader: Op?
  let location: Location?
}

private func constants(of graph: Graph) -> [Constant] {
  let users = graph.users()
  return graph.values.compactMap { value in
    let node = graph[value]
    guard node.type.dtype.isFloating else { return nil }
    // What a pad fills with is a constant of the pad itself.
    guard node.op == .constant || node.op == .pad, let number = node.attributes.float("value") else { return nil }
    let reader = node.op == .constant ? reader(of: value, graph, users) : node.op
    return Constant(value: value, number: number, reader: reader, location: node.location)
  }
}

/// The first op that reads a value, seen through broadcasts.
private func reader(of value: ValueID, _ graph: Graph, _ users: [[ValueID]]) -> Op? {
  var current = value
  while let user = users[current.index].first {
    guard graph[user].op == .broadcast else { return graph[user].op }
    current = user
  }
  return nil
}

private func finding(_ constant: Constant, in dtype: DType, owner: OptimizerTemplate?) -> Diagnostic? {
  let rounded = dtype.round(constant.number)
  let subject = (owner.map { "\($0.name): " } ?? "") + "\(plain(constant.number))"
  let place = constant.reader.map { " (an operand of \($0.name))" } ?? ""
  var diagnostic: Diagnostic
  if constant.number.isFinite, rounded.isInfinite {
    diagnostic = Diagnostic(
      .error, "\(subject)\(place) is infinite in \(dtype), whose largest number is \(plain(dtype.greatestFinite))",
      notes: ["write inf or -inf where an infinity is meant, as in a mask, or compute this part in @f32 { ... }"])
  } else if constant.number != 0, rounded == 0 {
    diagnostic = Diagnostic(
      .warning, "\(subject)\(place) is 0 in \(dtype), whose smallest positive number is \(dtype.format.leastPositive)",
      notes: [
        owner == nil
          ? "use a larger constant, or compute this part in @f32 { ... }"
          : "the optimizer keeps weights and state in \(dtype): what this constant guards is lost where they underflow; "
            + "use a larger one, master weights (O2), or bf16"
      ])
  } else {
    return nil
  }
  diagnostic.place(at: owner?.span, constant.location)
  return diagnostic
}

extension Diagnostic {
  /// Points at the user's own line where there is one; the op's place, in the prelude say, is then a note.
  mutating func place(at span: Span?, _ location: Location?) {
    self.span = span
    self.location = location
    guard let span, let location, Location(span) != location else { return }
    notes.insert("it stands at \(location)", at: 0)
  }
}
