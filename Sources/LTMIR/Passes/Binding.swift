import LTMSupport

// Dimensions become numbers: what the polynomials could not decide is decided here, with the same messages.

extension Graph {
  /// The graph with symbolic dimensions replaced by numbers; types are inferred again, `dimension` becomes a constant.
  package func bound(_ values: [String: Int]) throws(DiagnosticSet) -> Graph {
    var diagnostics = DiagnosticSet()
    for (name, value) in values.sorted(by: { $0.key < $1.key }) where value < 1 {
      diagnostics.add(Diagnostic(.error, "dimension \(name) is \(value); it must be positive"))
    }
    try diagnostics.throwIfErrors()
    var result = self
    for index in nodes.indices {
      var node = nodes[index]
      for body in node.bodies.indices { node.bodies[body] = try node.bodies[body].bound(values) }
      do throws(OpError) {
        result.nodes[index] = try boundNode(node, values, in: result)
      } catch {
        // A wrong type would only repeat itself in the nodes that read it.
        throw DiagnosticSet([error.diagnostic(for: nodes[index])])
      }
    }
    return result
  }

  private func boundNode(_ node: Node, _ values: [String: Int], in graph: Graph) throws(OpError) -> Node {
    var node = node
    for (name, value) in node.attributes.entries {
      switch value {
      case .dim(let dim): node.attributes[name] = .dim(try checkedDim(dim.bound(values)))
      case .dims(let dims): node.attributes[name] = .dims(try boundDims(dims, values))
      case .int, .ints, .float, .bool, .dtype, .word: break
      }
    }
    node.type.shape = try boundDims(node.type.shape, values)
    if node.op == .dimension, let number = node.attributes.dim("value")?.constant {
      node.op = .constant
      node.attributes = ["value": .float(Double(number))]
    }
    if !node.op.isTypedAtCreation { node.types = try graph.resultTypes(of: node) }
    for type in node.types { try requirePositive(type) }
    return node
  }

  /// The number that each symbolic dimension has for inputs of these shapes.
  package func bindings(_ shapes: [String: [Int]]) throws(DiagnosticSet) -> [String: Int] {
    var values: [String: (number: Int, input: String)] = [:]
    var diagnostics = DiagnosticSet()
    for input in inputs {
      guard let shape = shapes[input.name] else { continue }
      let declared = self[input.value].type.shape
      guard shape.count == declared.count else {
        diagnostics.add(shapeDiagnostic(input, shape, "the number of dimensions differs"))
        continue
      }
      if let axis = shape.firstIndex(where: { $0 < 1 }) {
        diagnostics.add(shapeDiagnostic(input, shape, "dimension \(axis) is \(shape[axis]), and 1 is the least"))
        continue
      }
      for (dim, number) in zip(declared, shape) {
        guard let symbol = dim.symbol else { continue }
        if let earlier = values[symbol], earlier.number != number {
          let reason = "\(symbol) is \(earlier.number) in '\(earlier.input)'"
          diagnostics.add(shapeDiagnostic(input, shape, reason))
        } else {
          values[symbol] = (number, input.name)
        }
      }
    }
    try diagnostics.throwIfErrors()
    let numbers = solved(shapes, values.mapValues(\.number))
    for input in inputs {
      guard let shape = shapes[input.name] else { continue }
      for (axis, dim) in self[input.value].type.shape.enumerated() {
        guard let bound = dim.bound(numbers), let reason = bound.difference(from: shape[axis]) else { continue }
        diagnostics.add(shapeDiagnostic(input, shape, "dimension \(axis) is \(shape[axis]), \(reason)"))
      }
    }
    try diagnostics.throwIfErrors()
    return numbers
  }

  /// The numbers with those that only arithmetic tells: where `2 * T` is 10, T is 5. What nothing solves is left to the
  /// comparison that follows.
  private func solved(_ shapes: [String: [Int]], _ known: [String: Int]) -> [String: Int] {
    var numbers = known
    for input in inputs {
      for (dim, number) in zip(self[input.value].type.shape, shapes[input.name] ?? []) {
        guard let rest = dim.bound(numbers), rest.symbols.count == 1, let symbol = rest.symbols.first,
          let value = rest.solved(for: symbol, equal: Dim(number))?.constant, value >= 1
        else { continue }
        numbers[symbol] = value
      }
    }
    return numbers
  }

  private func shapeDiagnostic(_ input: GraphInput, _ shape: [Int], _ reason: String) -> Diagnostic {
    let declared = shapeText(self[input.value].type.shape)
    var diagnostic = Diagnostic(
      .error, "'\(input.name)' has shape \(shape), but is declared \(declared): \(reason)")
    diagnostic.location = self[input.value].location
    return diagnostic
  }
}

extension Dim {
  /// Why it is not that number; `nil` where it is, or may be.
  fileprivate func difference(from number: Int) -> String? {
    if let constant { return constant == number ? nil : "not \(constant)" }
    guard symbols.count == 1, let symbol = symbols.first, line(in: symbol) != nil else { return nil }
    return "and no \(symbol) makes \(self) that"
  }
}

private func boundDims(_ dims: [Dim], _ values: [String: Int]) throws(OpError) -> [Dim] {
  var result: [Dim] = []
  for dim in dims { result.append(try checkedDim(dim.bound(values))) }
  return result
}

private func requirePositive(_ type: TensorType) throws(OpError) {
  for dim in type.shape {
    if let number = dim.constant, number < 1 { throw OpError("a dimension of \(type) is not positive") }
  }
  _ = try elementCount(type.shape)
}

extension OpError {
  /// The error with the place and the layer of the node that it is about.
  package func diagnostic(for node: Node) -> Diagnostic {
    let layer = node.scope.isEmpty ? "" : " of layer \(node.scope)"
    var diagnostic = Diagnostic(.error, message, notes: ["in '\(node.op.name)'\(layer)"] + (note.map { [$0] } ?? []))
    diagnostic.location = node.location
    return diagnostic
  }
}
