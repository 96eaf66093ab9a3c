// The types of an op's results where its operands' types are not enough: they are what its bodies give.

extension Graph {
  /// The types of all results of a node, whose operands are values of this graph.
  package func resultTypes(of node: Node) throws(OpError) -> [TensorType] {
    let operands = node.operands.map { self[$0].type }
    switch node.op {
    case .result: return [try readResult(node)]
    case .call, .checkpoint:
      let body = try node.body(0, of: 1)
      try body.requireInputs(operands)
      return body.outputTypes
    case .scan: return try scanTypes(node, operands)
    case .`while`: return try whileTypes(node, operands)
    default:
      let (row, attributes) = (node.op.definition, node.attributes)
      let first = try row.infer(operands, attributes)
      return [first] + (row.further?.types(operands, first, attributes) ?? [])
    }
  }

  private func readResult(_ node: Node) throws(OpError) -> TensorType {
    guard node.operands.count == 1 else { throw OpError("one operand expected, \(node.operands.count) given") }
    let index = try node.attributes.required("index", node.attributes.int("index"))
    let types = self[node.operands[0]].types
    guard index >= 1, index < types.count else {
      throw OpError("result \(index) of an op that has \(types.count)", operands: [(0, nil)])
    }
    return types[index]
  }

  private func scanTypes(_ node: Node, _ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let form = try LoopForm(node)
    let body = try node.body(0, of: 1)
    let length = form.length ?? 1
    var inputs = Array(operands.prefix(form.scanned))
    for (index, type) in operands.enumerated().dropFirst(form.scanned) {
      guard let first = type.shape.first, first == length else {
        throw OpError("a scan of length \(length) over \(type)", operands: [(index, 0)])
      }
      inputs.append(TensorType(type.dtype, Array(type.shape.dropFirst())))
    }
    try body.requireInputs(inputs)
    let outputs = body.outputTypes
    try requireCarried(outputs, Array(inputs[form.constants..<form.scanned]))
    let stacked = outputs.dropFirst(form.carried).map { TensorType($0.dtype, [length] + $0.shape) }
    return Array(outputs.prefix(form.carried)) + stacked
  }

  private func whileTypes(_ node: Node, _ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let form = try LoopForm(node)
    let (condition, body) = (try node.body(0, of: 2), try node.body(1, of: 2))
    try condition.requireInputs(operands)
    try body.requireInputs(operands)
    guard condition.outputTypes == [TensorType(.bool, [])] else {
      throw OpError("the condition of a while gives \(condition.outputTypes), not one bool")
    }
    let outputs = body.outputTypes
    guard outputs.count == form.carried else {
      throw OpError("the body gives \(outputs.count) values, and \(form.carried) are carried")
    }
    try requireCarried(outputs, Array(operands.dropFirst(form.constants)))
    return outputs
  }

  private func requireCarried(_ outputs: [TensorType], _ carried: [TensorType]) throws(OpError) {
    guard outputs.count >= carried.count, !outputs.isEmpty else {
      throw OpError("the body gives \(outputs.count) values, and \(carried.count) are carried")
    }
    for (index, (after, before)) in zip(outputs, carried).enumerated() where after != before {
      throw OpError("carried value \(index) is \(before), and \(after) after an iteration")
    }
  }

  /// The types of the outputs in order.
  package var outputTypes: [TensorType] { outputs.map { self[$0.value].type } }

  /// Throws unless these are the types of the body's inputs.
  fileprivate func requireInputs(_ types: [TensorType]) throws(OpError) {
    guard inputs.count == types.count else {
      throw OpError("the body '\(name)' takes \(inputs.count) values, \(types.count) given")
    }
    for (index, (input, type)) in zip(inputs, types).enumerated() where self[input.value].type != type {
      throw OpError(
        "the body takes '\(input.name)' as \(self[input.value].type), given is \(type)", operands: [(index, nil)])
    }
  }
}

extension Node {
  /// One of the op's bodies.
  package func body(_ index: Int, of count: Int) throws(OpError) -> Graph {
    guard bodies.count == count else { throw OpError("\(count) bodies expected, \(bodies.count) given") }
    return bodies[index]
  }
}
