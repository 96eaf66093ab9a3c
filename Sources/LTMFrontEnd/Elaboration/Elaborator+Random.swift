import LTMIR
import LTMSupport
import LTMSyntax

// Random numbers: each call that draws gets a key of its own, told from the others by the layer that it stands in and by how
// many calls there came before it, here, before any pass can move it. In a loop over an axis the key holds the index too.

/// What calls that draw make their keys of.
struct DrawContext {
  /// The key of the entry, or of the loop that runs.
  var key: ValueID
  /// The index of the loop over an axis that runs, an i32.
  var index: ValueID?
  /// The dimensions that count the batch's rows.
  let rows: Set<String>
  /// Whether any call has drawn.
  var isUsed = false
  /// How many calls have drawn in each layer, by its path.
  var counts: [String: Int] = [:]
  /// How many loops have run inside of others.
  var loops = 0
}

extension Elaborator {
  /// A call of an op that draws random numbers. One that trains only is, in evaluation, its operand.
  func draw(_ call: OpCall) -> Value {
    var call = call
    let span = call.span
    guard draws != nil else {
      return fail(
        "'\(call.op.name)' draws random numbers, which optimizers and schedules cannot", at: span,
        notes: ["the functions of models and layers can"])
    }
    if call.attributes.dtype("dtype") == .float, let pin { call.attributes["dtype"] = .dtype(pin) }
    if let rows = rowAxis(of: call) { call.attributes["rows"] = .int(rows) }
    builder.location = location(of: span)
    builder.scope = scope
    let (count, saved) = (builder.graph.nodes.count, (draws, pinned))
    guard let key = nextKey() else { return Value(.poison, span) }
    let result = apply(call.op, call.operands + [Operand(key, span)], call.attributes, at: span)
    guard call.op.definition.isTrainingOnly, !training, case .tensor = result.kind, let x = call.operands.first else {
      return result
    }
    // It was applied for the sake of its messages.
    builder.removeNodes(from: count)
    (draws, pinned) = saved
    return Value(.tensor(x.id), span)
  }

  /// A key that no other call has.
  private func nextKey() -> ValueID? {
    let path = layerPath
    guard let count = draws?.counts[path, default: 0] else { return nil }
    draws?.counts[path] = count + 1
    return key(of: "\(path)#\(count)")
  }

  /// A key for a name, made of that of the entry or the loop.
  private func key(of name: String) -> ValueID? {
    draws?.isUsed = true
    guard let context = draws else { return nil }
    let stream = Int(truncatingIfNeeded: stableHash(name) & UInt64(Int.max))
    return builder.make(.foldKey, [context.key] + [context.index].compactMap(\.self), ["stream": .int(stream)])
  }

  /// The path of the innermost layer whose code runs, be it through functions.
  private var layerPath: String { frames.reversed().lazy.compactMap(\.owner).first.flatMap { world[$0].path } ?? "" }

  private func rowAxis(of call: OpCall) -> Int? {
    guard let rows = draws?.rows else { return nil }
    let shape = call.operands.first.map { builder.type($0.id).shape } ?? call.attributes.dims("shape") ?? []
    return shape.firstIndex { !rows.isDisjoint(with: $0.symbols) }
  }

  // MARK: Entries and loops

  /// Adds what an entry's keys are made of: the seed and the number of the attempt.
  func defineDraws(_ parameters: [TensorType], at span: Span) {
    builder.location = Location(span)
    let seed = builder.input(Graph.seed, TensorType(.i32, [4]), role: .control)
    let attempt = builder.input(Graph.attempt, TensorType(.i32, []), role: .control)
    draws = DrawContext(
      key: builder.make(.foldKey, [seed, attempt]), rows: Set(parameters.compactMap { $0.shape.first?.symbol }))
  }

  /// Before a loop over an axis: the key that its body draws with. Where a loop runs already, it is one for that one's index,
  /// and the last node of the graph.
  func loopKey() -> ValueID? {
    guard let outer = draws, outer.index != nil else { return draws?.key }
    let isUsed = outer.isUsed
    draws?.loops += 1
    defer { draws?.isUsed = isUsed }
    return key(of: "\(layerPath)#loop\(outer.loops)")
  }

  /// Draws with that key and an index of the loop from here on.
  func beginLoop(_ key: ValueID, index: ValueID) {
    draws?.key = key
    draws?.index = index
    draws?.isUsed = false
  }

  /// Draws as before again; whether the loop drew.
  func endLoop(_ outer: DrawContext?) -> Bool {
    guard let inner = draws, var outer else { return false }
    (outer.counts, outer.loops) = (inner.counts, inner.loops)
    if inner.isUsed { outer.isUsed = true }
    draws = outer
    return inner.isUsed
  }
}
