import LTMIR

/// A node while it is translated: its operands as values, its attributes, and the builder that makes values of them.
struct NodeCall {
  let node: ONNXNode
  /// The version of the node's domain.
  let opset: Int
  /// Its operands; `nil` for one that is left out.
  let inputs: [Value?]
  let builder: Builder
  /// Runs a graph of the node on these values, with the names that are in scope; gives its results.
  let run: (ONNXGraph, [Value]) throws -> [Value]

  // MARK: Operands

  func input(_ index: Int) throws -> Value {
    guard let value = optional(index) else { throw ImportProblem("operand \(index) is missing") }
    return value
  }

  func optional(_ index: Int) -> Value? { inputs.indices.contains(index) ? inputs[index] : nil }

  /// The operand under a name, for formulas that read it more than once.
  func named(_ index: Int) throws -> Value { named(try input(index)) }

  func named(_ value: Value) -> Value { builder.bind(value, "", op: node.op) }

  /// All operands.
  func operands() throws -> [Value] {
    var result: [Value] = []
    for index in inputs.indices { result.append(try input(index)) }
    return result
  }

  /// The integers of an operand that is known at import; `nil` where it is left out.
  func integers(_ index: Int, _ name: String) throws -> [Int]? {
    guard let value = optional(index) else { return nil }
    guard let integers = value.integers else { throw ImportProblem("'\(name)' is computed when the model runs") }
    return integers
  }

  /// Sizes, which may hold symbolic dimensions; `nil` where the operand is left out.
  func sizes(_ index: Int, _ name: String) throws -> [Dim]? {
    guard let value = optional(index) else { return nil }
    guard let sizes = value.sizes else { throw ImportProblem("'\(name)' is computed when the model runs") }
    return sizes
  }

  /// One number that is known at import; `nil` where the operand is left out.
  func number(_ index: Int, _ name: String) throws -> Double? {
    guard let value = optional(index) else { return nil }
    guard let number = value.numbers?.first else { throw ImportProblem("'\(name)' is computed when the model runs") }
    return number
  }

  // MARK: Attributes

  func int(_ name: String) -> Int? { if case .int(let value)? = node.attributes[name] { value } else { nil } }

  func int(_ name: String, _ standard: Int) -> Int { int(name) ?? standard }

  func flag(_ name: String, _ standard: Bool = false) -> Bool { int(name).map { $0 != 0 } ?? standard }

  func ints(_ name: String) -> [Int]? { if case .ints(let value)? = node.attributes[name] { value } else { nil } }

  func float(_ name: String) -> Double? {
    switch node.attributes[name] {
    case .float(let value)?: value
    case .int(let value)?: Double(value)
    default: nil
    }
  }

  func float(_ name: String, _ standard: Double) -> Double { float(name) ?? standard }

  func string(_ name: String, _ standard: String) -> String {
    if case .string(let value)? = node.attributes[name] { value } else { standard }
  }

  func strings(_ name: String) -> [String]? {
    if case .strings(let value)? = node.attributes[name] { value } else { nil }
  }

  func floats(_ name: String) -> [Double]? {
    if case .floats(let value)? = node.attributes[name] { value } else { nil }
  }

  /// What moved from an attribute to an operand between opsets: whichever is there.
  func ints(_ name: String, orInput index: Int) throws -> [Int]? {
    if let given = ints(name) { return given }
    return try integers(index, name)
  }

  // MARK: Ops

  func apply(
    _ op: Op, _ operands: [Value], _ attributes: Attributes = [:], element: ElementType? = nil
  ) throws -> Value { try builder.apply(op, operands, attributes, element: element) }

  func number(_ number: Double, like value: Value) -> Value { Value(number, like: value) }

  func add(_ a: Value, _ b: Value) throws -> Value { try apply(.add, [a, b]) }
  func sub(_ a: Value, _ b: Value) throws -> Value { try apply(.sub, [a, b]) }
  func mul(_ a: Value, _ b: Value) throws -> Value { try apply(.mul, [a, b]) }
  func div(_ a: Value, _ b: Value) throws -> Value { try apply(.div, [a, b]) }
  func add(_ a: Value, _ b: Double) throws -> Value { try apply(.add, [a, number(b, like: a)]) }
  func sub(_ a: Value, _ b: Double) throws -> Value { try apply(.sub, [a, number(b, like: a)]) }
  func mul(_ a: Value, _ b: Double) throws -> Value { try apply(.mul, [a, number(b, like: a)]) }
  func div(_ a: Value, _ b: Double) throws -> Value { try apply(.div, [a, number(b, like: a)]) }
  func unary(_ op: Op, _ x: Value) throws -> Value { try apply(op, [x]) }

  func choose(_ condition: Value, _ a: Value, _ b: Value) throws -> Value {
    try apply(.where, [condition, a, b], element: a.element)
  }

  func compare(_ op: Op, _ a: Value, _ b: Double) throws -> Value {
    try apply(op, [a, number(b, like: a)])
  }

  func cast(_ x: Value, _ element: ElementType) throws -> Value {
    guard let dtype = element.carrier else { throw ImportProblem("tensors of \(element.name) are not imported") }
    if x.dtype == dtype { return Value(x.type, element, x.content) }
    return try apply(.cast, [x], ["dtype": .dtype(dtype)], element: element)
  }

  func reshape(_ x: Value, _ shape: [Dim]) throws -> Value {
    x.shape == shape ? x : try apply(.reshape, [x], ["shape": .dims(shape)])
  }

  func transpose(_ x: Value, _ permutation: [Int]) throws -> Value {
    permutation == Array(permutation.indices) ? x : try apply(.transpose, [x], ["permutation": .ints(permutation)])
  }

  func slice(_ x: Value, axis: Int, from start: Dim, to limit: Dim) throws -> Value {
    guard x.shape.indices.contains(axis) else {
      throw ImportProblem("axis \(axis) does not exist: the rank is \(x.rank)")
    }
    if start == 0, limit == x.shape[axis] { return x }
    return try apply(.slice, [x], ["axis": .int(axis), "start": .dim(start), "limit": .dim(limit), "stride": .int(1)])
  }

  /// Spread over a shape; itself where it has it.
  func broadcast(_ x: Value, to shape: [Dim]) throws -> Value {
    let joined = try builder.joinedShape([x.shape, shape])
    if joined == x.shape { return x }
    let axes = x.shape.indices.map { $0 + joined.count - x.rank }
    return try apply(.broadcast, [x], ["shape": .dims(joined), "axes": .ints(axes)])
  }

  /// `0, 1, 2, ...` along an axis.
  func iota(_ shape: [Dim], axis: Int, _ element: ElementType = .int64) throws -> Value {
    try apply(
      .iota, [], ["shape": .dims(shape), "axis": .int(axis), "dtype": .dtype(element.carrier ?? .i64)],
      element: element)
  }

  /// A tensor of one number.
  func full(_ shape: [Dim], _ number: Double, like value: Value) throws -> Value {
    let scalar = self.number(number, like: value)
    if let sizes = Value(sizes: shape, shape: [shape.count]).integers, let count = elementCount(sizes),
      count <= Value.foldLimit,
      let constant = Constant(
        name: "", value.element, [Double](repeating: number, count: count), shape: sizes)
    {
      return Value(constant)
    }
    try builder.requireElements(TensorType(value.dtype, shape))
    let one = try builder.expression(scalar)
    let text = value.dtype == .float || value.dtype == .bool ? builder.literal(number, value.dtype) : one
    return Value(
      TensorType(value.dtype, shape), value.element,
      .expression(.call("full", [.list(shape.map { .size($0) }), text], [])))
  }

  func axis(_ axis: Int, rank: Int) throws -> Int {
    guard axis >= -rank, axis < rank else { throw ImportProblem("axis \(axis) does not exist: the rank is \(rank)") }
    return axis < 0 ? axis + rank : axis
  }

  func dim(_ value: Dim?) throws -> Dim {
    guard let value else { throw ImportProblem("a dimension overflows") }
    return value
  }

  func product(_ dims: some Sequence<Dim>) throws -> Dim {
    var result: Dim = 1
    for dim in dims { result = try self.dim(result.multiplied(by: dim)) }
    return result
  }
}
