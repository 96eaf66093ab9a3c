import LTMIR
import LTMSupport

// What a schedule gives of this step: the values of the optimizer's arguments, which move only with updates.

extension StepBuilder {
  /// The arguments of each group's optimizer that are given for this step: `lr`, and what the schedule moves.
  mutating func schedule() throws(DiagnosticSet) {
    let states = try observe()
    let step = rules.schedule == nil ? nil : builder.cast(control(.step), to: policy.full)
    for optimizer in rules.optimizers {
      var values: [String: ValueID] = [:]
      for name in names(movedOf: optimizer) {
        var value = base(name, of: optimizer)
        if let schedule = rules.schedule, let step {
          value = try self.value(name, from: value, schedule, step, states)
        }
        values[name] = value
      }
      moved.append(values)
    }
  }

  func names(movedOf optimizer: OptimizerTemplate) -> [String] {
    let all = Set(rules.schedule?.stages.flatMap(\.moves.keys) ?? [])
    return ["lr"] + all.filter { $0 != "lr" && optimizer.arguments[$0] != nil }.sorted()
  }

  /// An argument before the schedule. The host gives the rate of weights that are in no group.
  private mutating func base(_ name: String, of optimizer: OptimizerTemplate) -> ValueID {
    let number = optimizer.arguments[name]
    if name == "lr", number == nil || number == rules.optimizers[0].arguments[name] { return control(.learningRate) }
    return builder.constant(number ?? 0, TensorType(policy.full, []))
  }

  /// An argument as the stage gives it that this update falls into.
  private mutating func value(
    _ name: String, from base: ValueID, _ schedule: ScheduleTemplate, _ step: ValueID, _ states: [[String: ValueID]]
  ) throws(DiagnosticSet) -> ValueID {
    var result = base
    var starts: [Int] = [0]
    for stage in schedule.stages { starts.append((starts.last ?? 0) + (stage.length ?? 0)) }
    for (index, stage) in schedule.stages.enumerated().reversed() {
      let start = Double(starts[index])
      let own = start == 0 ? step : builder.offset(step, by: -start)
      let total =
        stage.length.map { builder.constant(Double($0), TensorType(policy.full, [])) }
        ?? (start == 0 ? control(.totalSteps) : builder.offset(control(.totalSteps), by: -start))
      let value = try self.value(name, from: base, stage, ["step": own, "total": total].merging(states[index]) { $1 })
      guard stage.length != nil else {
        result = value
        continue
      }
      let isOver = builder.make(.less, [step, builder.fill(Double(starts[index + 1]), like: step)])
      result = builder.select(isOver, value, result)
    }
    return result
  }

  private mutating func value(
    _ name: String, from base: ValueID, _ stage: ScheduleTemplate.Stage, _ given: [String: ValueID]
  ) throws(DiagnosticSet) -> ValueID {
    guard let graph = stage.moves[name] else { return base }
    let outputs = try builder.inline(
      try resolveFloats(graph, to: policy.full), given.merging([name: base]) { $1 }, scope: "schedule")
    guard let value = outputs[name], builder.type(value).rank == 0 else {
      throw DiagnosticSet([Diagnostic(.error, "the schedule '\(stage.name)' gives no scalar '\(name)'")])
    }
    return builder.cast(value, to: policy.full)
  }

  // MARK: What is watched

  /// The states of each stage, with what is new taken in; a skipped step leaves it for the next one.
  private mutating func observe() throws(DiagnosticSet) -> [[String: ValueID]] {
    var all: [[String: ValueID]] = []
    for (index, stage) in (rules.schedule?.stages ?? []).enumerated() {
      var values: [String: ValueID] = [:]
      for state in stage.states {
        let key = index == 0 ? "schedule/\(state.name)" : "schedule/\(index)/\(state.name)"
        guard case .initializer(.constant(let first)) = state.initial else {
          throw DiagnosticSet([Diagnostic(.error, "'\(state.name)' of the schedule '\(stage.name)' begins as a number")]
          )
        }
        let type = state.type.dtype == .float ? state.type.with(policy.full) : state.type
        values[state.name] = input(key, type, .control, .number(first), key: key)
      }
      if let graph = stage.observe { values = try observe(stage, graph, values, index) }
      all.append(values)
    }
    return all
  }

  private mutating func observe(
    _ stage: ScheduleTemplate.Stage, _ graph: Graph, _ old: [String: ValueID], _ index: Int
  ) throws(DiagnosticSet) -> [String: ValueID] {
    let resolved = try resolveFloats(graph, to: policy.full)
    let outputs = try builder.inline(resolved, old.merging(["metric": control(.metric)]) { $1 }, scope: "schedule")
    let zero = builder.constant(0, TensorType(.i32, []))
    let isNew = builder.make(.greater, [control(.observed), zero])
    var new = old
    for state in stage.states {
      guard let before = old[state.name], let value = outputs[state.name] else { continue }
      let settled = builder.select(isNew, builder.cast(value, to: builder.type(before).dtype), before)
      new[state.name] = settled
      let key = index == 0 ? "schedule/\(state.name)" : "schedule/\(index)/\(state.name)"
      _ = write(key, old: before, new: settled)
    }
    return new
  }
}
