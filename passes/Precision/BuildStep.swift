import LTMIR
import LTMSupport

/// The training step of a loss: a bound graph, after `insert-casts`, with one floating scalar as its result.
///
/// With several replicas it is the step of each, and the loss is that of its share of the batch.
package func buildStep(
  loss: Graph, rules: StepRules, policy: PrecisionPolicy, replicas: Int = 1
) throws(DiagnosticSet) -> StepProgram {
  var step = try StepBuilder(loss, policy, rules, replicas: replicas)
  try step.differentiate()
  try step.requireParameters()
  step.checkFiniteness()
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
  replicas: Int = 1
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
  let replicas: Int
  /// What the optimizer may move, and a gradient reaches.
  private(set) var parameters: [GraphInput]
  /// What no gradient reaches: only read under `stop_gradient`, or by what has no slope. It stays as it is.
  private(set) var frozen: [GraphInput] = []
  /// What the user does not let it move.
  let held: [GraphInput]
  let stateUpdates: [GraphOutput]
  let forwardCount: Int
  let indexReads: [IndexRead]
  let loss: ValueID
  var builder: GraphBuilder
  var slots: [StateSlot] = []
  /// The master of each half parameter that has one.
  var masters: [ValueID: ValueID] = [:]
  var diagnostics = DiagnosticSet()
  /// Scaled, in order of `parameters`.
  private(set) var gradients: [ValueID] = []
  private(set) var controls: [StepControl: ValueID] = [:]
  private(set) var foundInf = ValueID(0)
  /// The optimizer's arguments that are given for each step, for each group of weights.
  var moved: [[String: ValueID]] = []
  /// The gradients as the optimizer takes them, where they are needed before it does.
  var prepared: [ValueID]?

  init(
    _ graph: Graph, _ policy: PrecisionPolicy, _ rules: StepRules = StepRules(optimizers: []), replicas: Int = 1
  ) throws(DiagnosticSet) {
    self.policy = policy
    self.rules = rules
    self.replicas = replicas
    name = graph.name
    let results = graph.outputs.filter { $0.updates == nil }
    guard results.count == 1, let result = results.first, graph[result.value].type.rank == 0,
      graph[result.value].type.dtype.isFloating
    else {
      let shown = results.map { "\(graph[$0.value].type)" }.joined(separator: ", ")
      throw DiagnosticSet([
        Diagnostic(
          .error, "'\(graph.name)' cannot be minimized: it gives \(shown), not one floating scalar",
          notes: ["reduce it, as in mean(...)"])
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
    var open = replicas > 1 ? graph.drawingRows(of: replicas) : graph
    open.name = "step"
    open.outputs = []
    builder = GraphBuilder(open)
    for finding in representability(of: graph) { diagnostics.add(finding) }
    try diagnostics.throwIfErrors()
    addControls()
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
    _ name: String, _ type: TensorType, _ role: GraphInput.Role, _ initial: StateSlot.Initial, key: String?
  ) -> ValueID {
    slots.append(StateSlot(name: name, role: role, type: type, initial: initial, checkpointKey: key))
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
      seed = builder.cast(control(.lossScale), to: builder.type(loss).dtype)
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

  /// found_inf: whether the loss or a gradient, still scaled, is not finite.
  mutating func checkFiniteness() {
    builder.reason = Node.overflowCheck
    var finite = builder.make(.isFinite, [loss])
    for gradient in gradients {
      let each = builder.make(.isFinite, [gradient])
      let axes = Array(0..<builder.type(gradient).rank)
      let all = axes.isEmpty ? each : builder.make(.all, [each], ["axes": .ints(axes), "keep": .bool(false)])
      finite = builder.make(.and, [finite, all])
    }
    foundInf = onAnyReplica(builder.make(.not, [finite]))
    builder.reason = nil
  }

  /// How many computed indices of the forward pass lay outside, as outputs: the gradient reads the same ones.
  mutating func countOutside() {
    builder.reason = "indices outside are counted"
    for (number, read) in indexReads.enumerated() {
      builder.output(Graph.outsideCount(number), sumOverReplicas(builder.countOutside(read)))
    }
    builder.reason = nil
  }

  /// The gradient as the optimizer takes it: f32, unscaled. Scaled halves become exact f32 numbers first.
  mutating func unscaled(_ gradient: ValueID) -> ValueID {
    let dtype = builder.type(gradient).dtype.accumulator
    builder.reason = "gradients are unscaled in \(dtype)"
    defer { builder.reason = nil }
    let wide = meanOverReplicas(gradient)
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
    builder.output(StepProgram.loss, meanOverReplicas(loss))
    builder.output(StepProgram.foundInf, foundInf)
    if let rate = moved.first?["lr"] { builder.output(StepProgram.learningRate, rate) }
    return StepProgram(
      graph: builder.graph, slots: slots, forwardCount: forwardCount, indexReads: indexReads,
      warnings: diagnostics.warnings)
  }

  mutating func finishGradients() -> Graph {
    builder.output(StepProgram.loss, meanOverReplicas(loss))
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
