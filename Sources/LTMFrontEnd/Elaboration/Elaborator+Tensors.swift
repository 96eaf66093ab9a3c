import LTMIR
import LTMSupport
import LTMSyntax

/// A tensor operand with the place where it is written.
struct Operand {
  var id: ValueID
  var span: Span

  init(_ id: ValueID, _ span: Span) {
    self.id = id
    self.span = span
  }
}

extension Elaborator {
  /// Appends one op; a mistake shows each operand that is concerned with its shape.
  func apply(_ op: Op, _ operands: [Operand], _ attributes: Attributes, at span: Span) -> Value {
    guard !isExhausted else { return Value(.poison, span) }
    guard builder.graph.nodes.count < Self.nodeLimit else {
      return exhaust("the graph is too large: more than \(Self.nodeLimit) ops", at: span, notes: ["loops are unrolled"])
    }
    builder.location = location(of: span)
    builder.scope = scope
    let ids = op == .cast ? operands.map(\.id) : operands.map { pinnedOperand($0.id) }
    do {
      let id = try builder.apply(op, ids, attributes)
      let rank = builder.type(id).rank
      guard rank <= Self.rankLimit else {
        return exhaust("a tensor has \(Self.rankLimit) dimensions at most, and this has \(rank)", at: span)
      }
      if op.definition.further?.isHidden == true { return Value(.tensor(id), span) }
      let results = builder.results(of: id).map { Value(.tensor($0), span) }
      return results.count == 1 ? results[0] : Value(.tuple(results), span)
    } catch {
      return report(error, op, operands, attributes, at: span)
    }
  }

  private func report(
    _ error: OpError, _ op: Op, _ operands: [Operand], _ attributes: Attributes, at span: Span
  ) -> Value {
    var labels: [Diagnostic.Label] = []
    for concerned in error.operands where operands.indices.contains(concerned.index) {
      let operand = operands[concerned.index]
      let label = Diagnostic.Label(operand.span, "this is \(typeText(operand.id))")
      if !labels.contains(label) { labels.append(label) }
    }
    return fail(
      error.message, at: span, labels: labels, notes: error.note.map { [$0] } ?? [],
      about: concerned(error, op, operands, attributes))
  }

  /// The dimensions that an error is about; none where ranks or dtypes would be wrong whatever the sizes are.
  private func concerned(_ error: OpError, _ op: Op, _ operands: [Operand], _ attributes: Attributes) -> [Dim] {
    guard isGeneric else { return [] }
    let types = operands.map { builder.type($0.id) }
    let ones = types.map { TensorType($0.dtype, $0.shape.map { _ in 1 }) }
    guard (try? op.definition.infer(ones, attributes.withUnitDims)) != nil else { return [] }
    let places = error.operands.filter { types.indices.contains($0.index) }
    let dims = places.compactMap { place in place.dim.map { types[place.index].shape[$0] } }
    return dims.count == places.count && !dims.isEmpty ? dims : places.flatMap { types[$0.index].shape }
  }

  /// A weak value as a scalar of a dtype; `nil` after an error.
  func constant(_ value: Value, _ dtype: DType, at span: Span) -> ValueID? {
    // The constant keeps the place where the number was written, for messages about numbers that a dtype cannot hold.
    builder.location = Location(value.origin)
    builder.scope = scope
    switch value.kind {
    case .boolean(let bool):
      guard dtype == .bool else { return mismatch(value, dtype, span) }
      return builder.constant(bool ? 1 : 0, TensorType(.bool, []))
    case .float(let number):
      guard dtype.isFloating else { return mismatch(value, dtype, span) }
      return builder.constant(number, TensorType(dtype, []))
    case .integer(let dim):
      guard dtype != .bool else { return mismatch(value, dtype, span) }
      return constant(dim, dtype, span)
    default: return mismatch(value, dtype, span)
    }
  }

  private func constant(_ dim: Dim, _ dtype: DType, _ span: Span) -> ValueID? {
    guard let number = dim.constant else {
      return builder.append(
        Node(
          .dimension, [], ["value": .dim(dim)], type: TensorType(dtype, []), location: builder.location,
          scope: builder.scope))
    }
    guard dtype.isFloating || Int(exactly: dtype.round(Double(number))) == number else {
      fail("\(number) does not fit \(dtype)", at: span)
      return nil
    }
    return builder.constant(Double(number), TensorType(dtype, []))
  }

  private func mismatch(_ value: Value, _ dtype: DType, _ span: Span) -> ValueID? {
    let note = dtype == .bool ? [] : ["convert the tensor with cast(x, f32), or write a value of its dtype"]
    fail("\(describe(value)) does not go with a tensor of \(dtype)", at: span, notes: note)
    return nil
  }

  // MARK: Operands

  /// Turns the values given to an op into tensors: weak ones take the dtype of the others.
  func operands(_ values: [(value: Value, span: Span)], isCast: Bool = false) -> [Operand]? {
    if values.contains(where: \.value.isPoison) { return nil }
    var result: [Operand] = []
    for (index, item) in values.enumerated() {
      if case .tensor(let id) = item.value.kind {
        builder.location = location(of: item.span)
        builder.scope = scope
        result.append(Operand(isCast ? id : pinnedOperand(id), item.span))
        continue
      }
      guard item.value.isWeak else {
        fail("a tensor is needed here, and this is \(describe(item.value))", at: item.span)
        return nil
      }
      guard let id = constant(item.value, weakDType(item.value, values, except: index), at: item.span) else {
        return nil
      }
      result.append(Operand(id, item.span))
    }
    return result
  }

  /// The dtype that a weak value takes beside the other operands: that of the first one it can go with.
  private func weakDType(_ value: Value, _ others: [(value: Value, span: Span)], except index: Int) -> DType {
    if case .boolean = value.kind { return .bool }
    for (other, item) in others.enumerated() where other != index {
      guard case .tensor(let id) = item.value.kind else { continue }
      let dtype = builder.type(id).dtype
      if dtype != .bool { return dtype.isFloating ? pin ?? dtype : dtype }
    }
    return pin ?? .float
  }

  /// Spreads operands over their common shape, as NumPy does: axes align at the end, an axis of size 1 stretches.
  func broadcast(_ operands: [Operand], at span: Span) -> [Operand]? {
    let shapes = operands.map { builder.type($0.id).shape }
    guard let first = shapes.first else { return operands }
    var common = first
    for (index, shape) in shapes.enumerated().dropFirst() {
      guard let joined = joinedShape(common, shape, operands, index, at: span) else { return nil }
      common = joined
    }
    builder.location = location(of: span)
    builder.scope = scope
    return operands.map { Operand(builder.broadcast($0.id, to: common), $0.span) }
  }

  func joinedShape(_ a: [Dim], _ b: [Dim], _ operands: [Operand], _ index: Int, at span: Span) -> [Dim]? {
    let rank = max(a.count, b.count)
    let left = [Dim](repeating: 1, count: rank - a.count) + a
    let right = [Dim](repeating: 1, count: rank - b.count) + b
    var result: [Dim] = []
    for axis in 0..<rank {
      if left[axis] == right[axis] || right[axis] == 1 {
        result.append(left[axis])
      } else if left[axis] == 1 {
        result.append(right[axis])
      } else {
        disagreement(a, b, fromEnd: rank - axis, operands, index, at: span)
        return nil
      }
    }
    return result
  }

  private func disagreement(_ a: [Dim], _ b: [Dim], fromEnd: Int, _ operands: [Operand], _ index: Int, at span: Span) {
    let (left, right) = (a[a.count - fromEnd], b[b.count - fromEnd])
    let place =
      fromEnd == 1
      ? "the last dimension" : a.count == b.count ? "dimension \(a.count - fromEnd)" : "dimension -\(fromEnd)"
    fail(
      "shapes \(Self.text(a)) and \(Self.text(b)) do not agree: \(place) is \(left) and \(right)", at: span,
      labels: operands[...index].filter { builder.type($0.id).rank > 0 }.map {
        .init($0.span, "this is \(typeText($0.id))")
      }, about: [left, right])
  }
}

extension Op {
  /// Whether the front end spreads the operands over a common shape: elementwise ops of two operands or more.
  var broadcasts: Bool {
    let row = definition
    if row.isElementwise { return true }
    guard case .primitive = row.lowering else { return false }
    return row.signature.count >= 2 && row.signature.allSatisfy { $0.kind == .tensor }
  }
}

extension Attributes {
  /// Every size of a shape replaced by 1.
  fileprivate var withUnitDims: Attributes {
    var result = self
    for (name, value) in entries { if case .dims(let dims) = value { result[name] = .dims(dims.map { _ in 1 }) } }
    return result
  }
}
