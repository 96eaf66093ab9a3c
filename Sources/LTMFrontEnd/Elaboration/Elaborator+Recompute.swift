import LTMIR
import LTMSupport
import LTMSyntax

// `recompute { ... }` becomes a `checkpoint`. Its expression is elaborated where it stands; the nodes that it made then
// move into the checkpoint's body, and whatever names them afterwards names the checkpoint's results.

extension Elaborator {
  /// The value of the expression, of which the backward pass keeps nothing but what it reads from outside.
  func recompute(_ body: Expr, _ span: Span) -> Value {
    guard inGraph else {
      return fail("'recompute' stands in functions: it is about tensors, which exist only there", at: span)
    }
    let first = builder.graph.nodes.count
    let (savedPins, statesBefore) = (pinned, current)
    let value = evaluate(body)
    // The casts that were made inside go with the body.
    pinned = savedPins
    var made = MadeValues(first: first)
    made.add(value)
    for (_, tensor) in current.sorted(by: { $0.key.index < $1.key.index }) { made.add(tensor) }
    for block in frame.blocks { for (_, value) in block.sorted(by: { $0.key < $1.key }) { made.add(value) } }
    for (_, tensor) in (ruleStates?.written ?? [:]).sorted(by: { $0.key < $1.key }) { made.add(tensor) }
    if value.isPoison || isExhausted { current = statesBefore }
    guard !made.ids.isEmpty else { return value }
    let (graph, captures) = builder.takeBody("recompute", from: first, inputs: [], values: [], outputs: made.ids)
    builder.location = location(of: span)
    builder.scope = scope
    do {
      made.results = try builder.control(.checkpoint, captures, bodies: [graph])
    } catch {
      return fail(error.message, at: span)
    }
    current = current.mapValues(made.moved)
    frame.blocks = frame.blocks.map { $0.mapValues(made.moved) }
    if let written = ruleStates?.written { ruleStates?.written = written.mapValues(made.moved) }
    return made.moved(value)
  }
}

/// The tensors that a region made and that are named after it.
private struct MadeValues {
  /// The index of the region's first node.
  let first: Int
  private(set) var ids: [ValueID] = []
  /// What stands for each of them after the region.
  var results: [ValueID] = []
  private var positions: [ValueID: Int] = [:]

  init(first: Int) { self.first = first }

  mutating func add(_ id: ValueID) {
    guard id.index >= first, positions[id] == nil else { return }
    positions[id] = ids.count
    ids.append(id)
  }

  mutating func add(_ value: Value) {
    switch value.kind {
    case .tensor(let id): add(id)
    case .along(let along): add(along.tensor)
    case .list(let items), .tuple(let items): for item in items { add(item) }
    default: return
    }
  }

  func moved(_ id: ValueID) -> ValueID { positions[id].map { results[$0] } ?? id }

  func moved(_ value: Value) -> Value {
    switch value.kind {
    case .tensor(let id): return Value(.tensor(moved(id)), value.origin)
    case .along(var along):
      along.tensor = moved(along.tensor)
      return Value(.along(along), value.origin)
    case .list(let items): return Value(.list(items.map { moved($0) }), value.origin)
    case .tuple(let items): return Value(.tuple(items.map { moved($0) }), value.origin)
    default: return value
    }
  }
}
