/// A tensor's dtype and shape: what the checker knows of a value.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  /// The element type.
  public var dtype: DType
  /// The dimensions, outermost first; row-major.
  public var shape: [Dim]

  /// A tensor type.
  public init(_ dtype: DType, _ shape: [Dim]) {
    self.dtype = dtype
    self.shape = shape
  }

  /// The number of dimensions.
  public var rank: Int { shape.count }

  /// The shape as numbers, when nothing in it is symbolic.
  public var staticShape: [Int]? {
    var numbers: [Int] = []
    for dim in shape {
      guard let number = dim.constant else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// The same shape with another dtype.
  public func with(_ dtype: DType) -> TensorType { TensorType(dtype, shape) }

  /// `f32[B, 64]`, `float[]`.
  public var description: String { "\(dtype)[\(shape.map(\.description).joined(separator: ", "))]" }

  /// As `.ltm` writes it: an undecided float has no dtype.
  package var sourceText: String { dtype == .float ? String(description.dropFirst(dtype.rawValue.count)) : description }
}

/// The number of elements of a shape, or `nil` on overflow or a negative dimension.
public func elementCount(_ shape: [Int]) -> Int? {
  var count = 1
  for dim in shape {
    if dim < 0 { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: dim)
    if overflow { return nil }
    count = product
  }
  return count
}
