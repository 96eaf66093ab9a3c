import LTMIR

extension Tensor {
  /// Some of its rows.
  package func rows(_ range: Range<Int>) -> Tensor {
    let size = bytes.count / shape[0]
    let part = Array(bytes[range.lowerBound * size..<range.upperBound * size])
    return Tensor(dtype: dtype, shape: [range.count] + shape.dropFirst(), bytes: part) ?? self
  }
}
