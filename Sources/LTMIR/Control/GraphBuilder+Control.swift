// Making ops with bodies.

extension GraphBuilder {
  /// Applies an op with bodies; gives all its results.
  package mutating func control(
    _ op: Op, _ operands: [ValueID], _ attributes: Attributes = [:], bodies: [Graph]
  ) throws(OpError) -> [ValueID] {
    var node = Node(
      op, operands, attributes, type: TensorType(.f32, []), location: location, scope: scope, reason: reason)
    node.bodies = bodies
    let types = try graph.resultTypes(of: node)
    guard let first = types.first else { throw OpError("\(op.name) gives nothing") }
    node.type = first
    node.furtherTypes = Array(types.dropFirst())
    return results(of: append(node))
  }

  /// All results of a node.
  package mutating func results(of value: ValueID) -> [ValueID] {
    [value] + graph[value].furtherTypes.indices.map { result($0 + 1, of: value) }
  }

  /// One result of a node.
  package mutating func result(_ index: Int, of value: ValueID) -> ValueID {
    if index == 0 { return value }
    let type = graph[value].types[index]
    return append(
      Node(
        .result, [value], ["index": .int(index)], type: type, location: location, scope: scope, reason: reason))
  }

  /// Appends a body's nodes in place of a call of it; gives its outputs.
  package mutating func inline(_ body: Graph, _ operands: [ValueID]) -> [ValueID] {
    var values: [ValueID] = []
    values.reserveCapacity(body.nodes.count)
    let given = Dictionary(
      zip(body.inputs.map(\.value), operands), uniquingKeysWith: { first, _ in first })
    for (index, node) in body.nodes.enumerated() {
      if let value = given[ValueID(index)] {
        values.append(value)
        continue
      }
      var copy = node
      copy.operands = node.operands.map { values[$0.index] }
      values.append(append(copy))
    }
    return body.outputs.map { values[$0.value.index] }
  }
}

extension Graph {
  /// A closed graph whose inputs are arguments of these types: a body.
  package static func body(
    _ name: String, _ inputs: [(name: String, type: TensorType)],
    _ make: (inout GraphBuilder, [ValueID]) throws(OpError) -> [ValueID]
  ) throws(OpError) -> Graph {
    var builder = GraphBuilder(name: name)
    let values = inputs.map { builder.input($0.name, $0.type, role: .argument) }
    for (index, value) in try make(&builder, values).enumerated() { builder.output("\(index)", value) }
    return builder.graph
  }

  /// The graph with a function applied to every body, the innermost first.
  package func mapBodies<E: Error>(_ transform: (Graph) throws(E) -> Graph) throws(E) -> Graph {
    guard nodes.contains(where: { !$0.bodies.isEmpty }) else { return self }
    var result = self
    for index in nodes.indices where !nodes[index].bodies.isEmpty {
      var bodies: [Graph] = []
      for body in nodes[index].bodies { bodies.append(try transform(try body.mapBodies(transform))) }
      result.nodes[index].bodies = bodies
    }
    return result
  }
}
