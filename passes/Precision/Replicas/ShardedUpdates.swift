import LTMIR
import LTMSupport

// Masters and the optimizer's state divided among ranks (ZeRO's first stage): each rank gets its part of a gradient,
// updates its part of the weight, and all gather the parts, rounded to the dtype that the forward pass reads.

extension StepBuilder {
  /// Decides which weights' updates are divided: those of rules that compute each element from that element alone.
  mutating func divideUpdates() throws(DiagnosticSet) {
    guard replicas.shardsOptimizer, replicas.count > 1, let rank = replicas.rank else { return }
    if let rule = rules.average {
      throw DiagnosticSet([
        Diagnostic(.error, "the average '\(rule.name)' needs whole weights, and --shard optimizer divides them")
      ])
    }
    for (index, parameter) in parameters.enumerated() {
      let type = builder.type(parameter.value)
      guard let shape = type.staticShape, let count = elementCount(shape), count >= Self.leastDivided * replicas.count,
        try updatesElements(type, rules.groups[parameter.name] ?? 0)
      else { continue }
      shards[index] = SlotShard(shape: shape, count: replicas.count, rank: rank)
    }
  }

  /// Smaller weights stay whole: a message costs more than their memory.
  private static let leastDivided = 64

  private func updatesElements(_ type: TensorType, _ group: Int) throws(DiagnosticSet) -> Bool {
    let optimizer = rules.optimizers[group]
    let update = try optimizer.update(type.shape, names(movedOf: optimizer).sorted())
    return update.states.allSatisfy { $0.type.shape == type.shape } && update.graph.computesElements
  }

  /// The type of what this rank holds of a weight.
  func heldType(_ index: Int, _ type: TensorType) -> TensorType {
    guard let shard = shards[index], let count = elementCount(shard.shape) else { return type }
    return TensorType(type.dtype, [Dim(shareOfReplica(count, shard.count))])
  }

  /// This rank's part of the whole batch's gradient, in the accumulator's dtype.
  mutating func partOfGradient(_ gradient: ValueID) -> ValueID {
    builder.reason = "each rank updates its part"
    defer { builder.reason = nil }
    let part = builder.make(
      .reduceScatter, [gradient],
      ["replicas": .int(replicas.count), "operation": .word(gradientOperation.rawValue)])
    return builder.cast(part, to: builder.type(gradient).dtype.accumulator)
  }

  /// This rank's part of a weight, which the optimizer updates; the whole one follows all parts.
  mutating func heldWeight(_ index: Int) -> (name: String, value: ValueID) {
    let parameter = parameters[index]
    let (name, type) = ("master/\(parameter.name)", builder.type(parameter.value))
    if let known = builder.graph.input(name) { return (name, known.value) }
    slots.append(
      StateSlot(name: parameter.name, role: .parameter, type: type, initial: .copy(of: name), checkpointKey: nil))
    let held = heldType(index, type.with(policy.optimizerDType(type.dtype)))
    let value = input(
      name, held, .master, .parameter(parameter.name), key: parameter.name, shard: shards[index])
    return (name, value)
  }

  /// The whole weight follows its parts.
  mutating func gatherWeight(_ index: Int, _ written: ValueID) {
    guard let shard = shards[index], let count = elementCount(shard.shape) else { return }
    let parameter = parameters[index]
    let type = builder.type(parameter.value)
    builder.reason = "the forward pass reads all parts in \(type.dtype)"
    defer { builder.reason = nil }
    let part = builder.cast(written, to: type.dtype)
    let all = builder.make(.allGather, [part], ["replicas": .int(shard.count)])
    let flat = builder.slice(all, axis: 0, from: 0, to: Dim(count))
    let whole = builder.make(.reshape, [flat], ["shape": .dims(type.shape)])
    builder.output(parameter.name, whole, updates: parameter.name)
  }

  /// A scalar that is a sum over the elements that this rank holds, over all of them: what whole weights give is counted once.
  mutating func sumOverParts(_ whole: ValueID?, _ parts: ValueID?) -> ValueID? {
    guard let parts else { return whole }
    let all = builder.make(
      .allReduce, [parts], ["replicas": .int(replicas.count), "operation": .word(CollectiveOperation.sum.rawValue)])
    return whole.map { builder.add($0, all) } ?? all
  }

  /// Throws where a clipping rule looks at whole gradients, of which a rank has parts.
  func requireDivisible(_ rule: ClipTemplate) throws(DiagnosticSet) {
    guard let index = shards.keys.min() else { return }
    let graph = try rule.clip(builder.type(parameters[index].value).shape)
    guard !graph.computesElements else { return }
    throw DiagnosticSet([
      Diagnostic(
        .error, "'\(rule.name)' looks at each whole gradient, and --shard optimizer divides them",
        notes: ["clip by value or by the global norm, or leave out --shard optimizer"])
    ])
  }
}

extension Graph {
  /// Whether each element of a result is computed from the same element of the inputs, and from scalars.
  fileprivate var computesElements: Bool {
    nodes.allSatisfy { node in
      switch node.op {
      case .input, .constant, .cast, .stopGradient: return true
      case .broadcast:
        return self[node.operands[0]].type.rank == 0 || self[node.operands[0]].type.shape == node.type.shape
      default: break
      }
      let shapes = node.operands.map { self[$0].type.shape }
      if node.type.rank == 0, shapes.allSatisfy(\.isEmpty) { return true }
      guard shapes.allSatisfy({ $0.isEmpty || $0 == node.type.shape }) else { return false }
      if case .primitive = node.op.definition.lowering { return true }
      return node.op.definition.isElementwise
    }
  }
}
