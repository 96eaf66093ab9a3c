import LTMIR
import LTMSupport

// What a step writes: parameters and their masters, optimizer state, layer state, and its own scalars.

extension StepBuilder {
  /// The optimizer, once for each parameter, then the layers' state.
  mutating func update(_ optimizer: OptimizerTemplate) throws(DiagnosticSet) {
    // Bias corrections count the update that is being made.
    let one = builder.constant(1, TensorType(.i32, []))
    let count = builder.cast(builder.add(control(.step), one), to: policy.full)
    var updates: [TensorType: Graph] = [:]
    for (parameter, gradient) in zip(parameters, gradients) {
      let type = builder.type(parameter.value)
      let stored = type.with(policy.optimizerDType(type.dtype))
      if updates[stored] == nil {
        let graph = try optimizer.graph(type.shape)
        updates[stored] = try resolveFloats(graph, to: stored.dtype)
        report(representability(of: graph, in: stored.dtype, owner: optimizer))
        report(representability(of: optimizer.states, in: stored.dtype, owner: optimizer))
      }
      guard let graph = updates[stored] else { continue }
      try update(parameter, gradient, stored, count, optimizer, graph)
    }
    for parameter in frozen {
      let type = builder.type(parameter.value)
      _ = storedWeight(parameter, type.with(policy.optimizerDType(type.dtype)))
    }
    try diagnostics.throwIfErrors()
    writeState()
  }

  private mutating func report(_ findings: [Diagnostic]) {
    for finding in findings { diagnostics.add(finding) }
  }

  private mutating func update(
    _ parameter: GraphInput, _ gradient: ValueID, _ stored: TensorType, _ count: ValueID,
    _ optimizer: OptimizerTemplate, _ graph: Graph
  ) throws(DiagnosticSet) {
    let name = parameter.name
    let weight = storedWeight(parameter, stored)
    let saved = builder.scope
    builder.scope = "optimizer/\(name)"
    defer { builder.scope = saved }
    var arguments = ["weight": weight.value, "grad": unscaled(gradient), "lr": learningRate, "step": count]
    var states: [(key: String, name: String, value: ValueID)] = []
    // A state that this update neither reads nor writes (the velocity of SGD without momentum) takes no memory.
    for state in optimizer.states where graph.mentions(state.name) {
      let key = "optimizer/\(name)/\(state.name)"
      let value = input(key, stored, .optimizerState, .initializer(state.initial), key: key)
      arguments[state.name] = value
      states.append((key, state.name, value))
    }
    let outputs = try builder.inline(graph, arguments, scope: "optimizer/\(name)")
    let new = try result("weight", outputs, optimizer, stored)
    let written = write(weight.name, old: weight.value, new: new)
    if weight.value != parameter.value { writeHalf(parameter, written) }
    for state in states where outputs[state.name] != nil {
      _ = write(state.key, old: state.value, new: try result(state.name, outputs, optimizer, stored))
    }
  }

  /// What the optimizer updates: the parameter, or its f32 master where it is half.
  private mutating func storedWeight(_ parameter: GraphInput, _ stored: TensorType) -> (name: String, value: ValueID) {
    let (name, type) = (parameter.name, builder.type(parameter.value))
    guard type != stored else {
      slots.append(slot(parameter, .parameter(name)))
      return (name, parameter.value)
    }
    let master = "master/\(name)"
    slots.append(
      StateSlot(name: name, role: .parameter, type: type, initial: .copy(of: master), checkpointKey: nil))
    let value = input(master, stored, .master, .parameter(name), key: name)
    masters[parameter.value] = value
    return (master, value)
  }

  /// The half parameter follows its master.
  private mutating func writeHalf(_ parameter: GraphInput, _ master: ValueID) {
    let dtype = builder.type(parameter.value).dtype
    builder.reason = "the forward pass reads the master in \(dtype)"
    builder.output(parameter.name, builder.cast(master, to: dtype), updates: parameter.name)
    builder.reason = nil
  }

  private mutating func result(
    _ name: String, _ outputs: [String: ValueID], _ optimizer: OptimizerTemplate, _ stored: TensorType
  ) throws(DiagnosticSet) -> ValueID {
    guard let value = outputs[name], builder.type(value).shape == stored.shape else {
      throw DiagnosticSet([
        Diagnostic(.error, "the optimizer '\(optimizer.name)' gives no new '\(name)' of shape \(stored)")
      ])
    }
    let saved = (builder.scope, builder.reason)
    defer { (builder.scope, builder.reason) = saved }
    builder.scope = builder.graph[value].scope
    builder.reason = "'\(optimizer.name)' keeps \(name) in \(stored.dtype)"
    return builder.cast(value, to: stored.dtype)
  }

  /// Layer state, and parameters that no gradient flows to: those are only read.
  private mutating func writeState() {
    let updates = stateUpdatesOfMasters()
    for input in builder.graph.inputs where input.role == .state {
      slots.append(slot(input, .layerState(input.name)))
      guard let update = updates[input.name] else { continue }
      _ = write(input.name, old: input.value, new: ofFirstReplica(update))
    }
    for input in builder.graph.inputs where input.role == .parameter && !builder.type(input.value).dtype.isFloating {
      slots.append(slot(input, .parameter(input.name)))
    }
  }

  /// The new value of each state by its name. Where it is made of half parameters that were widened, their masters take
  /// their place: a state in f32 that follows a weight keeps digits that the forward pass has not.
  private mutating func stateUpdatesOfMasters() -> [String: ValueID] {
    var replacements: [ValueID: ValueID] = [:]
    for index in ancestors(of: stateUpdates.map(\.value)) {
      let (value, node) = (ValueID(index), builder.graph.nodes[index])
      if node.op == .cast, node.reason != nil, let master = masters[node.operands[0]],
        builder.type(master) == node.type
      {
        replacements[value] = master
      } else if node.operands.contains(where: { replacements[$0] != nil }) {
        var copy = node
        copy.operands = node.operands.map { replacements[$0] ?? $0 }
        replacements[value] = builder.append(copy)
      }
    }
    return Dictionary(
      stateUpdates.compactMap { update in update.updates.map { ($0, replacements[update.value] ?? update.value) } },
      uniquingKeysWith: { first, _ in first })
  }

  /// The nodes of the loss that values are made of, in order.
  private func ancestors(of values: [ValueID]) -> [Int] {
    var isNeeded = Array(repeating: false, count: forwardCount)
    for value in values { isNeeded[value.index] = true }
    for index in isNeeded.indices.reversed() where isNeeded[index] {
      for operand in builder.graph.nodes[index].operands { isNeeded[operand.index] = true }
    }
    return isNeeded.indices.filter { isNeeded[$0] }
  }

  private func slot(_ input: GraphInput, _ initial: StateSlot.Initial) -> StateSlot {
    StateSlot(
      name: input.name, role: input.role, type: builder.type(input.value), initial: initial, checkpointKey: input.name)
  }

  /// The counters and the loss scale, as ``LossScale`` moves them.
  mutating func updateControls() {
    let zero = builder.constant(0, TensorType(.i32, []))
    let one = builder.constant(1, TensorType(.i32, []))
    output(.attempt, builder.add(control(.attempt), one))
    _ = write(
      StepControl.step.rawValue, old: control(.step), new: builder.add(control(.step), one))
    builder.reason = "skips in a row at the smallest scale"
    let skipped = builder.add(control(.skips), one)
    output(.skips, builder.select(foundInf, isAtFloor().map { builder.select($0, skipped, zero) } ?? skipped, zero))
    builder.reason = "the loss scale's state machine"
    if case .dynamic(let numbers) = policy.level.lossScale { moveScale(numbers, zero, one) }
    builder.reason = nil
  }

  private mutating func output(_ control: StepControl, _ value: ValueID) {
    builder.output(control.rawValue, value, updates: control.rawValue)
  }

  /// Whether the scale cannot fall further; `nil` where it never falls.
  private mutating func isAtFloor() -> ValueID? {
    guard case .dynamic(let numbers) = policy.level.lossScale else { return nil }
    let scale = control(.lossScale)
    return builder.make(.lessEqual, [scale, builder.fill(numbers.minimum, like: scale)])
  }

  private mutating func moveScale(_ numbers: DynamicScaling, _ zero: ValueID, _ one: ValueID) {
    let (scale, good) = (control(.lossScale), builder.add(control(.goodSteps), one))
    let window = builder.constant(Double(numbers.window), TensorType(.i32, []))
    let isFull = builder.make(.greaterEqual, [good, window])
    let lower = builder.make(
      .maximum, [builder.scale(scale, by: numbers.backoff), builder.fill(numbers.minimum, like: scale)])
    let higher = builder.make(
      .minimum, [builder.scale(scale, by: numbers.growth), builder.fill(numbers.maximum, like: scale)])
    output(.lossScale, builder.select(foundInf, lower, builder.select(isFull, higher, scale)))
    output(.goodSteps, builder.select(foundInf, zero, builder.select(isFull, zero, good)))
  }
}

extension Graph {
  /// Whether a name is an input that is read, or an output.
  fileprivate func mentions(_ name: String) -> Bool {
    if outputs.contains(where: { $0.name == name && input(name)?.value != $0.value }) { return true }
    guard let value = input(name)?.value else { return false }
    return nodes.contains { $0.operands.contains(value) }
  }
}
