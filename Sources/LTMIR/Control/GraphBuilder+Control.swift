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

  /// Takes the nodes from `first` on out of the graph and makes a body of them.
  ///
  /// - Parameters:
  ///   - inputs: the names of `values`, the `input` nodes among them that become the body's last inputs.
  ///   - outputs: the body's results.
  /// - Returns: the body, and the earlier values that it reads, which are its first inputs. Literals are copied into it.
  package mutating func takeBody(
    _ name: String, from first: Int, inputs: [String], values: [ValueID], outputs: [ValueID]
  ) -> (body: Graph, captures: [ValueID]) {
    var taker = BodyTaker(graph, first: first, name: name)
    let body = taker.body(inputs: inputs, values: values, outputs: outputs)
    graph.nodes.removeSubrange(first...)
    return (body, taker.captures)
  }

  /// Takes the nodes from `first` on back, which nothing else may read.
  package mutating func removeNodes(from first: Int) { graph.nodes.removeSubrange(first...) }

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

/// Moves the end of a graph into a body.
private struct BodyTaker {
  private let graph: Graph
  private let first: Int
  private var builder: GraphBuilder
  private var copies: [ValueID: ValueID] = [:]
  private(set) var captures: [ValueID] = []
  private var names: Set<String> = []
  private var captured: [GraphInput] = []

  init(_ graph: Graph, first: Int, name: String) {
    self.graph = graph
    self.first = first
    builder = GraphBuilder(name: name)
  }

  mutating func body(inputs: [String], values: [ValueID], outputs: [ValueID]) -> Graph {
    let own = zip(inputs, values).map { name, value in
      GraphInput(name: unique(name), role: .argument, value: copied(value))
    }
    // In order: what is not needed by an output is left to the pass that drops it.
    for index in first..<graph.nodes.count { _ = copied(ValueID(index)) }
    for (index, output) in outputs.enumerated() { builder.output("\(index)", copied(output)) }
    var body = builder.graph
    body.inputs = captured + own
    return body
  }

  private mutating func copied(_ value: ValueID) -> ValueID {
    if let known = copies[value] { return known }
    var node = graph[value]
    if value.index < first, !isLiteral(value) {
      (node.op, node.operands, node.attributes, node.reason) = (.input, [], [:], nil)
      (node.furtherTypes, node.bodies) = ([], [])
      let copy = builder.append(node)
      let name = graph.inputs.first { $0.value == value }?.name ?? "outer.\(value.index)"
      captured.append(GraphInput(name: unique(name), role: .argument, value: copy))
      captures.append(value)
      copies[value] = copy
      return copy
    }
    node.operands = node.operands.map { copied($0) }
    let copy = builder.append(node)
    copies[value] = copy
    return copy
  }

  private func isLiteral(_ value: ValueID) -> Bool {
    let node = graph[value]
    switch node.op {
    case .constant, .dimension, .iota: return true
    case .broadcast, .reshape, .cast: return node.operands.allSatisfy { isLiteral($0) }
    default: return false
    }
  }

  private mutating func unique(_ name: String) -> String {
    var candidate = name
    var number = 2
    while !names.insert(candidate).inserted {
      candidate = "\(name).\(number)"
      number += 1
    }
    return candidate
  }
}
