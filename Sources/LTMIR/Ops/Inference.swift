// What the rows of the op table share to say what they accept: dtypes joined, shapes compared, attributes read. Every
// mistake is an `OpError`; dimensions that the polynomials cannot compare are let through and compared again once bound.

/// The element types that a row accepts.
enum Accepted: Sendable {
  case floats, numbers, anything, bools

  func contains(_ dtype: DType) -> Bool {
    switch self {
    case .floats: dtype.isFloating
    case .numbers: dtype != .bool
    case .anything: true
    case .bools: dtype == .bool
    }
  }

  var words: String {
    switch self {
    case .floats: "floating-point"
    case .numbers: "numeric"
    case .anything: "any"
    case .bools: "bool"
    }
  }
}

/// A row's type rule.
typealias InferRule = @Sendable ([TensorType], Attributes) throws(OpError) -> TensorType

extension DType {
  /// The dtype that a formula of several steps computes in: wide, and undecided where the value's own is.
  var arithmetic: DType { self == .float ? .float : accumulator }
}

/// The one dtype of some operands: `float` with a concrete float is `float`, and the casts pass settles it.
func joinedDType(_ types: [TensorType], _ accepted: Accepted) throws(OpError) -> DType {
  guard var result = types.first?.dtype else { throw OpError("at least one operand is needed") }
  for (index, type) in types.enumerated() {
    guard accepted.contains(type.dtype) else {
      let note =
        accepted == .floats && !type.dtype.isFloating
        ? "convert it first: cast(x, f32)" : accepted == .bools ? "compare it first: x != 0" : nil
      throw OpError(
        "\(accepted.words) operands are needed, this one is \(type.dtype)", operands: [(index, nil)], note: note)
    }
    if type.dtype == result { continue }
    guard type.dtype.isFloating, result.isFloating, type.dtype == .float || result == .float else {
      throw OpError(
        "operands are \(types[0].dtype) and \(type.dtype)", operands: [(0, nil), (index, nil)],
        note: "convert one of them with cast")
    }
    result = .float
  }
  return result
}

/// Throws unless all shapes are equal by normal form.
func requireEqualShapes(_ types: [TensorType]) throws(OpError) {
  guard let first = types.first else { return }
  for (index, type) in types.enumerated() where type.shape != first.shape {
    let axis = type.rank == first.rank ? zip(first.shape, type.shape).firstIndexOfDifference : nil
    let place = axis.map { ": dimension \($0) is \(first.shape[$0]) and \(type.shape[$0])" } ?? ""
    throw OpError(
      "shapes \(shapeText(first.shape)) and \(shapeText(type.shape)) differ\(place)",
      operands: [(0, axis), (index, axis)])
  }
}

extension Zip2Sequence where Sequence1 == [Dim], Sequence2 == [Dim] {
  fileprivate var firstIndexOfDifference: Int? { enumerated().first { $0.element.0 != $0.element.1 }?.offset }
}

/// `[B, 64]`
func shapeText(_ shape: [Dim]) -> String { "[\(shape.map(\.description).joined(separator: ", "))]" }

/// Throws unless the number of operands is as the row needs it.
func requireCount(_ types: [TensorType], _ range: ClosedRange<Int>) throws(OpError) {
  guard !range.contains(types.count) else { return }
  let wanted =
    range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
  throw OpError("\(wanted) operand\(range.upperBound == 1 ? "" : "s") expected, \(types.count) given")
}

/// Throws unless the operand has at least `rank` dimensions.
func requireRank(_ types: [TensorType], _ index: Int, atLeast rank: Int) throws(OpError) {
  guard types[index].rank < rank else { return }
  throw OpError(
    "at least \(rank) dimension\(rank == 1 ? "" : "s") needed, the shape is \(shapeText(types[index].shape))",
    operands: [(index, nil)])
}

extension Attributes {
  /// Reads a required attribute, or says which one is missing.
  func required<T>(_ name: String, _ value: T?) throws(OpError) -> T {
    guard let value else { throw OpError("attribute `\(name)` is missing or of the wrong kind") }
    return value
  }

  /// One axis of a shape of that rank.
  func requiredAxis(_ name: String = "axis", rank: Int) throws(OpError) -> Int {
    try checkedAxis(required(name, int(name)), rank: rank)
  }

  /// Axes of a shape of that rank, each at most once.
  func requiredAxes(_ name: String = "axes", rank: Int) throws(OpError) -> [Int] {
    let axes = try required(name, ints(name))
    for axis in axes { _ = try checkedAxis(axis, rank: rank) }
    guard Set(axes).count == axes.count else { throw OpError("an axis occurs twice in \(axes)") }
    return axes
  }
}

private func checkedAxis(_ axis: Int, rank: Int) throws(OpError) -> Int {
  guard axis >= 0, axis < rank else {
    throw OpError(
      "axis \(axis) does not exist in a shape of \(rank) dimension\(rank == 1 ? "" : "s")", operands: [(0, nil)])
  }
  return axis
}

/// The number of elements as a polynomial.
func elementCount(_ shape: [Dim]) throws(OpError) -> Dim {
  var count: Dim = 1
  for dim in shape {
    guard let product = count.multiplied(by: dim) else { throw OpError("the size of \(shapeText(shape)) overflows") }
    count = product
  }
  return count
}

/// Unwraps arithmetic on dimensions.
func checkedDim(_ dim: Dim?) throws(OpError) -> Dim {
  guard let dim else { throw OpError("a dimension overflows") }
  return dim
}

/// The shape left when `axes` are reduced.
func reducedShape(_ shape: [Dim], axes: [Int], keep: Bool) -> [Dim] {
  shape.indices.compactMap { axis in axes.contains(axis) ? (keep ? 1 : nil) : shape[axis] }
}

/// The rule of elementwise ops: equal shapes, one dtype, and a result of that dtype (or of `result`).
func elementwise(_ count: Int, _ accepted: Accepted, result: DType? = nil) -> InferRule {
  { (types, _) throws(OpError) in
    try requireCount(types, count...count)
    let dtype = try joinedDType(types, accepted)
    try requireEqualShapes(types)
    return types[0].with(result ?? dtype)
  }
}
