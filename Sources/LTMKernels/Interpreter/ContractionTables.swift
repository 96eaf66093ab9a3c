/// An operand of a contraction, one row for each point that it depends on.
struct OperandTable {
  let axes: [Int], extents: [Int]
  let length: Int
  var values: [Double] = []

  init(axes: [Int], extents: [Int], length: Int) {
    (self.axes, self.extents, self.length) = (axes, extents, length)
  }

  func row(_ position: [Int]) -> Int {
    var row = 0
    for (axis, extent) in zip(axes, extents) { row = row * extent + position[axis] }
    return row * length
  }
}

/// Both operands of a contraction, tabulated.
struct ContractionTables {
  let lhs: OperandTable, rhs: OperandTable

  func product(at position: [Int]) -> Double {
    let (left, right) = (lhs.row(position), rhs.row(position))
    return lhs.values.withUnsafeBufferPointer { a in
      rhs.values.withUnsafeBufferPointer { b in
        var sum = 0.0
        for step in 0..<lhs.length { sum += a[left + step] * b[right + step] }
        return sum
      }
    }
  }
}
