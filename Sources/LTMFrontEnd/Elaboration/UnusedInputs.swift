import LTMIR

extension Graph {
  /// The graph without the parameters and states that nothing in it reads or writes.
  var withoutUnusedInputs: Graph {
    var used = Set(nodes.flatMap(\.operands)).union(outputs.map(\.value))
    let updated = Set(outputs.compactMap(\.updates))
    for input in inputs where input.role == .argument || updated.contains(input.name) { used.insert(input.value) }
    return dropping(Set(inputs.map(\.value)).subtracting(used))
  }

  /// The graph without nodes that no other reads.
  func dropping(_ dropped: Set<ValueID>) -> Graph {
    if dropped.isEmpty { return self }
    var renamed = [ValueID](repeating: ValueID(0), count: nodes.count)
    var result = Graph(name: name)
    for value in values where !dropped.contains(value) {
      renamed[value.index] = ValueID(result.nodes.count)
      var node = self[value]
      node.operands = node.operands.map { renamed[$0.index] }
      result.nodes.append(node)
    }
    result.inputs = inputs.filter { !dropped.contains($0.value) }
      .map { GraphInput(name: $0.name, role: $0.role, value: renamed[$0.value.index]) }
    result.outputs = outputs.map { GraphOutput(name: $0.name, value: renamed[$0.value.index], updates: $0.updates) }
    return result
  }

  /// The graph without its last input, which nothing reads.
  var droppingLastInput: Graph { inputs.last.map { dropping([$0.value]) } ?? self }

  /// The graph without the key of an entry that draws nothing.
  func withoutUnused(key: ValueID?) -> Graph {
    guard let key, !nodes.contains(where: { $0.operands.contains(key) }) else { return withoutUnusedInputs }
    return dropping([key]).withoutUnusedInputs
  }
}
