import Foundation
import LTMIR

/// A value of the graph as the importer has it: its type, and what it is.
struct Value: Sendable {
  var type: TensorType
  /// What ONNX calls its elements, which several types share a dtype here.
  var element: ElementType
  var content: Content

  /// What a value is.
  enum Content: Sendable {
    /// Known at import.
    case constant(Constant)
    /// Integers that are known when the dimensions are: shapes, and what is computed of them.
    case sizes([Dim])
    /// Computed when the model runs.
    case expression(Expression)
  }

  init(_ type: TensorType, _ element: ElementType, _ content: Content) {
    self.type = type
    self.element = element
    self.content = content
  }

  init(_ constant: Constant) {
    let type = TensorType(constant.element.carrier ?? constant.dtype, constant.shape.map { Dim($0) })
    self.init(type, constant.element, .constant(constant))
  }

  /// Integers, of which each may be a dimension.
  init(sizes: [Dim], shape: [Int], _ element: ElementType = .int64) {
    self.init(TensorType(element.carrier ?? .i64, shape.map { Dim($0) }), element, .sizes(sizes))
  }

  /// A number of a value's dtype, without dimensions.
  init(_ number: Double, like other: Value) {
    let dtype = other.type.dtype
    let content: Content
    if let constant = Constant(name: "", other.element, [number], shape: []) {
      content = .constant(constant)
    } else {
      content = .expression(.number(number))
    }
    self.init(TensorType(dtype, []), other.element, content)
  }

  var rank: Int { type.rank }
  var shape: [Dim] { type.shape }
  var dtype: DType { type.dtype }

  /// Whether it is known at import, or once dimensions are.
  var isKnown: Bool { if case .expression = content { false } else { true } }

  /// The most elements of a tensor that is computed with at import.
  static let foldLimit = 65536

  /// The elements of a small integer tensor that is known.
  var sizes: [Dim]? {
    switch content {
    case .sizes(let sizes): sizes
    case .constant(let constant):
      (element.isInteger || element == .bool) && constant.count <= Self.foldLimit
        ? constant.integers.map { Dim($0) } : nil
    case .expression: nil
    }
  }

  /// The integers of a tensor that is known as a whole.
  var integers: [Int]? {
    guard let sizes else { return nil }
    let numbers = sizes.compactMap(\.constant)
    return numbers.count == sizes.count ? numbers : nil
  }

  /// The numbers of a small tensor that is known.
  var numbers: [Double]? {
    switch content {
    case .sizes: integers?.map(Double.init)
    case .constant(let constant):
      constant.count <= Self.foldLimit && !constant.isTransposed ? constant.doubles : nil
    case .expression: nil
    }
  }

  /// The one number that all elements are, where they are known and there is one.
  var uniform: Double? {
    guard let numbers, let first = numbers.first else { return nil }
    return numbers.allSatisfy { $0 == first || $0.isNaN && first.isNaN } ? first : nil
  }

  /// The shape in numbers; `nil` where a dimension is symbolic.
  var staticShape: [Int]? { type.staticShape }
}
