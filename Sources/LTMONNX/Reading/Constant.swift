import Foundation
import LTMIR

/// A tensor that a file holds, or that was computed from such at import. Large ones stay where the protobuf has them.
final class Constant: Sendable {
  /// Its name in the file, or that of the value it became.
  let name: String
  let element: ElementType
  /// The dtype of `bytes`: of ONNX's `float` it is f32.
  let dtype: DType
  let shape: [Int]
  let bytes: Data
  /// Whether it was computed at import: no weight of the file, which stays one whatever it holds.
  let isComputed: Bool
  /// Whether `bytes` hold the matrix with its axes exchanged: it is turned when it is written.
  let isTransposed: Bool

  init(
    name: String, element: ElementType, dtype: DType, shape: [Int], bytes: Data, isComputed: Bool = false,
    isTransposed: Bool = false
  ) {
    self.isComputed = isComputed
    self.isTransposed = isTransposed
    self.name = name
    self.element = element
    self.dtype = dtype
    self.shape = shape
    self.bytes = bytes
  }

  /// Numbers, rounded to what holds the element type; `nil` where nothing does, or their count is not the shape's.
  convenience init?(name: String, _ element: ElementType, _ values: [Double], shape: [Int]) {
    guard let carrier = element.carrier, let tensor = Tensor(values, shape: shape, dtype: carrier.stored) else {
      return nil
    }
    self.init(
      name: name, element: element, dtype: carrier.stored, shape: shape, bytes: Data(tensor.bytes), isComputed: true)
  }

  /// Integers, exactly.
  convenience init?(name: String, _ element: ElementType, integers: [Int], shape: [Int]) {
    guard element.carrier == .i64 else {
      self.init(name: name, element, integers.map(Double.init), shape: shape)
      return
    }
    let bytes = integers.map { Int64($0) }.withUnsafeBytes { Data($0) }
    self.init(name: name, element: element, dtype: .i64, shape: shape, bytes: bytes, isComputed: true)
  }

  /// The number of elements.
  var count: Int { bytes.count / dtype.byteCount }

  /// The elements as doubles.
  var doubles: [Double] { Tensor(dtype: dtype, shape: [count], bytes: Array(bytes))?.doubles ?? [] }

  /// The elements of an integer tensor, exactly.
  var integers: [Int] {
    guard dtype == .i64 else { return doubles.map { Int($0) } }
    return bytes.withUnsafeBytes { buffer in
      (0..<count).map { Int(buffer.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
    }
  }

  /// The matrix with its axes exchanged; nothing is copied before it is written.
  var transposed: Constant {
    Constant(
      name: name, element: element, dtype: dtype, shape: shape.reversed(), bytes: bytes, isComputed: isComputed,
      isTransposed: !isTransposed)
  }

  /// The bytes in the order of the shape.
  var orderedBytes: Data {
    guard isTransposed, shape.count == 2 else { return bytes }
    let (rows, columns, width) = (shape[0], shape[1], dtype.byteCount)
    var result = Data(count: bytes.count)
    result.withUnsafeMutableBytes { to in
      bytes.withUnsafeBytes { from in
        guard let target = to.baseAddress, let source = from.baseAddress else { return }
        // By tiles, so that neither side leaves the cache line by line.
        for row in stride(from: 0, to: rows, by: 32) {
          for column in stride(from: 0, to: columns, by: 32) {
            for r in row..<min(row + 32, rows) {
              for c in column..<min(column + 32, columns) {
                (target + (r * columns + c) * width).copyMemory(from: source + (c * rows + r) * width, byteCount: width)
              }
            }
          }
        }
      }
    }
    return result
  }

  /// The same elements under another name or shape.
  func with(name: String? = nil, shape: [Int]? = nil) -> Constant {
    Constant(
      name: name ?? self.name, element: element, dtype: dtype, shape: shape ?? self.shape, bytes: bytes,
      isComputed: isComputed, isTransposed: isTransposed)
  }
}

extension DType {
  /// The dtype of a file's bytes: a float that no run has decided yet is kept as f32.
  var stored: DType { self == .float ? .f32 : self }
}
