import LTMIR
import LTMSupport

// The same bits on any number of ranks, micro-batches and threads: a window of batches is cut into a fixed number of parts, each
// goes through forward and backward pass by itself, always as the same kernels on as many rows, and what the parts give is added
// up in one fixed tree over the window's rows, whatever rank holds them. Each rank has a subtree of it; the ranks join those.

extension StepBuilder {
  /// Puts what was built so far, the loss and its gradients, into a body that each part of the window calls.
  mutating func joinParts(_ parts: Int) throws(DiagnosticSet) {
    if let state = stateUpdates.first?.updates {
      throw DiagnosticSet([
        Diagnostic(
          .error,
          "'\(state)' is made of the rows of a batch, which no part of it has: the same bits cannot be promised",
          notes: ["leave out --same-bits, or what keeps statistics of a batch (layer norm and group norm do not)"])
      ])
    }
    var tree = PartsTree(self, own: parts / replicas.count, of: parts)
    do throws(OpError) {
      let sums = try tree.run()
      take(tree.outer, sums)
    } catch {
      throw DiagnosticSet([.internalError(in: "same-bits", error.message)])
    }
  }

  /// Goes on in the graph that calls the body, with the sums over all ranks.
  private mutating func take(_ outer: GraphBuilder, _ sums: [ValueID]) {
    builder = outer
    let inputs = Dictionary(builder.graph.inputs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    rename { inputs[$0.name] ?? $0 }
    let joined = sums.map { sumOverReplicas($0) }
    builder.reason = "the mean over the batch"
    setLoss(builder.div(joined[0], joined[1]))
    let count = gradients.count
    let means = joined.dropFirst(2).prefix(count).map { gradient in
      let type = builder.type(gradient)
      return builder.div(gradient, builder.broadcast(builder.cast(joined[1], to: type.dtype), to: type.shape))
    }
    builder.reason = nil
    setGradients(means, states: [], outside: Array(joined.dropFirst(2 + count)))
    isJoined = true
  }
}

/// The calls of one rank, and the sums of what they give.
private struct PartsTree {
  /// The graph of the step so far: inputs, the calls and the tree.
  private(set) var outer = GraphBuilder(name: "step")
  private let step: StepBuilder
  /// The parts of this rank, and of the window.
  private let own: Int
  private let count: Int
  /// One part, with everything that is added up as its outputs.
  private let part: Graph
  private let full: DType

  init(_ step: StepBuilder, own: Int, of count: Int) {
    (self.step, self.own, self.count, full) = (step, own, count, step.policy.full)
    var builder = step.builder
    let outside = step.indexReads.map { builder.countOutside($0) }
    var graph = builder.graph
    let values = [step.loss] + (step.lossWeight.map { [$0] } ?? []) + step.gradients + outside
    graph.outputs = values.enumerated().map { GraphOutput(name: "\($0)", value: $1) }
    part = graph
  }

  private var arguments: [GraphInput] { part.inputs.filter { $0.role == .argument } }
  /// What every part reads as it is.
  private var constants: [GraphInput] { part.inputs.filter { $0.role != .argument } }

  /// The sums over this rank's parts: of the loss, of its weight, of each gradient, of indices outside.
  mutating func run() throws(OpError) -> [ValueID] {
    var values: [String: ValueID] = [:]
    for input in part.inputs {
      let type = part[input.value].type
      values[input.name] = outer.input(
        input.name, input.role == .argument ? type.rows(times: own) : type, role: input.role)
    }
    let body = try body()
    guard let first = values[StepControl.firstPart.rawValue] else {
      internalFailure("graph", "the parts of a batch have no numbers")
    }
    outer.reason = "a part of the batch"
    var rows: [[ValueID]] = []
    for number in 0..<own {
      let slices = arguments.compactMap { input in
        values[input.name].map { slice($0, number, part[input.value].type) }
      }
      let place = outer.add(first, outer.constant(Double(number), TensorType(.i32, [])))
      rows.append(
        try outer.control(
          .call, constants.compactMap { values[$0.name] } + [place] + slices, [:], bodies: [body]))
    }
    outer.reason = "the sum over the parts, as a tree"
    defer { outer.reason = nil }
    while rows.count > 1 {
      rows = stride(from: 0, to: rows.count, by: 2).map { index in
        index + 1 < rows.count ? zip(rows[index], rows[index + 1]).map { outer.add($0, $1) } : rows[index]
      }
    }
    return rows[0]
  }

  private mutating func slice(_ value: ValueID, _ number: Int, _ type: TensorType) -> ValueID {
    guard own > 1, let rows = type.shape.first?.constant else { return value }
    return outer.slice(value, axis: 0, from: Dim(number * rows), to: Dim((number + 1) * rows))
  }

  private func body() throws(OpError) -> Graph {
    var inputs = constants.map { (name: $0.name, type: part[$0.value].type) }
    inputs.append((name: "part", type: TensorType(.i32, [])))
    inputs += arguments.map { (name: $0.name, type: part[$0.value].type) }
    return try Graph.body("part", inputs) { (b, values) throws(OpError) in contributions(&b, values) }
  }

  /// What a part adds to the sums: nothing where the window ends before it.
  private func contributions(_ b: inout GraphBuilder, _ values: [ValueID]) -> [ValueID] {
    var given: [String: ValueID] = [:]
    for (input, value) in zip(constants, values) { given[input.name] = value }
    let number = values[constants.count]
    for (input, value) in zip(arguments, values.dropFirst(constants.count + 1)) { given[input.name] = value }
    // Each part draws numbers of its own.
    if let seed = given[Graph.seed] {
      given[Graph.seed] = b.make(.foldKey, [seed, number], ["stream": .int(Self.stream)])
    }
    var made = b.inline(part, part.inputs.compactMap { given[$0.name] })[...]
    func next(_ count: Int) -> [ValueID] {
      defer { made = made.dropFirst(count) }
      return Array(made.prefix(count))
    }
    let loss = b.cast(next(1)[0], to: full)
    let one = b.constant(1, TensorType(full, []))
    var weight = step.lossWeight == nil ? one : b.cast(next(1)[0], to: full)
    var isTaken = b.make(.greater, [weight, b.fill(0, like: weight)])
    if let batches = given[StepControl.microBatches.rawValue] {
      let limit = b.scale(batches, by: Double(count / step.rules.accumulation))
      isTaken = b.make(.and, [isTaken, b.make(.less, [number, limit])])
    }
    weight = b.select(isTaken, weight, b.fill(0, like: weight))
    let isWeighted = step.lossWeight != nil
    func taken(_ value: ValueID, _ dtype: DType) -> ValueID {
      var wide = b.cast(value, to: dtype)
      let shape = b.type(wide).shape
      if isWeighted { wide = b.mul(wide, b.broadcast(b.cast(weight, to: dtype), to: shape)) }
      return b.select(b.broadcast(isTaken, to: shape), wide, b.fill(0, like: wide))
    }
    var results = [taken(loss, full), weight]
    for gradient in next(step.gradients.count) {
      results.append(taken(gradient, b.type(gradient).dtype.accumulator))
    }
    for count in next(step.indexReads.count) { results.append(b.select(isTaken, count, b.fill(0, like: count))) }
    return results
  }

  /// Tells the keys of parts from others.
  private static let stream = Int(truncatingIfNeeded: stableHash("batch-part") & UInt64(Int.max))
}

extension Replicas {
  /// Throws where a window cannot be cut so that each rank's parts are a subtree.
  ///
  /// - Parameters:
  ///   - rows: the rows of a window.
  ///   - window: its batches.
  package func checkParts(rows: Int, window: Int) throws(Diagnostic) {
    guard let parts else { return }
    let own = parts / count
    guard parts.isMultiple(of: count), count == 1 || own & (own - 1) == 0 else {
      throw Diagnostic(
        .error, "\(parts) parts of a batch cannot be the same sums on \(count) ranks",
        notes: ["each rank holds 1, 2, 4, 8 ... of them: --batch-parts \(count * 8) say, for every run to be compared"])
    }
    guard parts.isMultiple(of: window), rows.isMultiple(of: parts) else {
      throw Diagnostic(
        .error,
        "\(rows) rows\(window > 1 ? " of \(window) batches" : "") cannot be cut into \(parts) equal parts, which the same bits need",
        notes: [
          "choose a batch of a multiple of \(parts) rows, or another number of parts with --batch-parts, for every run to be compared"
        ])
    }
  }
}
