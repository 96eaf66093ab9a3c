import LTMSupport

// The builder's short forms, in which gradients and lowerings are written.

extension GraphBuilder {
  /// `a + b`
  package mutating func add(_ a: ValueID, _ b: ValueID) -> ValueID { make(.add, [a, b]) }
  /// `a - b`
  package mutating func sub(_ a: ValueID, _ b: ValueID) -> ValueID { make(.sub, [a, b]) }
  /// `a * b`
  package mutating func mul(_ a: ValueID, _ b: ValueID) -> ValueID { make(.mul, [a, b]) }
  /// `a / b`
  package mutating func div(_ a: ValueID, _ b: ValueID) -> ValueID { make(.div, [a, b]) }
  /// `-a`
  package mutating func neg(_ a: ValueID) -> ValueID { make(.neg, [a]) }
  /// `e^a`
  package mutating func exp(_ a: ValueID) -> ValueID { make(.exp, [a]) }
  /// `a * factor`
  package mutating func scale(_ a: ValueID, by factor: Double) -> ValueID { mul(a, fill(factor, like: a)) }
  /// `a + offset`
  package mutating func offset(_ a: ValueID, by offset: Double) -> ValueID { add(a, fill(offset, like: a)) }
  /// `condition ? a : b`
  package mutating func select(_ condition: ValueID, _ a: ValueID, _ b: ValueID) -> ValueID {
    make(.where, [condition, a, b])
  }

  /// The number everywhere, in the type of a value.
  package mutating func fill(_ number: Double, like value: ValueID) -> ValueID { constant(number, type(value)) }
  /// Zeros of that type.
  package mutating func zeros(_ type: TensorType) -> ValueID { constant(0, type) }

  /// The sum over axes; the value itself when there are none.
  package mutating func sum(_ value: ValueID, _ axes: [Int], keep: Bool = false) -> ValueID {
    axes.isEmpty ? value : make(.sum, [value], ["axes": .ints(axes), "keep": .bool(keep)])
  }

  /// A dimension as a scalar of a dtype: a number where it is one, to be bound where it is symbolic.
  package mutating func dimension(_ dim: Dim, _ dtype: DType) -> ValueID {
    if let number = dim.constant { return constant(Double(number), TensorType(dtype, [])) }
    return append(
      Node(
        .dimension, [], ["value": .dim(dim)], type: TensorType(dtype, []), location: location, scope: scope,
        reason: reason))
  }

  /// The number of elements of `dims`, a scalar.
  mutating func count(_ dims: [Dim], _ dtype: DType) -> ValueID {
    guard let count = try? elementCount(dims) else {
      internalFailure("graph", "the size of \(dims) overflows")
    }
    return dimension(count, dtype)
  }

  /// `value / n` for the number of elements of `dims`, divided in the value's own dtype (wide, in every formula here).
  package mutating func dividedByCount(_ value: ValueID, of dims: [Dim]) -> ValueID {
    div(value, broadcast(count(dims, type(value).dtype), to: type(value).shape))
  }

  /// The mean over axes, which stay with size 1.
  mutating func meanKeeping(_ value: ValueID, _ axes: [Int]) -> ValueID {
    dividedByCount(sum(value, axes, keep: true), of: axes.map { type(value).shape[$0] })
  }

  /// The mean over everything.
  mutating func meanOfAll(_ value: ValueID) -> ValueID {
    let shape = type(value).shape
    return dividedByCount(sum(value, Array(shape.indices)), of: shape)
  }

  /// Spreads what a reduction left over the shape that it reduced.
  mutating func spread(_ value: ValueID, over shape: [Dim], reduced axes: [Int], kept: Bool) -> ValueID {
    if kept { return broadcast(value, to: shape, axes: Array(shape.indices)) }
    return broadcast(value, to: shape, axes: shape.indices.filter { !axes.contains($0) })
  }

  /// Spreads a value, whose reduced axes have size 1, over another's shape.
  mutating func spread(_ value: ValueID, like other: ValueID) -> ValueID { broadcast(value, to: type(other).shape) }
}
