import LTMIR

/// Makes values of the language's ops: the type by the op table's own rule, what is known at once, everything else as an
/// expression.
final class Builder {
  /// What the written file says, in order.
  private(set) var statements: [Statement] = []
  /// What names stand for.
  private(set) var symbols: [Symbol] = []
  /// The weights that expressions read, by identity.
  private var weights: [ObjectIdentifier: SymbolID] = [:]
  /// The functions that stand at the head of the file.
  private(set) var helpers: Set<Helper> = []
  /// Names of what counts from 0.
  private var counting: Set<SymbolID> = []
  private var definitions: [SymbolID: Expression] = [:]
  private var turned: [ObjectIdentifier: Constant] = [:]
  /// How many nodes loops have written out so far, and the most that they may.
  private var writtenOut = 0
  private static let writtenOutLimit = 16384
  /// The path of the node that is being imported.
  var scope = ""

  /// `let (a, b) = expression`
  struct Statement: Sendable {
    var names: [SymbolID]
    var expression: Expression
    /// The path of the node that it comes from.
    var scope = ""
  }

  /// What a name stands for.
  struct Symbol: Sendable {
    enum Kind: Sendable {
      case argument
      case local
      /// A tensor of the safetensors file.
      case weight(Constant)
    }
    var kind: Kind
    /// The name in the ONNX file.
    var name: String
    /// The operator that gives it.
    var op: String
    var type: TensorType
  }

  // MARK: Names

  func add(_ symbol: Symbol) -> SymbolID {
    symbols.append(symbol)
    return symbols.count - 1
  }

  init() {}

  /// The value of a parameter of the entry.
  func argument(_ name: String, _ type: TensorType, _ element: ElementType) -> Value {
    let id = add(Symbol(kind: .argument, name: name, op: "", type: type))
    return Value(type, element, .expression(.name(id)))
  }

  /// A name for what is computed, so that it is computed once; the value itself where it is known, or a name already.
  func bind(_ value: Value, _ name: String, op: String) -> Value {
    switch value.content {
    case .constant(let constant):
      return constant.name.isEmpty ? Value(value.type, value.element, .constant(constant.with(name: name))) : value
    case .sizes, .expression(.name): return value
    case .expression(let expression):
      let id = add(Symbol(kind: .local, name: name, op: op, type: value.type))
      if counts(value) { counting.insert(id) }
      definitions[id] = expression
      statements.append(Statement(names: [id], expression: expression, scope: scope))
      return Value(value.type, value.element, .expression(.name(id)))
    }
  }

  /// The product that a name stands for, where it is one of a value and a matrix of the file.
  func product(_ value: Value) -> (x: Expression, weight: Constant)? {
    guard case .expression(.name(let id)) = value.content, case .call("matmul", let operands, _)? = definitions[id],
      operands.count == 2, case .name(let weight) = operands[1], case .weight(let constant) = symbols[weight].kind,
      constant.shape.count == 2, !constant.isComputed
    else { return nil }
    return (operands[0], constant)
  }

  /// The matrix with its axes exchanged, one for all that read it.
  func transposed(_ constant: Constant) -> Constant {
    let key = ObjectIdentifier(constant)
    let result = turned[key] ?? constant.transposed
    turned[key] = result
    return result
  }

  /// Whether a value counts from 0, so that nothing in it is negative.
  func counts(_ value: Value) -> Bool {
    switch value.content {
    case .expression(.call("iota", _, _)): true
    case .expression(.name(let id)): counting.contains(id)
    case .expression, .constant, .sizes: false
    }
  }

  /// Names for the results of one expression.
  func bind(_ expression: Expression, _ results: [(TensorType, ElementType)], op: String) -> [Value] {
    let ids = results.map { add(Symbol(kind: .local, name: "", op: op, type: $0.0)) }
    statements.append(Statement(names: ids, expression: expression, scope: scope))
    return zip(ids, results).map { Value($1.0, $1.1, .expression(.name($0))) }
  }

  /// Gives a name to what has none.
  func rename(_ value: Value, _ name: String) {
    if case .expression(.name(let id)) = value.content, symbols[id].name.isEmpty { symbols[id].name = name }
  }

  /// Counts a round of a loop, which is written out.
  func writeOut(_ body: ONNXGraph) throws {
    writtenOut += body.nodes.count + 1
    guard writtenOut <= Self.writtenOutLimit else {
      throw ImportProblem("its rounds would be written out as more than \(Self.writtenOutLimit) nodes")
    }
  }

  func use(_ helper: Helper) { helpers.insert(helper) }

  // MARK: Expressions

  /// The value as an expression of its full type.
  func expression(_ value: Value) throws -> Expression {
    switch value.content {
    case .expression(let expression): return expression
    case .sizes(let sizes): return try expression(sizes, value)
    case .constant(let constant):
      if constant.shape.contains(0) { throw ImportProblem("a tensor without elements is read") }
      if constant.isComputed || value.rank == 0, let number = value.uniform {
        return filled(literal(number, value.dtype), value)
      }
      let key = ObjectIdentifier(constant)
      if let id = weights[key] { return .name(id) }
      let name = constant.name.isEmpty ? "\(scope)/constant" : constant.name
      let id = add(Symbol(kind: .weight(constant), name: name, op: "", type: value.type))
      weights[key] = id
      return .name(id)
    }
  }

  private func expression(_ sizes: [Dim], _ value: Value) throws -> Expression {
    if value.rank == 0 { return .call("cast", [.size(sizes[0]), .word(value.dtype.rawValue)], []) }
    let items = sizes.map { Expression.call("full", [.list([.size(1)]), .size($0)], []) }
    let row = items.count == 1 ? items[0] : .call("concat", [.list(items)], [.init("axis", .size(0))])
    let cast = Expression.call("cast", [row, .word(value.dtype.rawValue)], [])
    return value.rank == 1 ? cast : .method(cast, "reshape", value.shape.map { .size($0) })
  }

  /// One number as a tensor of the value's type.
  private func filled(_ number: Expression, _ value: Value) -> Expression {
    let isTyped = value.dtype == .float || value.dtype == .bool
    let typed = isTyped ? number : .call("cast", [number, .word(value.dtype.rawValue)], [])
    if value.rank == 0 { return isTyped ? .call("cast", [number, .word(value.dtype.rawValue)], []) : typed }
    return .call("full", [.list(value.shape.map { .size($0) }), typed], [])
  }

  /// A number as it is written beside a tensor of the dtype.
  func literal(_ number: Double, _ dtype: DType) -> Expression {
    switch dtype {
    case .bool: return .word(number != 0 ? "true" : "false")
    case .i32, .i64, .u8: return .size(Dim(Int(exactly: number) ?? (number > 0 ? Int.max : Int.min)))
    case .float, .f32, .f16, .bf16:
      let single = Float(number)
      return Double(single) == number || number.isNaN ? .single(single) : .number(number)
    case .f64: return .number(number)
    }
  }

  /// The value where a bare number will do: beside a tensor of the same dtype that has at least its dimensions.
  private func bareNumber(_ value: Value) -> Expression? {
    switch value.content {
    case .expression: nil
    case .sizes(let sizes): sizes.count == 1 ? .size(sizes[0]) : nil
    case .constant(let constant):
      constant.count == 1 ? value.numbers.map { literal($0[0], value.dtype) } : nil
    }
  }

  // MARK: Ops

  /// An op on values, by its row of the table.
  func apply(
    _ op: Op, _ operands: [Value], _ attributes: Attributes = [:], element: ElementType? = nil
  ) throws -> Value {
    let attributes = try completed(op, operands, attributes)
    var types = operands.map(\.type)
    if op.isElementwise {
      let shape = try joinedShape(types.map(\.shape))
      types = types.map { TensorType($0.dtype, shape) }
    }
    let type: TensorType
    do throws(OpError) { type = try op.definition.infer(types, attributes) } catch {
      throw ImportProblem(error.message)
    }
    try requireElements(type)
    let own = operands.first { $0.dtype == type.dtype }?.element
    let element = element ?? own ?? ElementType(type.dtype)
    if let known = Fold.apply(op, operands, attributes, type, element) { return known }
    let spelled = Spelling(op: op, attributes: attributes, types: operands.map(\.type))
    let expressions = try op.isElementwise ? elementwise(operands) : all(operands)
    return Value(type, element, .expression(spelled.expression(expressions)))
  }

  func all(_ operands: [Value]) throws -> [Expression] {
    var result: [Expression] = []
    for operand in operands { result.append(try expression(operand)) }
    return result
  }

  /// Operands of an elementwise op, of which those of one element are bare numbers where others say the rest.
  private func elementwise(_ operands: [Value]) throws -> [Expression] {
    var result: [Expression] = []
    for (index, operand) in operands.enumerated() {
      let isTold = operands.enumerated().contains { other, value in
        other != index && value.dtype == operand.dtype && value.rank >= operand.rank
          && (bareNumber(value) == nil || other < index && bareNumber(operand) == nil)
      }
      if isTold, let number = bareNumber(operand) {
        result.append(number)
      } else {
        result.append(try expression(operand))
      }
    }
    return result
  }

  /// The attributes with the defaults of those that are left out; an axis counts from the front.
  private func completed(
    _ op: Op, _ operands: [Value], _ attributes: Attributes
  ) throws -> Attributes {
    var result = attributes
    let rank = operands.first?.rank ?? attributes.dims("shape")?.count ?? 0
    for parameter in op.definition.callSignature {
      if result[parameter.name] == nil {
        result[parameter.name] =
          parameter.kind == .axes ? .ints(Array(0..<rank)) : parameter.defaultValue
      }
      if parameter.kind == .axis, let axis = result.int(parameter.name) {
        guard axis >= -rank, axis < rank || rank == 0 else {
          throw ImportProblem("axis \(axis) does not exist: the rank is \(rank)")
        }
        result[parameter.name] = .int(axis < 0 ? axis + rank : axis)
      }
      if parameter.kind == .axes, let axes = result.ints(parameter.name) {
        let normal = axes.map { $0 < 0 ? $0 + rank : $0 }
        guard normal.allSatisfy({ (0..<rank).contains($0) }), Set(normal).count == axes.count else {
          throw ImportProblem("the axes \(axes) do not exist or stand twice: the rank is \(rank)")
        }
        result[parameter.name] = .ints(normal.sorted())
      }
    }
    return result
  }

  /// NumPy's common shape.
  func joinedShape(_ shapes: [[Dim]]) throws -> [Dim] {
    var common = shapes.first ?? []
    for shape in shapes.dropFirst() {
      let rank = max(common.count, shape.count)
      let left = [Dim](repeating: 1, count: rank - common.count) + common
      let right = [Dim](repeating: 1, count: rank - shape.count) + shape
      common = []
      for (a, b) in zip(left, right) {
        guard a == b || a == 1 || b == 1 else {
          throw ImportProblem(
            "its operands are \(shapeText(left)) and \(shapeText(right)), and \(a) and \(b) are not known to be equal")
        }
        common.append(a == 1 ? b : a)
      }
    }
    return common
  }

  func requireElements(_ type: TensorType) throws {
    if let wrong = type.shape.compactMap(\.constant).first(where: { $0 < 1 }) {
      throw ImportProblem(
        "its result is \(shapeText(type.shape)), and a dimension of \(wrong) is none that a tensor has here")
    }
    if type.rank > 32 { throw ImportProblem("its result has \(type.rank) dimensions, and 32 is the most") }
  }
}

/// `[B, 64]`
func shapeText(_ shape: [Dim]) -> String { "[\(shape.map(ExpressionText.text).joined(separator: ", "))]" }
