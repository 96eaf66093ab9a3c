// Gradients of ops with bodies: such ops again. A forward op gives out what its gradient reads as further results.

extension GraphBuilder {
  /// Appends the gradients of an op's operands, given what has flowed into its results; gives that of the first result.
  mutating func propagateThroughBodies(of value: ValueID, _ flow: inout GradientFlow) throws(OpError) -> ValueID? {
    let node = graph[value]
    var seeds: [Int: ValueID] = [:]
    for (index, parts) in flow.take(value).sorted(by: { $0.key < $1.key }) where node.types[index].dtype.isFloating {
      seeds[index] = fanIn(parts, of: node.types[index])
    }
    let wanted = node.operands.indices.filter {
      flow.active[node.operands[$0].index] && type(node.operands[$0]).dtype.isFloating
    }
    guard !seeds.isEmpty, !wanted.isEmpty else { return seeds[0] }
    let gradients =
      switch node.op {
      case .scan: try scanGradient(value, seeds, wanted)
      case .`while`:
        throw OpError("a while loop has no gradient", note: "a scan runs a fixed number of times, and has one")
      default: try callGradient(value, seeds, wanted)
      }
    for (operand, gradient) in gradients where flow.active[node.operands[operand].index] {
      flow.add(gradient, to: node.operands[operand])
    }
    return seeds[0]
  }

  /// For `call` and `checkpoint`: the same op again, on the gradient's body.
  private mutating func callGradient(
    _ value: ValueID, _ seeds: [Int: ValueID], _ wanted: [Int]
  ) throws(OpError) -> [(operand: Int, gradient: ValueID)] {
    let node = graph[value]
    let seeded = seeds.keys.sorted()
    let pair = try BodyGradient(
      try node.body(0, of: 1), wanted: wanted, seeded: seeded, recomputes: node.op == .checkpoint)
    guard !pair.flowing.isEmpty else { return [] }
    let firstKept = extend(value, with: pair.forward, stacking: nil)
    let operands = pair.residuals.map { residual in
      switch residual.source {
      case .input(let index): node.operands[index]
      case .output(let index): result(firstKept + index, of: value)
      }
    }
    let given = seeded.compactMap { seeds[$0] }
    let read = node.op == .checkpoint && !isLoopBody ? operands.map { after(given[0], $0) } : operands
    let results = try control(node.op, read + given, bodies: [pair.backward])
    return zip(pair.flowing, results).map { ($0, $1) }
  }

  /// What a recomputation reads of the forward pass, tied to the gradient that has come in: otherwise it would be found
  /// equal to the forward pass, or run before it is needed, and its values kept. Weights are there in any case.
  private mutating func after(_ gradient: ValueID, _ x: ValueID) -> ValueID {
    if isWeight(x) { return x }
    var first = gradient
    for axis in 0..<type(gradient).rank {
      first = make(
        .slice, [first], ["axis": .int(axis), "start": .dim(0), "limit": .dim(1), "stride": .int(1)])
    }
    first = make(.reshape, [first], ["shape": .dims([])])
    let dtype = type(x).dtype
    if dtype != .float { first = cast(first, to: dtype) }
    return make(.after, [x, broadcast(first, to: type(x).shape)])
  }

  private func isWeight(_ value: ValueID) -> Bool {
    var value = value
    while graph[value].op == .cast { value = graph[value].operands[0] }
    return graph.inputs.contains { $0.value == value && ($0.role == .parameter || $0.role == .state) }
  }

  /// Gives an op a body with more outputs; the index of the first new result.
  fileprivate mutating func extend(_ value: ValueID, with body: Graph, stacking length: Dim?) -> Int {
    let first = graph[value].types.count
    let added = body.outputTypes.dropFirst(first)
    graph[value].bodies[0] = body
    graph[value].furtherTypes += added.map { type in
      length.map { TensorType(type.dtype, [$0] + type.shape) } ?? type
    }
    return first
  }

  /// A scan the other way. Gradients of carried values are carried; those of constants are summed in the accumulator's dtype.
  private mutating func scanGradient(
    _ value: ValueID, _ seeds: [Int: ValueID], _ wanted: [Int]
  ) throws(OpError) -> [(operand: Int, gradient: ValueID)] {
    let gradient = try ScanGradient(graph[value], seeds: seeds, wanted: wanted)
    guard !gradient.pair.flowing.isEmpty else { return [] }
    let firstKept = extend(value, with: gradient.forward, stacking: gradient.form.length)
    return try gradient.append(to: &self, after: value, firstKept: firstKept)
  }
}

/// The parts of a scan's gradient.
private struct ScanGradient {
  let node: Node
  let form: LoopForm
  let seeds: [Int: ValueID]
  /// The carried values, by position among them, whose gradients are carried back.
  let carries: [Int]
  let pair: BodyGradient
  /// The forward body with what the gradient reads among its outputs: residuals, then carried values before the iteration.
  private(set) var forward: Graph
  /// The carried inputs that the gradient reads, which the forward scan stacks.
  private let stackedCarries: [Int]

  init(_ node: Node, seeds: [Int: ValueID], wanted: [Int]) throws(OpError) {
    self.node = node
    self.seeds = seeds
    let form = try LoopForm(node)
    self.form = form
    let body = try node.body(0, of: 1)
    let reached = Self.reached(body, form, from: wanted)
    carries = (0..<form.carried).filter { reached.contains(form.constants + $0) }
    let stacked = seeds.keys.filter { $0 >= form.carried }.sorted()
    pair = try BodyGradient(
      body, wanted: reached.sorted(), seeded: carries + stacked, recomputes: false, isLoopBody: true)
    forward = pair.forward
    stackedCarries = pair.residuals.compactMap { residual in
      guard case .input(let index) = residual.source, (form.constants..<form.scanned).contains(index) else {
        return nil
      }
      return index
    }
    for index in stackedCarries {
      forward.outputs.append(GraphOutput(name: "before.\(index)", value: body.inputs[index].value))
    }
  }

  /// The body's inputs that get gradients: a carried value is reached too where an iteration makes it of one that is.
  private static func reached(_ body: Graph, _ form: LoopForm, from wanted: [Int]) -> Set<Int> {
    var reached = Set(wanted)
    while true {
      let values = Set(reached.map { body.inputs[$0].value })
      let active = body.activeValues(from: values, upTo: ValueID(body.nodes.count - 1))
      let carried = (0..<form.carried).filter { index in
        let output = body.outputs[index].value
        return active[output.index] && body[output].type.dtype.isFloating
      }
      let grown = reached.union(carried.map { form.constants + $0 })
      if grown == reached { return reached }
      reached = grown
    }
  }

  /// How the gradient's scan gets a residual.
  private enum Supply { case constant, scanned }

  private func supply(_ residual: Residual) -> Supply {
    if case .input(let index) = residual.source, index < form.constants { return .constant }
    return .scanned
  }

  /// The constants of the body that get a gradient.
  private var summed: [Int] { pair.flowing.filter { $0 < form.constants } }
  /// The scanned inputs of the body that get one.
  private var sliced: [Int] { pair.flowing.filter { $0 >= form.scanned } }

  /// Appends the scan; gives the gradient for each operand that gets one.
  func append(
    to b: inout GraphBuilder, after value: ValueID, firstKept: Int
  ) throws(OpError) -> [(operand: Int, gradient: ValueID)] {
    let keptCount = pair.residuals.count { if case .output = $0.source { true } else { false } }
    func outer(_ residual: Residual, _ b: inout GraphBuilder) -> ValueID {
      switch residual.source {
      case .output(let index): b.result(firstKept + index, of: value)
      case .input(let index):
        if let position = stackedCarries.firstIndex(of: index) {
          b.result(firstKept + keptCount + position, of: value)
        } else {
          node.operands[index]
        }
      }
    }
    let constants = pair.residuals.filter { supply($0) == .constant }.map { outer($0, &b) }
    let scanned = pair.residuals.filter { supply($0) == .scanned }.map { outer($0, &b) }
    let starts = carries.map { seeds[$0] ?? b.zeros(b.type(node.operands[form.constants + $0])) }
    let sums = summed.map { b.zeros(sumType(b.type(node.operands[$0]))) }
    let slices = pair.seeded.filter { $0 >= form.carried }.compactMap { seeds[$0] }
    let carried = starts + sums
    let operands = constants + carried + scanned + slices
    let body = try iteration(b, constants.count, carried, scanned + slices)
    let results = try b.control(
      .scan, operands,
      [
        "constants": .int(constants.count), "carried": .int(carried.count), "length": .dim(form.length ?? 1),
        "reversed": .bool(!form.isReversed),
      ], bodies: [body])
    var gradients: [(operand: Int, gradient: ValueID)] = []
    for (carry, result) in zip(carries, results) { gradients.append((form.constants + carry, result)) }
    for (index, result) in zip(summed, results.dropFirst(carries.count)) {
      gradients.append((index, b.cast(result, to: b.type(node.operands[index]).dtype)))
    }
    for (index, result) in zip(sliced, results.dropFirst(carried.count)) { gradients.append((index, result)) }
    return gradients
  }

  private func sumType(_ type: TensorType) -> TensorType { type.with(type.dtype.arithmetic) }

  /// One iteration: the gradient's body, and the sums.
  private func iteration(
    _ outer: GraphBuilder, _ constants: Int, _ carried: [ValueID], _ scanned: [ValueID]
  ) throws(OpError) -> Graph {
    var inputs: [(name: String, type: TensorType)] = []
    for residual in pair.residuals where supply(residual) == .constant {
      inputs.append(("constant.\(inputs.count)", residual.type))
    }
    for value in carried { inputs.append(("carried.\(inputs.count)", outer.type(value))) }
    for value in scanned {
      let type = outer.type(value)
      inputs.append(("slice.\(inputs.count)", TensorType(type.dtype, Array(type.shape.dropFirst()))))
    }
    return try Graph.body(pair.backward.name, inputs) { (b, values) throws(OpError) in
      let (fixed, rest) = (Array(values.prefix(constants)), values.dropFirst(constants))
      let (before, slices) = (Array(rest.prefix(carried.count)), Array(rest.dropFirst(carried.count)))
      let made = Dictionary(
        uniqueKeysWithValues: zip(pair.flowing, b.inline(pair.backward, arguments(fixed, before, slices))))
      let next = carries.enumerated().map { made[form.constants + $1] ?? b.zeros(b.type(before[$0])) }
      let sums = zip(summed, before.dropFirst(carries.count)).compactMap { index, sum in
        made[index].map { b.add(sum, b.cast($0, to: b.type(sum).dtype)) }
      }
      return next + sums + sliced.compactMap { made[$0] }
    }
  }

  /// What the gradient's body takes: residuals in its order, then gradients of its outputs.
  private func arguments(_ fixed: [ValueID], _ carried: [ValueID], _ slices: [ValueID]) -> [ValueID] {
    var (fixed, slices) = (fixed[...], slices[...])
    let residuals = pair.residuals.compactMap {
      supply($0) == .constant ? fixed.popFirst() : slices.popFirst()
    }
    return residuals + carried.prefix(carries.count) + slices
  }
}
