import LTMIR

// Operators without operands that vary, and branches.

extension OperatorTable {
  static let sources: [String: OperatorRow] = [
    "Constant": .one { call throws in try call.constant() },
    "ConstantOfShape": .one { call throws in
      let shape = try call.sizes(0, "shape") ?? []
      guard case .tensor(let value)? = call.node.attributes["value"] else {
        return try call.full(shape, 0, like: Value(TensorType(.float, []), .float, .sizes([])))
      }
      return try call.full(shape, value.doubles.first ?? 0, like: Value(value))
    },
    "Range": .one { call throws in try call.range() },
  ]
}

extension NodeCall {
  fileprivate func constant() throws -> Value {
    for (name, attribute) in node.attributes {
      switch attribute {
      case .tensor(let value) where name == "value":
        return Value(value.name.isEmpty ? value.with(name: node.outputs.first ?? "") : value)
      case .int(let value): return Value(sizes: [Dim(value)], shape: []).settled
      case .ints(let values): return Value(sizes: values.map { Dim($0) }, shape: [values.count]).settled
      case .float(let value):
        if let constant = Constant(name: "", .float, [value], shape: []) { return Value(constant) }
      case .floats(let values):
        if let constant = Constant(name: "", .float, values, shape: [values.count]) { return Value(constant) }
      case .unreadable(let reason): throw ImportProblem(reason)
      case .tensor, .string, .strings, .graph, .reference: continue
      }
    }
    throw ImportProblem("its value is none that is imported")
  }

  fileprivate func range() throws -> Value {
    let (start, limit, step) = (try input(0), try input(1), try input(2))
    if !start.dtype.isFloating, let low = start.sizes?.first, let high = limit.sizes?.first, step.uniform == 1 {
      let count = try dim(high.subtracting(low))
      let places = try iota([count], axis: 0, start.element)
      return low == 0 ? places : try add(Value(sizes: [low], shape: [], start.element).settled, places)
    }
    guard let a = start.numbers?.first, let b = limit.numbers?.first, let c = step.numbers?.first, c != 0 else {
      throw ImportProblem("its ends are computed when the model runs")
    }
    let count = max(0, ((b - a) / c).rounded(.up))
    guard count >= 1, count <= Double(Value.foldLimit),
      let constant = Constant(name: "", start.element, (0..<Int(count)).map { a + Double($0) * c }, shape: [Int(count)])
    else { throw ImportProblem("it has \(count) elements") }
    return Value(constant)
  }
}
