import LTMIR
import LTMSupport

// Gradient accumulation: a step over several micro-batches, as a loop whose body is the forward and the backward pass of one.
// What one gives is added up in full precision; the scale stands still meanwhile, and check, clip and update come after the
// loop, once. On several ranks the last micro-batch stands behind the loop: gradients travel while its backward pass runs.

extension StepBuilder {
  /// Puts what was built so far, the loss and its gradients, into a loop over the micro-batches.
  mutating func accumulate() throws(DiagnosticSet) {
    if let parts = replicas.parts { return try joinParts(parts) }
    guard rules.accumulation > 1 else { return }
    var loop = MicroBatchLoop(self)
    do throws(OpError) {
      let results = try loop.run()
      take(loop, results)
    } catch {
      throw DiagnosticSet([.internalError(in: "accumulate", error.message)])
    }
  }

  /// Goes on in the graph that holds the loop.
  private mutating func take(_ loop: MicroBatchLoop, _ results: MicroBatchLoop.Results) {
    builder = loop.outer
    let inputs = Dictionary(builder.graph.inputs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    rename { inputs[$0.name] ?? $0 }
    builder.reason = "the mean over the micro-batches"
    let weight = lossWeight == nil ? results.weight : meanOverReplicas(results.weight)
    setLoss(builder.div(results.loss, weight))
    let gradients = results.gradients.map { gradient in
      builder.div(
        gradient,
        builder.broadcast(
          builder.cast(weight, to: builder.type(gradient).dtype), to: builder.type(gradient).shape))
    }
    builder.reason = nil
    setGradients(gradients, states: results.states, outside: results.outside)
  }
}

/// The loop, while it is built.
private struct MicroBatchLoop {
  /// What the loop gives: sums, and the states after the last micro-batch.
  struct Results {
    let loss: ValueID
    let weight: ValueID
    let gradients: [ValueID]
    let states: [ValueID]
    let outside: [ValueID]
  }

  /// The graph of the step so far: inputs, and the loop.
  private(set) var outer = GraphBuilder(name: "step")
  private let step: StepBuilder
  private let full: DType
  /// One micro-batch, with everything that is added up as its outputs.
  private let micro: Graph
  private let isWeighted: Bool
  /// The states that a micro-batch writes, by their inputs.
  private let states: [GraphInput]
  private let outsideCount: Int

  init(_ step: StepBuilder) {
    self.step = step
    full = step.policy.full
    isWeighted = step.lossWeight != nil
    var builder = step.builder
    let written = step.stateUpdates.compactMap { update in update.updates.map { ($0, update.value) } }
    let outside = step.indexReads.map { builder.countOutside($0) }
    var graph = builder.graph
    let states = written.compactMap { name, _ in graph.input(name) }
    let values = [step.loss] + (step.lossWeight.map { [$0] } ?? []) + step.gradients + written.map(\.1) + outside
    graph.outputs = values.enumerated().map { GraphOutput(name: "\($0)", value: $1) }
    (micro, self.states, outsideCount) = (graph, states, outside.count)
  }

  private var stateNames: Set<String> { Set(states.map(\.name)) }
  private var arguments: [GraphInput] { micro.inputs.filter { $0.role == .argument } }
  /// What every micro-batch reads as it is.
  private var constants: [GraphInput] {
    let written = stateNames
    return micro.inputs.filter { $0.role != .argument && !written.contains($0.name) }
  }

  private var count: Int { step.rules.accumulation }
  /// How many micro-batches the loop runs over.
  private var loopCount: Int { step.replicas.count > 1 ? count - 1 : count }

  mutating func run() throws(OpError) -> Results {
    var values: [String: ValueID] = [:]
    for input in micro.inputs {
      let type = micro[input.value].type
      let whole = input.role == .argument ? type.rows(times: count) : type
      values[input.name] = outer.input(input.name, whole, role: input.role)
    }
    outer.reason = "the micro-batches of a step"
    let start = carried(values)
    let fixed = constants.compactMap { values[$0.name] }
    let slices = arguments.compactMap { input in
      values[input.name].map { value in
        outer.make(
          .reshape, [rows(0..<loopCount, of: value, micro[input.value].type)],
          ["shape": .dims([Dim(loopCount)] + micro[input.value].type.shape)])
      }
    }
    var results = try outer.control(
      .scan, fixed + start + slices,
      ["constants": .int(fixed.count), "carried": .int(start.count), "length": .dim(Dim(loopCount))],
      bodies: [try body(start.map { outer.type($0) })])
    if loopCount < count { results = last(values, fixed, results) }
    outer.reason = nil
    var rest = results.dropFirst(3)
    func next(_ count: Int) -> [ValueID] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    return Results(
      loss: results[1], weight: results[2], gradients: next(step.gradients.count), states: next(states.count),
      outside: next(outsideCount))
  }

  /// The last micro-batch, after the loop.
  private mutating func last(_ values: [String: ValueID], _ fixed: [ValueID], _ before: [ValueID]) -> [ValueID] {
    let slices = arguments.compactMap { input in
      values[input.name].map { rows(loopCount..<count, of: $0, micro[input.value].type) }
    }
    var builder = outer
    defer { outer = builder }
    return iteration(&builder, fixed, before, slices)
  }

  /// The rows of some micro-batches.
  private mutating func rows(_ numbers: Range<Int>, of value: ValueID, _ type: TensorType) -> ValueID {
    guard numbers.count < count, let rows = type.shape.first?.constant else { return value }
    return outer.slice(value, axis: 0, from: Dim(numbers.lowerBound * rows), to: Dim(numbers.upperBound * rows))
  }

  /// What is carried from one micro-batch to the next, at the start: the number, the sums of loss, weight and gradients, the
  /// states, the counts of indices outside.
  private mutating func carried(_ values: [String: ValueID]) -> [ValueID] {
    let scalar = TensorType(full, [])
    let sums = step.gradients.map { gradient in
      let type = micro[gradient].type
      return outer.zeros(type.with(type.dtype.accumulator))
    }
    let zero = outer.zeros(TensorType(.i32, []))
    return [zero, outer.zeros(scalar), outer.zeros(scalar)] + sums + states.compactMap { values[$0.name] }
      + Array(repeating: zero, count: outsideCount)
  }

  private func body(_ carried: [TensorType]) throws(OpError) -> Graph {
    var inputs = constants.map { (name: $0.name, type: micro[$0.value].type) }
    inputs += carried.enumerated().map { (name: "carried.\($0)", type: $1) }
    inputs += arguments.map { (name: $0.name, type: micro[$0.value].type) }
    return try Graph.body("micro_batch", inputs) { (b, values) throws(OpError) in
      let fixed = Array(values.prefix(constants.count))
      let before = Array(values.dropFirst(fixed.count).prefix(carried.count))
      let slices = Array(values.dropFirst(fixed.count + carried.count))
      return iteration(&b, fixed, before, slices)
    }
  }

  /// One micro-batch: what it gives is added to what was there, where it holds data.
  private func iteration(
    _ b: inout GraphBuilder, _ fixed: [ValueID], _ before: [ValueID], _ slices: [ValueID]
  ) -> [ValueID] {
    var given = Dictionary(zip(constants.map(\.name), fixed), uniquingKeysWith: { first, _ in first })
    for (input, value) in zip(arguments, slices) { given[input.name] = value }
    let statesBefore = Array(before.dropFirst(3 + step.gradients.count).prefix(states.count))
    for (input, value) in zip(states, statesBefore) { given[input.name] = value }
    // Each micro-batch draws numbers of its own.
    if let seed = given[Graph.seed] {
      given[Graph.seed] = b.make(.foldKey, [seed, before[0]], ["stream": .int(Self.stream)])
    }
    var made = b.inline(micro, micro.inputs.compactMap { given[$0.name] })[...]
    func next(_ count: Int) -> [ValueID] {
      defer { made = made.dropFirst(count) }
      return Array(made.prefix(count))
    }
    b.reason = "the sum over the micro-batches"
    let loss = b.cast(next(1)[0], to: full)
    let isLive = live(&b, before[0], given)
    let weight = isWeighted ? b.cast(next(1)[0], to: full) : b.constant(1, TensorType(full, []))
    let isTaken =
      isWeighted ? b.make(.and, [isLive, b.make(.greater, [weight, b.fill(0, like: weight)])]) : isLive
    let taken = Taken(isTaken: isTaken, weight: isWeighted ? weight : nil)
    let one = b.constant(1, TensorType(.i32, []))
    var after = [b.add(before[0], one), taken.add(loss, to: before[1], &b)]
    after.append(b.add(before[2], b.select(isTaken, weight, b.fill(0, like: weight))))
    for (index, gradient) in next(step.gradients.count).enumerated() {
      after.append(taken.add(gradient, to: before[3 + index], &b))
    }
    for (old, new) in zip(statesBefore, next(states.count)) {
      after.append(b.select(b.broadcast(isLive, to: b.type(old).shape), new, old))
    }
    let counts = before.suffix(outsideCount)
    for (old, new) in zip(counts, next(outsideCount)) {
      after.append(b.add(old, b.select(isLive, new, b.fill(0, like: new))))
    }
    return after
  }

  /// Tells the keys of micro-batches from others.
  private static let stream = Int(truncatingIfNeeded: stableHash("micro-batch") & UInt64(Int.max))

  /// Whether a micro-batch holds data: the last window of a pass over the data may have fewer.
  private func live(_ b: inout GraphBuilder, _ number: ValueID, _ given: [String: ValueID]) -> ValueID {
    guard let count = given[StepControl.microBatches.rawValue] else {
      internalFailure("graph", "accumulate counts no micro-batches")
    }
    return b.make(.less, [number, count])
  }

  /// Adds what a micro-batch gives, by its weight, where it is taken.
  private struct Taken {
    let isTaken: ValueID
    let weight: ValueID?

    func add(_ value: ValueID, to sum: ValueID, _ b: inout GraphBuilder) -> ValueID {
      let type = b.type(sum)
      var wide = b.cast(value, to: type.dtype)
      if let weight { wide = b.mul(wide, b.broadcast(b.cast(weight, to: type.dtype), to: type.shape)) }
      return b.add(sum, b.select(b.broadcast(isTaken, to: type.shape), wide, b.fill(0, like: sum)))
    }
  }
}

extension TensorType {
  /// The type with so many times as many rows.
  func rows(times count: Int) -> TensorType {
    guard let first = shape.first?.constant else { return self }
    return TensorType(dtype, [Dim(first * count)] + shape.dropFirst())
  }
}
