import LTMIR
import LTMSupport

/// The training step of a loss: a bound graph, after `insert-casts`, with one floating scalar as its result, a mean over the
/// rows, or with two, a sum and the weight that it is divided by.
///
/// With several replicas it is the step of each, and the loss is that of its share of the batch.
package func buildStep(
  loss: Graph, rules: StepRules, policy: PrecisionPolicy, replicas: Replicas = .one
) throws(DiagnosticSet) -> StepProgram {
  var step = try StepBuilder(loss, policy, rules, replicas: replicas)
  try step.differentiate()
  try step.requireParameters()
  try step.accumulate()
  try step.divideUpdates()
  step.joinGradients()
  step.countOutside()
  try step.schedule()
  try step.clip()
  try step.update()
  step.updateControls()
  return step.finish()
}

/// The step with one optimizer for all weights.
package func buildStep(
  loss: Graph, optimizer: OptimizerTemplate, schedule: ScheduleTemplate? = nil, policy: PrecisionPolicy,
  replicas: Replicas = .one
) throws(DiagnosticSet) -> StepProgram {
  try buildStep(
    loss: loss, rules: StepRules(optimizer: optimizer, schedule: schedule), policy: policy, replicas: replicas)
}

/// The loss and the unscaled gradient of each parameter (`gradient/fc1.weight`), and nothing else: for tests and tools.
package func buildGradients(loss: Graph, policy: PrecisionPolicy) throws(DiagnosticSet) -> Graph {
  var step = try StepBuilder(loss, policy)
  try step.differentiate()
  return step.finishGradients()
}

/// Throws where an input of the loss has the name of one of the step's own results.
private func refuseNames(of graph: Graph) throws(DiagnosticSet) {
  let taken = graph.inputs.filter { StepProgram.results.contains($0.name) }
  if taken.isEmpty { return }
  throw DiagnosticSet(
    taken.map { input in
      Diagnostic(
        .error,
        "'\(graph.name)' cannot be trained with something called '\(input.name)': a result of the training step is",
        notes: ["give it another name; \(StepProgram.results.map { "'\($0)'" }.joined(separator: ", ")) are taken"])
    })
}

/// Builds a step from front to back; the loss graph's nodes come first, as they are.
struct StepBuilder {
  let policy: PrecisionPolicy
  let rules: StepRules
  /// The entry that is minimized.
  private let name: String
  let replicas: Replicas
  /// What the optimizer may move, and a gradient reaches.
  private(set) var parameters: [GraphInput]
  /// What no gradient reaches: only read under `stop_gradient`, or by what has no slope. It stays as it is.
  private(set) var frozen: [GraphInput] = []
  /// What the user does not let it move.
  private(set) var held: [GraphInput]
  private(set) var stateUpdates: [GraphOutput]
  private(set) var forwardCount: Int
  let indexReads: [IndexRead]
  /// How many indices of each of those lay outside, where it has been counted.
  private var outside: [ValueID]?
  /// The loss as a mean.
  private(set) var loss: ValueID
  /// The loss of the whole batch, where replicas share it.
  var wholeLoss = ValueID(0)
  /// What the loss was divided by, where the entry gives a sum and its weight.
  private(set) var lossWeight: ValueID?
  var builder: GraphBuilder
  var slots: [StateSlot] = []
  /// The master of each half parameter that has one.
  var masters: [ValueID: ValueID] = [:]
  var diagnostics = DiagnosticSet()
  /// Scaled, in order of `parameters`.
  var gradients: [ValueID] = []
  private(set) var controls: [StepControl: ValueID] = [:]
  /// found_inf: whether the loss or a gradient, still scaled, is not finite.
  var foundInf = ValueID(0)
  /// The optimizer's arguments that are given for each step, for each group of weights.
  var moved: [[String: ValueID]] = []
  /// What this rank holds of the weights whose updates are divided, by their places among the parameters.
  var shards: [Int: SlotShard] = [:]
  /// Whether loss and gradients are those of all replicas already.
  var isJoined = false
  /// The gradients as the optimizer takes them, where they are needed before it does.
  var prepared: [ValueID]?

  init(
    _ graph: Graph, _ policy: PrecisionPolicy, _ rules: StepRules = StepRules(optimizers: []),
    replicas: Replicas = .one
  ) throws(DiagnosticSet) {
    self.policy = policy
    self.rules = rules
    self.replicas = replicas
    name = graph.name
    let results = graph.outputs.filter { $0.updates == nil }
    let areScalars = results.allSatisfy { output in
      let type = graph[output.value].type
      return type.rank == 0 && type.dtype.isFloating
    }
    guard (1...2).contains(results.count), areScalars, let result = results.first else {
      let shown = results.map { "\(graph[$0.value].type)" }.joined(separator: ", ")
      throw DiagnosticSet([
        Diagnostic(
          .error, "'\(graph.name)' cannot be minimized: it gives \(shown), not one floating scalar",
          notes: ["reduce it, as in mean(...), or give a sum and its weight"])
      ])
    }
    try refuseNames(of: graph)
    loss = result.value
    let weights = graph.inputs.filter { $0.role == .parameter && graph[$0.value].type.dtype.isFloating }
    parameters = weights.filter { !rules.frozen.contains($0.name) }
    held = weights.filter { rules.frozen.contains($0.name) }
    stateUpdates = graph.outputs.filter { $0.updates != nil }
    forwardCount = graph.nodes.count
    indexReads = graph.computedIndexReads
    // Parts of a batch draw numbers by their own places.
    var open = replicas.count > 1 && replicas.parts == nil ? graph.drawingRows(of: replicas) : graph
    open.name = "step"
    open.outputs = []
    builder = GraphBuilder(open)
    for finding in representability(of: graph) { diagnostics.add(finding) }
    try diagnostics.throwIfErrors()
    if let weight = results.dropFirst().first?.value {
      builder.reason = "the mean of a sum and its weight"
      var divisor = builder.cast(builder.make(.stopGradient, [weight]), to: builder.type(loss).dtype)
      // The mean over the replicas is then the sum of all sums over the sum of all weights.
      if rules.accumulation == 1, replicas.parts == nil {
        divisor = builder.cast(meanOverReplicas(divisor), to: builder.type(loss).dtype)
      }
      (loss, lossWeight) = (builder.div(loss, divisor), divisor)
      builder.reason = nil
    }
    addControls()
  }

  /// Goes on with the inputs of another graph.
  mutating func rename(_ input: (GraphInput) -> GraphInput) {
    parameters = parameters.map(input)
    frozen = frozen.map(input)
    held = held.map(input)
    for (control, value) in controls {
      let old = GraphInput(name: control.rawValue, role: .control, value: value)
      controls[control] = input(old).value
    }
  }

  mutating func setLoss(_ value: ValueID) { loss = value }

  /// Goes on with what a loop over micro-batches gives.
  mutating func setGradients(_ values: [ValueID], states: [ValueID], outside: [ValueID]) {
    gradients = values
    for (index, value) in states.enumerated() { stateUpdates[index].value = value }
    self.outside = outside
    forwardCount = builder.graph.nodes.count
  }

  private var observes: Bool { rules.schedule?.observes ?? false }
  var isScaled: Bool { policy.level.lossScale != .off }

  private mutating func addControls() {
    for control in StepControl.allCases {
      switch control {
      case .lossScale: if isScaled { add(control, .f32, .number(policy.level.lossScale.initial)) }
      case .goodSteps: if case .dynamic = policy.level.lossScale { add(control, .i32, .number(0)) }
      case .step, .skips: add(control, .i32, .number(0))
      case .attempt: if !adopt(control, .number(0)) { add(control, .i32, .number(0)) }
      case .seed: _ = adopt(control, .host)
      case .learningRate, .totalSteps: add(control, policy.full, .host)
      case .microBatches: if rules.accumulation > 1 { add(control, .i32, .host) }
      case .firstPart: if replicas.parts != nil { add(control, .i32, .host) }
      case .metric: if observes { add(control, policy.full, .number(0)) }
      case .observed: if observes { add(control, .i32, .number(0)) }
      }
    }
  }

  private mutating func add(_ control: StepControl, _ dtype: DType, _ initial: StateSlot.Initial) {
    controls[control] = input(
      control.rawValue, TensorType(dtype, []), .control, initial, key: initial == .host ? nil : control.rawValue)
  }

  /// Takes over an input that the loss has; `false` where it has none.
  private mutating func adopt(_ control: StepControl, _ initial: StateSlot.Initial) -> Bool {
    guard let input = builder.graph.input(control.rawValue) else { return false }
    controls[control] = input.value
    slots.append(
      StateSlot(
        name: input.name, role: .control, type: builder.type(input.value), initial: initial,
        checkpointKey: initial == .host ? nil : input.name))
    return true
  }

  /// Adds an input with its slot.
  mutating func input(
    _ name: String, _ type: TensorType, _ role: GraphInput.Role, _ initial: StateSlot.Initial, key: String?,
    shard: SlotShard? = nil
  ) -> ValueID {
    slots.append(StateSlot(name: name, role: role, type: type, initial: initial, checkpointKey: key, shard: shard))
    return builder.input(name, type, role: role)
  }

  func control(_ control: StepControl) -> ValueID {
    guard let value = controls[control] else {
      internalFailure("graph", "build-step reads \(control.rawValue), which the policy has not")
    }
    return value
  }

  /// Gradients of the loss, which is never multiplied itself: the scale is where they start.
  mutating func differentiate() throws(DiagnosticSet) {
    var seed: ValueID?
    if isScaled {
      builder.reason = "the loss scale is where the gradient starts"
      seed = ownPart(ofScale: builder.cast(control(.lossScale), to: builder.type(loss).dtype))
      builder.reason = nil
    }
    do throws(OpError) {
      let found = try builder.gradients(of: loss, withRespectTo: parameters.map(\.value), seed: seed)
      let reached = zip(parameters, found)
      frozen = reached.compactMap { $1 == nil ? $0 : nil }
      parameters = reached.compactMap { $1 == nil ? nil : $0 }
      gradients = found.compactMap(\.self)
    } catch {
      throw DiagnosticSet([Diagnostic(.error, error.message)])
    }
  }

  /// Throws where there is nothing that training could change.
  fileprivate func requireParameters() throws(DiagnosticSet) {
    guard parameters.isEmpty else { return }
    throw DiagnosticSet([
      Diagnostic(
        .error, "'\(name)' cannot be minimized: no gradient of it reaches a weight, so that nothing would be trained",
        notes: (held.isEmpty ? [] : ["\(held.count) weights are frozen"]) + [
          "comparisons, argmax, rounding and stop_gradient let none through: minimize a loss, cross_entropy say"
        ])
    ])
  }

  /// Whether the loss and all gradients, still scaled, are finite.
  mutating func checkFiniteness(of loss: ValueID, _ gradients: [ValueID]) -> ValueID {
    builder.reason = Node.overflowCheck
    defer { builder.reason = nil }
    var finite = builder.make(.isFinite, [loss])
    for gradient in gradients {
      let each = builder.make(.isFinite, [gradient])
      let axes = Array(0..<builder.type(gradient).rank)
      let all = axes.isEmpty ? each : builder.make(.all, [each], ["axes": .ints(axes), "keep": .bool(false)])
      finite = builder.make(.and, [finite, all])
    }
    return builder.make(.not, [finite])
  }

  /// How many computed indices of the forward pass lay outside, as outputs: the gradient reads the same ones.
  mutating func countOutside() {
    builder.reason = "indices outside are counted"
    for (number, read) in indexReads.enumerated() {
      let count = outside?[number] ?? builder.countOutside(read)
      builder.output(Graph.outsideCount(number), sumOverReplicas(count))
    }
    builder.reason = nil
  }

  /// The gradient as the optimizer takes it: f32, unscaled. Scaled halves become exact f32 numbers first.
  mutating func unscaled(_ gradient: ValueID) -> ValueID {
    let dtype = builder.type(gradient).dtype.accumulator
    let wide = builder.cast(gradient, to: dtype)
    builder.reason = "gradients are unscaled in \(dtype)"
    defer { builder.reason = nil }
    guard isScaled else { return wide }
    let scale = builder.cast(control(.lossScale), to: dtype)
    return builder.div(wide, builder.broadcast(scale, to: builder.type(wide).shape))
  }

  /// Writes a new value back, or the old one where the step is skipped.
  mutating func write(_ name: String, old: ValueID, new: ValueID) -> ValueID {
    builder.reason = "a skipped step changes nothing"
    defer { builder.reason = nil }
    let condition = builder.broadcast(foundInf, to: builder.type(old).shape)
    let value = builder.select(condition, old, new)
    builder.output(name, value, updates: name)
    return value
  }

  mutating func finish() -> StepProgram {
    outputLoss(wholeLoss)
    builder.output(StepProgram.foundInf, foundInf)
    if let rate = moved.first?["lr"] { builder.output(StepProgram.learningRate, rate) }
    return StepProgram(
      graph: builder.graph.joiningRanks(replicas), slots: slots, forwardCount: forwardCount, indexReads: indexReads,
      warnings: diagnostics.warnings)
  }

  private mutating func outputLoss(_ loss: ValueID) {
    builder.output(StepProgram.loss, builder.cast(loss, to: builder.type(loss).dtype.accumulator))
  }

  mutating func finishGradients() -> Graph {
    outputLoss(loss)
    for (parameter, gradient) in zip(parameters, gradients) {
      builder.output("gradient/\(parameter.name)", unscaled(gradient))
    }
    for parameter in frozen + held {
      let type = builder.type(parameter.value)
      builder.output("gradient/\(parameter.name)", builder.zeros(type.with(type.dtype.accumulator)))
    }
    return builder.graph
  }
}
