import LTMIR
import LTMSupport

// What a step writes: parameters and their masters, optimizer state, layer state, and its own scalars.

extension StepBuilder {
  /// The optimizer, once for each parameter, then the layers' state.
  mutating func update() throws(DiagnosticSet) {
    let count = updateCount()
    var updates: [UpdateKey: RuleUpdate] = [:]
    for (index, parameter) in parameters.enumerated() {
      let type = builder.type(parameter.value)
      let key = UpdateKey(
        type: heldType(index, type.with(policy.optimizerDType(type.dtype))), group: rules.groups[parameter.name] ?? 0)
      if updates[key] == nil { updates[key] = try ruleUpdate(key) }
      guard let update = updates[key] else { continue }
      try self.update(index, key, count, update)
    }
    for parameter in frozen {
      let type = builder.type(parameter.value)
      _ = storedWeight(parameter, type.with(policy.optimizerDType(type.dtype)))
    }
    for parameter in held {
      slots.append(
        StateSlot(
          name: parameter.name, role: .parameter, type: builder.type(parameter.value),
          initial: .parameter(parameter.name),
          checkpointKey: nil))
    }
    try diagnostics.throwIfErrors()
    writeState()
  }

  /// Bias corrections count the update that is being made.
  private mutating func updateCount() -> ValueID {
    let one = builder.constant(1, TensorType(.i32, []))
    return builder.cast(builder.add(control(.step), one), to: policy.full)
  }

  /// What weights must share to be updated by one graph.
  private struct UpdateKey: Hashable {
    let type: TensorType
    let group: Int
  }

  private mutating func ruleUpdate(_ key: UpdateKey) throws(DiagnosticSet) -> RuleUpdate {
    let (optimizer, dtype) = (rules.optimizers[key.group], key.type.dtype)
    let update = try optimizer.update(key.type.shape, moved[key.group].keys.sorted())
    report(representability(of: update.graph, in: dtype, owner: optimizer))
    report(representability(of: update.states, in: dtype, owner: optimizer))
    return RuleUpdate(graph: try resolveFloats(update.graph, to: dtype), states: update.states)
  }

  private mutating func report(_ findings: [Diagnostic]) {
    for finding in findings { diagnostics.add(finding) }
  }

  private mutating func update(
    _ index: Int, _ key: UpdateKey, _ count: ValueID, _ update: RuleUpdate
  ) throws(DiagnosticSet) {
    let (parameter, stored) = (parameters[index], key.type)
    let (name, optimizer, graph) = (parameter.name, rules.optimizers[key.group], update.graph)
    let weight = shards[index] == nil ? storedWeight(parameter, stored) : heldWeight(index)
    let saved = builder.scope
    builder.scope = "optimizer/\(name)"
    defer { builder.scope = saved }
    var arguments = moved[key.group].merging([
      "weight": weight.value, "grad": prepared?[index] ?? unscaled(gradients[index]), "step": count,
      "total": control(.totalSteps), "loss": builder.cast(wholeLoss, to: builder.type(loss).dtype),
    ]) { _, new in new }
    var states: [(key: String, state: RuleState, value: ValueID)] = []
    // A state that this update neither reads nor writes (the velocity of SGD without momentum) takes no memory.
    for state in update.states where graph.mentions(state.name) {
      let key = "optimizer/\(name)/\(state.name)"
      let type = state.type.dtype == .float ? state.type.with(stored.dtype) : state.type
      let value = input(
        key, type, .optimizerState, StateSlot.Initial(state.initial, of: name), key: key,
        shard: shards[index])
      arguments[state.name] = value
      states.append((key, state, value))
    }
    let outputs = try builder.inline(graph, arguments, scope: "optimizer/\(name)")
    let new = try result("weight", outputs, optimizer, stored)
    let written = write(weight.name, old: weight.value, new: new)
    if shards[index] != nil {
      gatherWeight(index, written)
    } else if weight.value != parameter.value {
      writeHalf(parameter, written)
    }
    for (key, state, value) in states where outputs[state.name] != nil {
      _ = write(key, old: value, new: try result(state.name, outputs, optimizer, builder.type(value)))
    }
    try average(name, stored, new, count)
  }

  /// The average of a weight, under whose name a checkpoint then holds the average.
  private mutating func average(
    _ name: String, _ stored: TensorType, _ weight: ValueID, _ count: ValueID
  ) throws(DiagnosticSet) {
    guard let rule = rules.average else { return }
    let key = "average/\(name)"
    let old = input(key, stored, .optimizerState, .parameter(name), key: name)
    let graph = try resolveFloats(try rule.update(stored.shape), to: stored.dtype)
    let arguments = ["average": old, "weight": weight, "step": count, "total": control(.totalSteps)]
    let outputs = try builder.inline(graph, arguments, scope: key)
    guard let new = outputs["average"] else {
      throw DiagnosticSet([Diagnostic(.error, "the average '\(rule.name)' gives no average")])
    }
    builder.reason = "'\(rule.name)' keeps the average in \(stored.dtype)"
    let value = builder.cast(new, to: stored.dtype)
    builder.reason = nil
    _ = write(key, old: old, new: value)
  }

  /// The key of what training goes on from: a weight's own name is its average's, where there is one.
  private func checkpointKey(_ name: String) -> String { rules.average == nil ? name : "current/\(name)" }

  /// What the optimizer updates: the parameter, or its f32 master where it is half.
  private mutating func storedWeight(_ parameter: GraphInput, _ stored: TensorType) -> (name: String, value: ValueID) {
    let (name, type) = (parameter.name, builder.type(parameter.value))
    let isTrained = parameters.contains { $0.name == name }
    let key = isTrained ? checkpointKey(name) : name
    guard type != stored else {
      slots.append(
        StateSlot(name: name, role: .parameter, type: type, initial: .parameter(name), checkpointKey: key))
      return (name, parameter.value)
    }
    let master = "master/\(name)"
    slots.append(
      StateSlot(name: name, role: .parameter, type: type, initial: .copy(of: master), checkpointKey: nil))
    let value = input(master, stored, .master, .parameter(name), key: key)
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
      let isCarried = input.name.hasPrefix(StepProgram.carry)
      slots.append(slot(input, isCarried ? .initializer(.constant(0)) : .layerState(input.name)))
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
    if let observed = controls[.observed] {
      _ = write(StepControl.observed.rawValue, old: observed, new: zero)
    }
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

extension StateSlot.Initial {
  /// The first value of a rule's state for a weight.
  fileprivate init(_ initial: RuleState.Initial, of weight: String) {
    switch initial {
    case .initializer(let initializer): self = .initializer(initializer)
    case .weight: self = .parameter(weight)
    }
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
