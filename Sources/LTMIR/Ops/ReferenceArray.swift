import LTMSupport

// Row-major arrays of doubles for the reference: slow where that is obvious, except for contractions.

extension Reference {
  /// The number of dimensions.
  var rank: Int { shape.count }

  /// One number.
  static func scalar(_ value: Double) -> Reference { Reference(shape: [], data: [value]) }

  /// The same number everywhere.
  static func filled(_ shape: [Int], _ value: Double) -> Reference {
    Reference(shape: shape, data: [Double](repeating: value, count: shape.reduce(1, *)))
  }

  /// Each element through a function.
  func map(_ function: (Double) -> Double) -> Reference { Reference(shape: shape, data: data.map(function)) }

  /// Two arrays of one shape, element by element.
  func zip(_ other: Reference, _ function: (Double, Double) -> Double) -> Reference {
    Reference(shape: shape, data: data.indices.map { function(data[$0], other.data[$0]) })
  }

  /// Row-major strides.
  var strides: [Int] { rowMajorStrides(shape) }

  /// The array of shape `shape` whose element at index `i` is the element of this one at `offset + sum(i * strides)`.
  func strided(_ shape: [Int], _ strides: [Int], offset: Int = 0) -> Reference {
    var result = [Double]()
    result.reserveCapacity(shape.reduce(1, *))
    forEachOffset(shape, strides, from: offset) { result.append(data[$0]) }
    return Reference(shape: shape, data: result)
  }

  /// Result axis `i` is this array's axis `permutation[i]`.
  func transposed(_ permutation: [Int]) -> Reference {
    if permutation == Array(shape.indices) { return self }
    return strided(permutation.map { shape[$0] }, permutation.map { strides[$0] })
  }

  /// The array spread over `shape`: axis `i` goes to `axes[i]`, size 1 stretches.
  func broadcast(_ shape: [Int], _ axes: [Int]) -> Reference {
    var steps = [Int](repeating: 0, count: shape.count)
    for (axis, target) in axes.enumerated() where self.shape[axis] != 1 { steps[target] = strides[axis] }
    return strided(shape, steps)
  }

  /// Each run of elements along `axes` (in row-major order) turned into one number.
  func reduced(_ axes: [Int], to shape: [Int], _ function: (ArraySlice<Double>) -> Double) -> Reference {
    let kept = self.shape.indices.filter { !axes.contains($0) }
    let rows = transposed(kept + axes.sorted())
    let length = axes.reduce(1) { $0 * self.shape[$1] }
    let count = kept.reduce(1) { $0 * self.shape[$1] }
    let values = (0..<count).map { function(rows.data[$0 * length..<($0 + 1) * length]) }
    return Reference(shape: shape, data: values)
  }

  /// Each run of elements along one axis turned into a run of the same length.
  func rows(along axis: Int, _ function: ([Double]) -> [Double]) -> Reference {
    let order = shape.indices.filter { $0 != axis } + [axis]
    var lines = transposed(order)
    let length = shape[axis]
    for start in stride(from: 0, to: lines.data.count, by: max(length, 1)) {
      lines.data.replaceSubrange(start..<start + length, with: function(Array(lines.data[start..<start + length])))
    }
    return lines.transposed(shape.indices.map { order.firstIndex(of: $0) ?? $0 })
  }
}

/// The sum by halves, whose error grows with the logarithm of the length.
func pairwiseSum(_ values: ArraySlice<Double>) -> Double {
  if values.count <= 8 { return values.reduce(0, +) }
  let middle = values.startIndex + values.count / 2
  return pairwiseSum(values[..<middle]) + pairwiseSum(values[middle...])
}

/// The strides of a row-major array.
func rowMajorStrides(_ shape: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: shape.count)
  for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
  return strides
}

/// Calls `body` with `offset + sum(index * strides)` for every index of `shape` in row-major order.
func forEachOffset(_ shape: [Int], _ strides: [Int], from offset: Int, _ body: (Int) -> Void) {
  guard let last = shape.indices.last else { return body(offset) }
  guard !shape.contains(0) else { return }
  var index = [Int](repeating: 0, count: shape.count)
  var start = offset
  while true {
    for step in 0..<shape[last] { body(start + step * strides[last]) }
    var axis = last - 1
    while axis >= 0 {
      index[axis] += 1
      start += strides[axis]
      if index[axis] < shape[axis] { break }
      start -= strides[axis] * shape[axis]
      index[axis] = 0
      axis -= 1
    }
    if axis < 0 { return }
  }
}

extension TensorType {
  /// The shape as numbers; evaluation happens on bound graphs only.
  var boundShape: [Int] {
    guard let shape = staticShape else { internalFailure("graph", "\(self) evaluated before it was bound") }
    return shape
  }
}
