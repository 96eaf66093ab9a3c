import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// A call of an op, read by the signature in its row.
  func call(_ op: Op, _ arguments: [Given], _ span: Span) -> Value {
    guard let bound = bind(arguments, of: op, at: span) else { return Value(.poison, span) }
    return needing(arguments.map(\.value)) { call(op, bound, span) }
  }

  private func call(_ op: Op, _ bound: [[Given]], _ span: Span) -> Value {
    var call = OpCall(op: op, span: span)
    for (parameter, given) in zip(op.definition.callSignature, bound) where parameter.kind.isTensor {
      call.tensors += given.flatMap { argument in
        argument.value.items.map { (value: typed($0, parameter.literal, argument.span), span: argument.span) }
      }
    }
    if let value = computedNow(call) { return value }
    guard inGraph else {
      return fail("'\(op.name)' makes a tensor, and tensors exist only in functions", at: span)
    }
    guard let operands = operands(call.tensors, isCast: op == .cast) else { return Value(.poison, span) }
    call.operands = operands
    for (parameter, given) in zip(op.definition.callSignature, bound) where !parameter.kind.isTensor {
      guard read(parameter, given, into: &call) else { return Value(.poison, span) }
    }
    guard settleWindows(&call, bound) else { return Value(.poison, span) }
    return op.readsKey && draws(&call) ? draw(call) : finish(call)
  }

  /// A number as a tensor of the dtype that the op has it in.
  private func typed(_ value: Value, _ dtype: DType?, _ span: Span) -> Value {
    guard let dtype, value.isWeak, inGraph else { return value }
    return constant(value, dtype, at: span).map { Value(.tensor($0), span) } ?? Value(.poison, span)
  }

  /// Whether a call draws: one whose key may be left out draws where it drops out, which is in training only.
  private func draws(_ call: inout OpCall) -> Bool {
    guard call.op.definition.signature.contains(where: { $0.kind == .key && $0.isOptional }),
      let probability = call.attributes.float("dropout"), 0...1 ~= probability
    else { return true }
    if !training { call.attributes["dropout"] = .float(0) }
    return training && probability > 0
  }

  /// Last adjustments: broadcasting, matrix products of unequal rank.
  private func finish(_ call: OpCall) -> Value {
    if call.op == .matmul { return matmul(call) }
    if call.op == .pad { return padded(call) }
    if call.op == .cast, let number = castNumber(call) { return number }
    guard call.op.broadcasts else { return apply(call.op, call.operands, call.attributes, at: call.span) }
    guard let spread = broadcast(call.operands, at: call.span) else { return Value(.poison, call.span) }
    return apply(call.op, spread, call.attributes, at: call.span)
  }

  /// Padding by a value, or by what is there.
  private func padded(_ call: OpCall) -> Value {
    var (op, attributes) = (call.op, call.attributes)
    if attributes.word("mode") == "constant" { attributes["mode"] = nil }
    if attributes["mode"] != nil { (op, attributes["value"]) = (.padAround, nil) }
    return apply(op, call.operands, attributes, at: call.span)
  }

  /// A cast of a number that is known already: one of its dtype, which must have it. `nil` where a tensor is cast.
  private func castNumber(_ call: OpCall) -> Value? {
    guard let (value, span) = call.tensors.first, let number = value.number, let dtype = call.attributes.dtype("dtype"),
      dtype != .bool
    else { return nil }
    let whole = dtype.isFloating ? number : number.rounded(.towardZero)
    guard fits(whole, dtype, at: span) else { return Value(.poison, call.span) }
    if case .integer = value.kind, !dtype.isFloating {
      return constant(value, dtype, at: span).map { Value(.tensor($0), call.span) } ?? Value(.poison, call.span)
    }
    return nil
  }

  /// A scalar function of numbers that are known already, by the op's own reference.
  private func computedNow(_ call: OpCall) -> Value? {
    let row = call.op.definition
    guard row.signature.allSatisfy({ $0.kind == .tensor }), call.tensors.count == row.signature.count else {
      return nil
    }
    let numbers = call.tensors.compactMap(\.value.number)
    guard numbers.count == call.tensors.count, !numbers.isEmpty else { return nil }
    let types = numbers.map { _ in TensorType(.f64, []) }
    guard let type = try? row.infer(types, [:]), type == TensorType(.f64, []) else { return nil }
    let result = row.evaluate(numbers.map { Reference(shape: [], data: [$0]) }, [:], type)
    return result.data.first.map { Value(.float($0), call.span) }
  }

  // MARK: Arguments

  /// What is given for each parameter of the signature; `nil` after an error.
  private func bind(_ arguments: [Given], of op: Op, at span: Span) -> [[Given]]? {
    let signature = op.definition.callSignature
    var bound = [[Given]](repeating: [], count: signature.count)
    var next = 0
    for argument in arguments {
      if let name = argument.name {
        guard let index = signature.firstIndex(where: { $0.answers(to: name.text) }) else {
          unknownArgument(name, signature.map(\.name), op.name)
          return nil
        }
        guard bound[index].isEmpty else {
          fail("'\(name.text)' is given twice", at: name.span)
          return nil
        }
        bound[index] = [argument]
      } else {
        guard next < signature.count else {
          fail(
            "'\(op.name)' takes \(counted(signature.count, "argument")), and this is one more", at: argument.span,
            notes: [usage(op)])
          return nil
        }
        bound[next].append(argument)
        if !signature[next].kind.isVariadic || argument.value.isSequence { next += 1 }
      }
    }
    return isComplete(bound, op, span) ? bound : nil
  }

  private func isComplete(_ bound: [[Given]], _ op: Op, _ span: Span) -> Bool {
    for (parameter, given) in zip(op.definition.callSignature, bound) where given.isEmpty && parameter.isRequired {
      fail("'\(op.name)' needs '\(parameter.name)'", at: span, notes: [usage(op)])
      return false
    }
    return true
  }

  /// `it is softmax(x, axis)`
  private func usage(_ op: Op) -> String {
    let names = op.definition.callSignature.map { $0.isRequired ? $0.name : "\($0.name): ..." }
    return "it is \(op.name)(\(names.joined(separator: ", "))): \(op.definition.summary)"
  }

  /// Reads one attribute; false after an error.
  private func read(_ parameter: OpParameter, _ given: [Given], into call: inout OpCall) -> Bool {
    guard let first = given.first else {
      if parameter.kind == .axes {
        call.attributes[parameter.name] = .ints(Array(0..<call.rank(builder)))
      } else if parameter.kind == .axis, case .int(let axis)? = parameter.defaultValue {
        guard let normal = normalized(axis, rank: call.rank(builder), at: call.span) else { return false }
        call.attributes[parameter.name] = .int(normal)
      } else {
        call.attributes[parameter.name] = parameter.defaultValue
      }
      return true
    }
    guard let attribute = attribute(parameter, given, call) else {
      if !given.contains(where: \.value.isPoison), !isReported(first.span) {
        fail(
          "'\(parameter.name)' of '\(call.op.name)' is \(parameter.kind.words), and this is \(describe(first.value))",
          at: first.span)
      }
      return false
    }
    call.attributes[parameter.name] = attribute
    return true
  }

  private func isReported(_ span: Span) -> Bool {
    diagnostics.all.contains { $0.span == span && $0.severity == .error }
  }

  private func attribute(_ parameter: OpParameter, _ given: [Given], _ call: OpCall) -> Attribute? {
    let value = given[0].value
    switch parameter.kind {
    case .tensor, .optionalTensor, .tensors, .key: return nil
    case .int: return value.constantInteger.map { .int($0) }
    case .float: return value.number.map { .float($0) }
    case .bool: if case .boolean(let bool) = value.kind { return .bool(bool) } else { return nil }
    case .dtype: if case .dtype(let dtype) = value.kind { return .dtype(dtype) } else { return nil }
    case .dim: if case .integer(let dim) = value.kind { return .dim(dim) } else { return nil }
    case .axis:
      guard let axis = value.constantInteger else { return nil }
      return normalized(axis, rank: call.rank(builder), at: given[0].span).map { .int($0) }
    case .axes:
      guard let axes = integers(given)?.map(\.constant) else { return nil }
      return normalized(axes, rank: call.rank(builder), at: given[0].span)
    case .dims: return integers(given).flatMap { dims($0, call, given[0].span) }
    case .ints:
      guard let ints = integers(given) else { return nil }
      let numbers = ints.compactMap(\.constant)
      return numbers.count == ints.count ? .ints(numbers) : nil
    case .sizes(let count): return sizes(value, count)
    case .padding(let count): return padding(value, count)
    case .word(let words):
      guard case .string(let word) = value.kind, words.contains(word) else { return nil }
      return .word(word)
    }
  }

  /// Ints given one by one or as one list.
  func integers(_ given: [Given]) -> [Dim]? {
    let values = given.flatMap(\.value.items)
    let dims = values.compactMap { value -> Dim? in if case .integer(let dim) = value.kind { dim } else { nil } }
    return dims.count == values.count ? dims : nil
  }

  private func normalized(_ axes: [Int?], rank: Int, at span: Span) -> Attribute? {
    var result: Set<Int> = []
    for axis in axes {
      guard let axis, let normal = normalized(axis, rank: rank, at: span) else { return nil }
      guard result.insert(normal).inserted else {
        fail("axis \(axis) is given twice", at: span)
        return nil
      }
    }
    return .ints(result.sorted())
  }

  /// An axis counted from the front; `nil` after an error.
  func normalized(_ axis: Int, rank: Int, at span: Span) -> Int? {
    guard axis >= -rank, axis < rank else {
      fail("axis \(axis) does not exist: there \(rank == 1 ? "is" : "are") \(counted(rank, "dimension"))", at: span)
      return nil
    }
    return axis < 0 ? axis + rank : axis
  }

  /// The dimensions of a new shape; one -1 in a `reshape` takes what is left.
  private func dims(_ dims: [Dim], _ call: OpCall, _ span: Span) -> Attribute? {
    var dims = dims
    if call.op == .expand, let operand = call.operands.first {
      let shape = builder.type(operand.id).shape
      for (place, size) in zip(dims.indices.reversed(), shape.reversed()) where dims[place] == -1 { dims[place] = size }
    }
    if call.op == .reshape, let hole = dims.firstIndex(of: -1), let operand = call.operands.first {
      dims[hole] = 1
      let shape = builder.type(operand.id).shape
      guard let total = product(shape), let rest = product(dims), let size = total.dividedExactly(by: rest) else {
        fail("the -1 in this shape is no whole number: the tensor is \(Self.text(shape))", at: span)
        return nil
      }
      dims[hole] = size
    }
    if let wrong = dims.compactMap(\.constant).first(where: { $0 < 1 }) {
      fail("a dimension is 1 or more, and this is \(wrong)", at: span)
      return nil
    }
    return .dims(dims)
  }

  func product(_ dims: [Dim]) -> Dim? {
    dims.reduce(Dim(1)) { result, dim in result.flatMap { $0.multiplied(by: dim) } }
  }

  // MARK: Matrix products

  /// Leading dimensions spread as NumPy's; a plain matrix on the right multiplies all rows at once.
  private func matmul(_ call: OpCall) -> Value {
    let span = call.span
    guard call.operands.count == 2 else { return apply(.matmul, call.operands, call.attributes, at: span) }
    let (a, b) = (builder.type(call.operands[0].id).shape, builder.type(call.operands[1].id).shape)
    guard a.count >= 2, b.count >= 2, a.count != b.count || a.dropLast(2) != b.dropLast(2),
      a[a.count - 1] == b[b.count - 2]
    else { return apply(.matmul, call.operands, call.attributes, at: span) }
    if b.count == 2, let rows = product(Array(a.dropLast())) {
      let flat = apply(.reshape, [call.operands[0]], ["shape": .dims([rows, a[a.count - 1]])], at: span)
      guard case .tensor(let left) = flat.kind else { return flat }
      let result = apply(.matmul, [Operand(left, call.operands[0].span), call.operands[1]], [:], at: span)
      guard case .tensor(let id) = result.kind else { return result }
      return apply(.reshape, [Operand(id, span)], ["shape": .dims(a.dropLast() + b.suffix(1))], at: span)
    }
    guard let leading = joinedShape(Array(a.dropLast(2)), Array(b.dropLast(2)), call.operands, 1, at: span) else {
      return Value(.poison, span)
    }
    let left = builder.broadcast(call.operands[0].id, to: leading + a.suffix(2))
    let right = builder.broadcast(call.operands[1].id, to: leading + b.suffix(2))
    return apply(.matmul, [Operand(left, call.operands[0].span), Operand(right, call.operands[1].span)], [:], at: span)
  }
}

/// An op with what it is applied to, while its arguments are read.
struct OpCall {
  var op: Op
  var span: Span
  var tensors: [(value: Value, span: Span)] = []
  var operands: [Operand] = []
  var attributes: Attributes = [:]

  /// The rank that axes count in: that of the first operand, or of the shape that is made.
  func rank(_ builder: GraphBuilder) -> Int {
    operands.first.map { builder.type($0.id).rank } ?? attributes.dims("shape")?.count ?? 0
  }
}

extension Value {
  /// Whether it stands for several arguments: `concat([a, b])`.
  var isSequence: Bool {
    switch kind {
    case .list, .tuple: true
    default: false
    }
  }

  /// The items of a list, or the value alone.
  var items: [Value] {
    switch kind {
    case .list(let items), .tuple(let items): items
    default: [self]
    }
  }
}

extension OpParameter {
  var isRequired: Bool { defaultValue == nil && !isOptional && kind != .axes && kind != .optionalTensor }

  /// `axis` may be said for `axes`.
  func answers(to name: String) -> Bool { name == self.name || kind == .axes && (name == "axis" || name == "axes") }
}

extension OpParameter.Kind {
  var isTensor: Bool {
    switch self {
    case .tensor, .optionalTensor, .tensors, .key: true
    case .int, .float, .bool, .dtype, .axis, .axes, .dim, .dims, .ints, .sizes, .padding, .word: false
    }
  }

  /// Whether it takes all positional arguments that are left.
  var isVariadic: Bool {
    switch self {
    case .tensors, .dims, .ints: true
    case .tensor, .optionalTensor, .key, .int, .float, .bool, .dtype, .axis, .axes, .dim, .sizes, .padding, .word: false
    }
  }

  var words: String {
    switch self {
    case .tensor, .optionalTensor, .tensors, .key: "a tensor"
    case .int, .axis: "an Int known at compile time"
    case .float: "a Float known at compile time"
    case .bool: "a Bool"
    case .dtype: "a dtype"
    case .axes: "an axis or a list of axes"
    case .dim: "an Int"
    case .dims, .ints: "a list of Ints"
    case .sizes(1): "an Int"
    case .sizes(let count): "an Int or \(count) Ints, as in (\((0..<count).map { _ in "2" }.joined(separator: ", ")))"
    case .padding(let count):
      "an Int\(count == 1 ? "" : ", \(count) Ints"), \"same\" or \"valid\""
    case .word(let words): words.map { "\"\($0)\"" }.joined(separator: " or ")
    }
  }
}
