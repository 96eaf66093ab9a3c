// What makes a graph legal. Each rule has a number, which its test names too:
//
//   graph_c1  operands and outputs refer to nodes; operands to earlier ones
//   graph_c2  the inputs are exactly the `input` nodes
//   graph_c3  names of inputs, and names of outputs, are unique
//   graph_c4  an output that updates an input has its type, and no two update the same one
//   graph_c5  attributes are those of the op's signature, all that are not optional, of the right kind
//   graph_c6  a node's type is what its op infers from its operands; a constant and a dimension are scalars
//   graph_c7  sizes are positive and do not overflow
//   graph_c8  after `insert-casts`: no dtype is `float`
//   graph_c9  once bound: no dimension is symbolic
//   graph_c10 once decomposed: no op is left that `decompose` replaces
//   graph_c11 only `call`, `checkpoint`, `scan` and `while` have bodies; a body is legal by all these rules, its inputs are
//             arguments, and its outputs update nothing

/// What a graph has been through; later stages promise more.
package struct GraphStage: OptionSet, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }
  /// As the front end made it.
  package static let traced: GraphStage = []
  /// Every float is decided.
  package static let afterCasts = GraphStage(rawValue: 1)
  /// Every dimension is a number.
  package static let bound = GraphStage(rawValue: 2)
  /// Only ops that kernels are made of are left.
  package static let decomposed = GraphStage(rawValue: 4)
}

/// A rule that a graph breaks.
package struct GraphViolation: Error, Hashable, Sendable, CustomStringConvertible {
  /// `graph_c1`
  package let rule: String
  /// The node concerned, where it is one.
  package let value: ValueID?
  /// What is wrong.
  package let message: String

  /// `graph_c1 at %4: ...`
  package var description: String { "\(rule)\(value.map { " at \($0)" } ?? ""): \(message)" }
}

extension Graph {
  /// The rules that the graph breaks; empty for a legal one.
  package func verify(stage: GraphStage = .traced) -> [GraphViolation] {
    let references = referenceViolations()
    // The other rules follow references, so they are for graphs whose references hold.
    guard references.isEmpty else { return references }
    return inputViolations() + nameViolations() + updateViolations()
      + values.flatMap { nodeViolations($0, stage: stage) }
  }

  private func referenceViolations() -> [GraphViolation] {
    var found: [GraphViolation] = []
    for value in values {
      for operand in self[value].operands where operand.index < 0 || operand >= value {
        found.append(
          GraphViolation(rule: "graph_c1", value: value, message: "operand \(operand) is not an earlier node"))
      }
    }
    for output in outputs where !nodes.indices.contains(output.value.index) {
      found.append(GraphViolation(rule: "graph_c1", value: nil, message: "output \(output.name) is no node"))
    }
    for input in inputs where !nodes.indices.contains(input.value.index) {
      found.append(GraphViolation(rule: "graph_c1", value: nil, message: "input \(input.name) is no node"))
    }
    return found
  }

  private func inputViolations() -> [GraphViolation] {
    let listed = inputs.map(\.value).sorted()
    let present = values.filter { self[$0].op == .input }
    guard listed != present else { return [] }
    return [
      GraphViolation(rule: "graph_c2", value: nil, message: "inputs are \(listed), the input nodes are \(present)")
    ]
  }

  private func nameViolations() -> [GraphViolation] {
    (duplicates(inputs.map(\.name)) + duplicates(outputs.map(\.name))).map {
      GraphViolation(rule: "graph_c3", value: nil, message: "the name \($0) occurs twice")
    }
  }

  private func updateViolations() -> [GraphViolation] {
    var found = duplicates(outputs.compactMap(\.updates)).map {
      GraphViolation(rule: "graph_c4", value: nil, message: "\($0) is updated twice")
    }
    let types = Dictionary(inputs.map { ($0.name, self[$0.value].type) }, uniquingKeysWith: { first, _ in first })
    for output in outputs {
      guard let updates = output.updates else { continue }
      let type = types[updates]
      if type != self[output.value].type {
        let message = "\(output.name) updates \(updates), which is \(type?.description ?? "no input")"
        found.append(GraphViolation(rule: "graph_c4", value: output.value, message: message))
      }
    }
    return found
  }

  private func nodeViolations(_ value: ValueID, stage: GraphStage) -> [GraphViolation] {
    let node = self[value]
    var found: [(String, String)] = []
    if let message = node.attributeViolation { found.append(("graph_c5", message)) }
    found += bodyViolations(node, stage: stage)
    if let message = typeViolation(node) { found.append(("graph_c6", message)) }
    for type in node.types {
      if let message = sizeViolation(type) { found.append(("graph_c7", message)) }
      if stage.contains(.afterCasts), type.dtype == .float { found.append(("graph_c8", "dtype `float` is left")) }
      if stage.contains(.bound), type.staticShape == nil || node.op == .dimension {
        found.append(("graph_c9", "\(type) is not bound"))
      }
    }
    if stage.contains(.decomposed), case .decompose = node.op.definition.lowering {
      found.append(("graph_c10", "\(node.op.name) is left"))
    }
    return found.map { GraphViolation(rule: $0.0, value: value, message: $0.1) }
  }

  private func bodyViolations(_ node: Node, stage: GraphStage) -> [(String, String)] {
    if !node.op.hasBodies {
      return node.bodies.isEmpty ? [] : [("graph_c11", "\(node.op.name) has a body")]
    }
    return node.bodies.flatMap { body in
      var found = body.verify(stage: stage).map { ("graph_c11", "in its body: \($0)") }
      for input in body.inputs where input.role != .argument {
        found.append(("graph_c11", "the body's input \(input.name) is no argument"))
      }
      for output in body.outputs where output.updates != nil {
        found.append(("graph_c11", "the body's output \(output.name) updates an input"))
      }
      return found
    }
  }

  private func typeViolation(_ node: Node) -> String? {
    if node.op == .input { return node.operands.isEmpty ? nil : "an input has operands" }
    do throws(OpError) {
      let inferred = try resultTypes(of: node)
      if node.op.isTypedAtCreation { return node.type.rank == 0 ? nil : "\(node.op.name) of type \(node.type)" }
      return inferred == node.types ? nil : "\(node.op.name) is \(listed(node.types)), but infers \(listed(inferred))"
    } catch {
      return error.message
    }
  }

  private func sizeViolation(_ type: TensorType) -> String? {
    if let dim = type.shape.first(where: { ($0.constant ?? 1) < 1 }) { return "dimension \(dim) of \(type)" }
    if let shape = type.staticShape, elementCount(shape) != nil { return nil }
    return (try? elementCount(type.shape)) == nil ? "the size of \(type) overflows" : nil
  }
}

private func listed(_ types: [TensorType]) -> String { types.map(\.description).joined(separator: ", ") }

extension Node {
  /// What is wrong with the attributes, seen from the op's signature.
  fileprivate var attributeViolation: String? {
    for (name, value) in attributes.entries {
      guard let parameter = op.definition.signature.first(where: { $0.name == name }) else {
        return "\(op.name) has no attribute \(name)"
      }
      guard parameter.kind.holds(value) else { return "attribute \(name) of \(op.name) is of the wrong kind" }
    }
    let missing = op.definition.signature.first { $0.kind.isAttribute && !$0.isOptional && attributes[$0.name] == nil }
    return missing.map { "\(op.name) lacks its attribute \($0.name)" }
  }
}

extension OpParameter.Kind {
  /// Whether it is no operand.
  var isAttribute: Bool {
    switch self {
    case .tensor, .optionalTensor, .tensors, .key: false
    case .int, .float, .bool, .dtype, .axis, .axes, .dims, .dim, .ints, .sizes, .padding, .word: true
    }
  }

  fileprivate func holds(_ value: Attribute) -> Bool {
    switch (self, value) {
    case (.int, .int), (.axis, .int), (.float, .float), (.float, .int), (.bool, .bool), (.dtype, .dtype): true
    case (.axes, .ints), (.ints, .ints), (.dims, .dims), (.dim, .dim), (.sizes, .ints), (.padding, .ints): true
    case (.word(let words), .word(let word)): words.contains(word)
    case (.tensor, _), (.optionalTensor, _), (.tensors, _), (.key, _), (.int, _), (.float, _), (.bool, _), (.dtype, _):
      false
    case (.axis, _), (.axes, _), (.dims, _), (.dim, _), (.ints, _), (.sizes, _), (.padding, _), (.word, _): false
    }
  }
}

private func duplicates(_ names: [String]) -> [String] {
  var seen: Set<String> = []
  return names.filter { !seen.insert($0).inserted }
}
