import LTMFrontEnd
import LTMIR
import LTMSupport

/// What generation calls of a model: an entry `func next(text: i32[B, T], position: i32[B], last: i32[B]) -> [B, vocab]`. Each row
/// of `text` goes on at its position; the result has the scores behind the place `last` of each row.
struct GenerationEntry {
  /// Names of parameters: tokens, positions, and the place whose scores are wanted.
  let tokens: String
  let position: String
  let last: String
  let result: String
  /// The symbols of rows and of places.
  let rows: String
  let places: String
  /// How many tokens there are.
  let vocabulary: Int
  /// How many places a text has; `nil` where there is no end.
  let context: Int?
  /// The shortest ring that is written; `nil` where there is none.
  let ring: Int?
  let graph: Graph

  static let form = "func next(text: i32[B, T], position: i32[B], last: i32[B]) -> [B, vocab]"

  init(_ model: Model, _ name: String) throws(LTMError) {
    let program = model.program
    guard let entry = program.entry(name) else {
      throw LTMError(
        "the model '\(model.name)' has no entry '\(name)', which generation calls",
        notes: ["it is \(Self.form)", "the entries are \(listed(model.entries))"])
    }
    func refuse(_ reason: String) -> LTMError {
      LTMError(
        "'\(name)' of '\(model.name)' is no entry that generation can call: \(reason)", notes: ["it is \(Self.form)"])
    }
    guard entry.parameters.count == 3, entry.parameters.allSatisfy({ $0.type.dtype == .i32 }) else {
      throw refuse("it takes tokens, positions and places, i32")
    }
    let types = entry.parameters.map(\.type.shape)
    guard types[0].count == 2, let rows = types[0][0].symbol, let places = types[0][1].symbol, rows != places else {
      throw refuse("its first parameter is i32[B, T], with sizes that calls decide")
    }
    guard types[1] == [types[0][0]], types[2] == [types[0][0]] else {
      throw refuse("its second and third parameters are i32[\(rows)]")
    }
    guard entry.results.count == 1, let scores = entry.results.first, scores.rank == 2, scores.shape[0] == types[0][0],
      scores.dtype.isFloating, let vocabulary = scores.shape[1].constant
    else { throw refuse("it gives the scores of all tokens, [\(rows), vocab]") }
    let graph = try model.graph(name, training: false)
    guard let result = graph.outputs.first(where: { $0.updates == nil })?.name,
      graph.outputs.contains(where: { output in output.updates.flatMap { graph.input($0) }?.role == .cache })
    else { throw refuse("it writes no 'cache', and would forget what it has read") }
    (tokens, position, last) = (entry.parameters[0].name, entry.parameters[1].name, entry.parameters[2].name)
    (self.rows, self.places, self.vocabulary, self.result) = (rows, places, vocabulary, result)
    self.graph = graph
    context = graph.leastWrittenSize(wraps: false)
    ring = graph.leastWrittenSize(wraps: true)
  }
}

extension Graph {
  /// The shortest axis that is written in part, around its end or up to it; `nil` where there is none.
  fileprivate func leastWrittenSize(wraps: Bool) -> Int? {
    nodes.compactMap { node in
      guard node.op == .writeAt, node.attributes.bool("wraps") == wraps, let axis = node.attributes.int("axis") else {
        return nil
      }
      return node.type.shape[axis].constant
    }.min()
  }
}
