import LTMIR
import LTMSupport
import LTMSyntax

// A loop over an axis of tensors becomes a `scan`. Its body is elaborated where the loop stands, on placeholders for the
// slices and for what is carried (the `var`s from outside that the body assigns); its nodes then move into the scan's
// body, and what they read from outside becomes the scan's constants.

extension Elaborator {
  /// What the loop yields, stacked along the first sequence's axis; the `var`s that it assigns have their last values.
  func scan(_ loop: Loop, _ sequences: [Along]) -> Value {
    let poison = Value(.poison, loop.span)
    guard let length = commonLength(sequences, loop), let carried = carried(loop) else { return poison }
    let leading = sequences.map { builder.leading($0.tensor, $0.axis) }
    let (outerDraws, count, key) = (draws, builder.graph.nodes.count, loopKey())
    var body = ScanBody(first: builder.graph.nodes.count, carried: carried, leading: leading)
    let (saved, names) = (pinned, frame.blocks)
    scanDepth += 1
    let placeholders = body.placeholders(&builder)
    if let key { beginLoop(key, index: placeholders[placeholders.count - 1]) }
    let results = inBlock { round(loop, carried, Array(placeholders.dropLast())) }
    body.draws = endLoop(outerDraws)
    scanDepth -= 1
    // No name keeps a value of the body, whose nodes go.
    (pinned, frame.blocks) = (saved, names)
    let yielded = (yields.last ?? nil)?.first
    var outputs: [ValueID]?
    if let results, let given = self.outputs(of: yielded, loop) { outputs = results + given }
    let taken = builder.takeBody(
      "loop", from: body.first, inputs: body.inputs(loop), values: placeholders, outputs: outputs ?? [])
    let graph = body.draws ? taken.body : taken.body.droppingLastInput
    if !body.draws { builder.removeNodes(from: count) }
    guard outputs != nil, !isExhausted else { return poison }
    return finish(loop, sequences[0], length, body, graph, taken.captures, yielded)
  }

  /// Elaborates the body once; gives what a round hands on, `nil` after an error.
  private func round(_ loop: Loop, _ carried: [Carried], _ placeholders: [ValueID]) -> [ValueID]? {
    for (item, value) in zip(carried, placeholders) { _ = frame.assign(item.name, Value(.tensor(value), loop.span)) }
    let slices = placeholders.dropFirst(carried.count).map { Value(.tensor($0), loop.values.span) }
    let item = loop.isTuple ? Value(.tuple(slices), loop.values.span) : slices[0]
    for (name, value) in bound(loop, to: item) { frame.bind(name, value) }
    if run(loop.body) != nil {
      fail("a loop over an axis of a tensor runs to its end: it has no 'return'", at: loop.span)
      return nil
    }
    return handedOn(carried, loop)
  }

  private func finish(
    _ loop: Loop, _ sequence: Along, _ length: Dim, _ body: ScanBody, _ graph: Graph, _ captures: [ValueID],
    _ yielded: Value?
  ) -> Value {
    builder.location = location(of: loop.span)
    builder.scope = scope
    let carried = body.carried
    let indices: Attributes = ["shape": .dims([length]), "axis": .int(0), "dtype": .dtype(.i32)]
    let index = body.draws ? [builder.make(.iota, [], indices)] : []
    guard !graph.outputs.isEmpty else {
      return fail("this loop changes no 'var' and yields nothing", at: loop.span)
    }
    do {
      let results = try builder.control(
        .scan, captures + carried.map(\.value) + body.leading + index,
        [
          "constants": .int(captures.count), "carried": .int(carried.count), "length": .dim(length),
          "reversed": .bool(sequence.isReversed),
        ], bodies: [graph])
      for (item, result) in zip(carried, results) { _ = frame.assign(item.name, Value(.tensor(result), loop.span)) }
      let stacked = results.dropFirst(carried.count).map {
        Value(.tensor(builder.trailing($0, sequence.axis)), loop.span)
      }
      guard let yielded else { return Value(.poison, loop.span) }
      if case .tuple = yielded.kind { return Value(.tuple(Array(stacked)), loop.span) }
      return stacked.first ?? Value(.poison, loop.span)
    } catch {
      return fail(error.message, at: loop.span)
    }
  }

  private func commonLength(_ sequences: [Along], _ loop: Loop) -> Dim? {
    let lengths = sequences.map { builder.type($0.tensor).shape[$0.axis] }
    guard loop.names.count == sequences.count else {
      fail(
        "\(loop.names.count) names for \(sequences.count) tensors that the loop runs along", at: loop.span)
      return nil
    }
    guard sequences.allSatisfy({ $0.isReversed == sequences[0].isReversed }) else {
      fail("a loop runs along all of its tensors in one direction", at: loop.values.span)
      return nil
    }
    if let other = lengths.first(where: { $0 != lengths[0] }) {
      fail(
        "a loop runs along tensors of one length, and these have \(lengths[0]) and \(other)", at: loop.values.span,
        about: [lengths[0], other])
      return nil
    }
    return lengths[0]
  }

  /// The `var`s from outside that the body assigns, as tensors; `nil` after an error.
  private func carried(_ loop: Loop) -> [Carried]? {
    var found: [Carried] = []
    for name in loop.body.assigned where !found.contains(where: { $0.name == name.text }) {
      guard let value = frame.blocks.last(where: { $0[name.text] != nil })?[name.text] else { continue }
      switch value.kind {
      case .tensor(let id): found.append(Carried(name: name.text, value: id, span: name.span))
      case .float, .integer:
        guard let id = constant(value, pin ?? .float, at: value.origin) else { return nil }
        found.append(Carried(name: name.text, value: id, span: name.span))
      case .poison: return nil
      default:
        fail(
          "'\(name.text)' is carried from one round to the next as a tensor, and this is \(describe(value))",
          at: name.span)
        return nil
      }
    }
    return found
  }

  /// The values that a round hands to the next, of the types that it took them with.
  private func handedOn(_ carried: [Carried], _ loop: Loop) -> [ValueID]? {
    var values: [ValueID] = []
    for item in carried {
      let type = builder.type(item.value)
      guard let value = frame.blocks.last(where: { $0[item.name] != nil })?[item.name], !value.isPoison,
        let operand = operands([(value, item.span)])?.first
      else { return nil }
      let next = builder.type(operand.id)
      guard next.shape == type.shape, next.dtype.isFloating == type.dtype.isFloating else {
        fail(
          "'\(item.name)' is \(Self.text(type)) before a round of the loop and \(Self.text(next)) after it",
          at: item.span, notes: ["what a loop over an axis carries keeps its type"],
          about: type.shape + next.shape)
        return nil
      }
      values.append(
        next.dtype == type.dtype
          ? operand.id : converted(operand.id, to: type.dtype, because: "'\(item.name)' is carried in \(type.dtype)"))
    }
    return values
  }

  /// The tensors that a round yields.
  private func outputs(of yielded: Value?, _ loop: Loop) -> [ValueID]? {
    guard let all = yields.last ?? nil else { return [] }
    guard all.count == 1, let yielded else {
      if !all.isEmpty || !isGeneric || generic?.speculation == 0 {
        fail(
          "a round of a loop over an axis yields once, and this one \(all.count) times", at: loop.span,
          notes: [
            all.isEmpty
              ? "end its body with what the round gives: yield h" : "several values are yielded as one: yield (a, b)"
          ])
      }
      return nil
    }
    let items: [Value] = if case .tuple(let items) = yielded.kind { items } else { [yielded] }
    guard let operands = operands(items.map { ($0, $0.origin) }) else { return nil }
    return operands.map(\.id)
  }
}

/// A `var` that a loop over an axis carries, with its value before the loop.
struct Carried {
  let name: String
  let value: ValueID
  let span: Span
}

/// Where a scan's body begins, and what stands for its inputs.
private struct ScanBody {
  /// The index of the first node of the body.
  let first: Int
  let carried: [Carried]
  /// The tensors that it runs along, that axis first.
  let leading: [ValueID]
  /// Whether it draws random numbers, and so takes the index that it runs for.
  var draws = false

  /// Appends the stand-ins for what is carried, for the slices, and last for the index.
  func placeholders(_ b: inout GraphBuilder) -> [ValueID] {
    let types =
      carried.map { b.type($0.value) }
      + leading.map { TensorType(b.type($0).dtype, Array(b.type($0).shape.dropFirst())) } + [TensorType(.i32, [])]
    return types.map { type in
      b.append(Node(.input, [], type: type, location: b.location, scope: b.scope))
    }
  }

  func inputs(_ loop: Loop) -> [String] {
    carried.map(\.name) + leading.indices.map { loop.names.indices.contains($0) ? loop.names[$0].text : "slice" }
      + ["index"]
  }
}

extension GraphBuilder {
  /// The tensor with an axis moved to the front.
  fileprivate mutating func leading(_ value: ValueID, _ axis: Int) -> ValueID {
    let others = (0..<type(value).rank).filter { $0 != axis }
    return axis == 0 ? value : make(.transpose, [value], ["permutation": .ints([axis] + others)])
  }

  /// The tensor with its first axis moved to `axis`, or to its end where it has fewer.
  fileprivate mutating func trailing(_ value: ValueID, _ axis: Int) -> ValueID {
    let rank = type(value).rank
    let place = min(axis, rank - 1)
    var order = Array(1..<rank)
    order.insert(0, at: place)
    return place == 0 ? value : make(.transpose, [value], ["permutation": .ints(order)])
  }
}

extension [Statement] {
  /// The names that the statements assign, in loops and branches too.
  fileprivate var assigned: [Identifier] {
    flatMap { statement -> [Identifier] in
      switch statement {
      case .assign(let name, let value, _): value.assigned + [name]
      case .loop(let loop): loop.values.assigned + loop.body.assigned
      case .conditional(_, let then, let otherwise, _): then.assigned + otherwise.assigned
      case .binding(let binding): binding.value.assigned
      case .write(_, _, let value, _), .writeNamed(_, _, let value, _), .yield(let value, _), .return(let value, _):
        value.assigned
      case .require: []
      }
    }
  }
}

extension Expr {
  /// The names that loops within the expression assign.
  fileprivate var assigned: [Identifier] {
    switch kind {
    case .collect(let loop): loop.values.assigned + loop.body.assigned
    case .list(let items), .tuple(let items): items.flatMap(\.assigned)
    case .comprehension(let body, variable: _, in: let range): range.assigned + body.assigned
    case .call(let callee, let arguments): callee.assigned + arguments.flatMap(\.value.assigned)
    case .member(let base, _), .index(let base, _), .unary(_, let base), .pinned(dtype: _, let base),
      .recompute(let base):
      base.assigned
    case .binary(_, let left, let right), .range(let left, let right), .pipe(let left, let right):
      left.assigned + right.assigned
    case .conditional(_, let then, let otherwise): then.assigned + otherwise.assigned
    case .integer, .float, .boolean, .string, .template, .name, .invalid: []
    }
  }
}
