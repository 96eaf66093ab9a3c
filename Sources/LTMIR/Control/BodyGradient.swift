// The gradient of a body: what the op must keep of its forward run, and a second body that makes the gradients of it.

/// A body's forward values that its gradient reads.
struct Residual {
  /// Where the gradient's body finds it.
  enum Source {
    /// It is an input of the forward body.
    case input(Int)
    /// It is made by the forward body, which gives it out.
    case output(Int)
  }
  let source: Source
  let type: TensorType
}

/// A body and its gradient as two bodies.
struct BodyGradient {
  /// The body with residuals among its outputs, after its own.
  private(set) var forward: Graph
  /// Takes the residuals, then a gradient for each of `seeded`; gives one for each of `flowing`.
  private(set) var backward: Graph
  private(set) var residuals: [Residual] = []
  /// The outputs of the body whose gradients are given.
  let seeded: [Int]
  /// The inputs of the body that get a gradient.
  private(set) var flowing: [Int] = []

  /// The gradient of `body` with respect to the inputs `wanted`, given gradients of the outputs `seeded`.
  ///
  /// Where `recomputes`, the gradient's body takes all inputs of the forward body as residuals, and runs it again.
  init(
    _ body: Graph, wanted: [Int], seeded: [Int], recomputes: Bool, isLoopBody: Bool = false
  ) throws(OpError) {
    self.seeded = seeded
    var open = body
    open.outputs = []
    var builder = GraphBuilder(open)
    builder.isLoopBody = isLoopBody
    var seeds: [(output: ValueID, gradient: ValueID)] = []
    for index in seeded {
      let output = body.outputs[index].value
      seeds.append((output, builder.input("gradient.\(index)", builder.type(output), role: .argument)))
    }
    let made = try builder.differentiate(seeds, withRespectTo: wanted.map { body.inputs[$0].value })
    backward = Graph(name: "\(body.name).gradient")
    var copier = ResidualCopier(
      joint: builder.graph, forwardCount: body.nodes.count, inputs: body.inputs, recomputes: recomputes,
      builder: GraphBuilder(name: backward.name))
    if recomputes { for index in body.inputs.indices { copier.addInput(index) } }
    let values = made.map { $0.map { copier.copied($0) } }
    for (index, value) in zip(wanted, values) {
      guard let value else { continue }
      flowing.append(index)
      copier.builder.output("gradient.\(body.inputs[index].name)", value)
    }
    for (index, seed) in zip(seeded, seeds) { copier.addSeed("gradient.\(index)", seed.gradient) }
    (backward, residuals) = copier.finished(seeds: seeds.map(\.gradient))
    // Ops with bodies inside of the body give out residuals of their own by now.
    forward = body
    forward.nodes = Array(builder.graph.nodes.prefix(body.nodes.count))
    for value in copier.kept { keep(value, in: builder.graph) }
  }

  private mutating func keep(_ value: ValueID, in joint: Graph) {
    var home = value
    if value.index >= forward.nodes.count || joint[value] != forward[value] {
      forward.nodes.append(joint[value])
      home = ValueID(forward.nodes.count - 1)
    }
    forward.outputs.append(GraphOutput(name: "kept.\(value.index)", value: home))
  }
}

/// Copies what a gradient needs out of the graph of a body and its gradient together.
private struct ResidualCopier {
  let joint: Graph
  /// The forward body's nodes come first.
  let forwardCount: Int
  let inputs: [GraphInput]
  let recomputes: Bool
  var builder: GraphBuilder
  /// The forward values that the forward body must give out.
  private(set) var kept: [ValueID] = []
  private var residuals: [Residual] = []
  private var residualInputs: [GraphInput] = []
  private var copies: [ValueID: ValueID] = [:]
  private lazy var inputIndex = Dictionary(
    uniqueKeysWithValues: inputs.enumerated().map { ($0.element.value, $0.offset) })
  /// Whether a forward value is made again: it depends on no input of the body, or on keys of random numbers alone.
  private lazy var isFixed: [Bool] = {
    var fixed: [Bool] = []
    for node in joint.nodes.prefix(forwardCount) {
      fixed.append(node.op != .input && (node.op.readsOnlyKeys || node.operands.allSatisfy { fixed[$0.index] }))
    }
    return fixed
  }()

  init(joint: Graph, forwardCount: Int, inputs: [GraphInput], recomputes: Bool, builder: GraphBuilder) {
    self.joint = joint
    self.forwardCount = forwardCount
    self.inputs = inputs
    self.recomputes = recomputes
    self.builder = builder
  }

  /// The value in the gradient's body, with all that it is made of.
  mutating func copied(_ value: ValueID) -> ValueID {
    var pending = [value]
    while let next = pending.last {
      if copies[next] != nil {
        pending.removeLast()
        continue
      }
      if isResidual(next) {
        copies[next] = residual(next)
        continue
      }
      let missing = joint[next].operands.filter { copies[$0] == nil }
      guard missing.isEmpty else {
        pending += missing
        continue
      }
      var node = joint[next]
      node.operands = node.operands.compactMap { copies[$0] }
      copies[next] = builder.append(node)
    }
    return copies[value] ?? value
  }

  /// Whether the value comes in from the forward run. Literals and views are made again: they cost nothing.
  private mutating func isResidual(_ value: ValueID) -> Bool {
    let node = joint[value]
    if node.op == .input { return true }
    if recomputes { return false }
    if value.index >= forwardCount { return node.op == .result && node.operands[0].index < forwardCount }
    if isFixed[value.index] { return false }
    switch node.op {
    case .broadcast, .reshape, .transpose: return false
    default: return true
    }
  }

  private mutating func residual(_ value: ValueID) -> ValueID {
    let type = joint[value].type
    // A seed: an input that the gradient added.
    if value.index >= forwardCount, joint[value].op == .input { return builder.append(joint[value]) }
    if let index = inputIndex[value] { return addInput(index) }
    kept.append(value)
    residuals.append(Residual(source: .output(kept.count - 1), type: type))
    return newInput("kept.\(value.index)", joint[value])
  }

  /// An input of the forward body as an input of the gradient's.
  @discardableResult
  mutating func addInput(_ index: Int) -> ValueID {
    let value = inputs[index].value
    if let known = copies[value] { return known }
    residuals.append(Residual(source: .input(index), type: joint[value].type))
    let copy = newInput(inputs[index].name, joint[value])
    copies[value] = copy
    return copy
  }

  private mutating func newInput(_ name: String, _ node: Node) -> ValueID {
    var input = node
    (input.op, input.operands, input.attributes, input.reason) = (.input, [], [:], nil)
    (input.furtherTypes, input.bodies) = ([], [])
    let value = builder.append(input)
    residualInputs.append(GraphInput(name: name, role: .argument, value: value))
    return value
  }

  /// A seed that no gradient reads is an input all the same.
  mutating func addSeed(_ name: String, _ seed: ValueID) {
    if copies[seed] == nil { copies[seed] = builder.append(joint[seed]) }
  }

  /// The gradient's body, its inputs in order: residuals, then seeds.
  mutating func finished(seeds: [ValueID]) -> (Graph, [Residual]) {
    var graph = builder.graph
    let names = Dictionary(uniqueKeysWithValues: joint.inputs.map { ($0.value, $0.name) })
    graph.inputs =
      residualInputs
      + seeds.compactMap { seed in
        copies[seed].map { GraphInput(name: names[seed] ?? "", role: .argument, value: $0) }
      }
    return (graph, residuals)
  }
}
