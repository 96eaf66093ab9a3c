import LTMIR

// The values of all ranks joined into one, element for element and in the order of the ranks, so that the result is the same
// bits on each of them and in each run. Numbers of 16 bits are added in f32 and those of 32 in f64 where a mean is taken, and
// rounded once.

/// Elements that are decoded at once: what stays in the first level cache.
private let blockSize = 1024

/// Writes to `result` what `operation` makes of the values of the ranks, in their order. `result` may be one of them.
func join(
  _ ranks: [UnsafeRawPointer], _ operation: CollectiveOperation, _ dtype: DType, count: Int,
  into result: UnsafeMutableRawPointer
) {
  switch operation {
  case .first:
    if ranks[0] != UnsafeRawPointer(result) { result.copyMemory(from: ranks[0], byteCount: count * dtype.byteCount) }
  case .mean: joinMean(ranks, dtype, count, result)
  case .sum: joinSum(ranks, dtype, count, result)
  }
}

private func joinMean(
  _ ranks: [UnsafeRawPointer], _ dtype: DType, _ count: Int, _ result: UnsafeMutableRawPointer
) {
  switch dtype {
  case .f16: mean(ranks, Half.self, count, result)
  case .bf16: mean(ranks, BrainHalf.self, count, result)
  case .f32: wideMean(ranks, Float.self, count, result)
  case .f64: wideMean(ranks, Double.self, count, result)
  case .bool, .u8, .i32, .i64, .float: joinSum(ranks, dtype, count, result)
  }
}

private func joinSum(
  _ ranks: [UnsafeRawPointer], _ dtype: DType, _ count: Int, _ result: UnsafeMutableRawPointer
) {
  switch dtype {
  case .f16: tree(ranks, Half.self, count, result)
  case .bf16: tree(ranks, BrainHalf.self, count, result)
  case .f32, .float: tree(ranks, Single.self, count, result)
  case .f64: wideTree(ranks, count, result)
  case .bool: addUp(ranks, UInt8.self, count, result, |)
  case .u8: addUp(ranks, UInt8.self, count, result, &+)
  case .i32: addUp(ranks, Int32.self, count, result, &+)
  case .i64: addUp(ranks, Int64.self, count, result, &+)
  }
}

/// One rank after the other.
@inline(__always)
private func addUp<T>(
  _ ranks: [UnsafeRawPointer], _ type: T.Type, _ count: Int, _ result: UnsafeMutableRawPointer, _ add: (T, T) -> T
) {
  let values = ranks.map { $0.assumingMemoryBound(to: type) }
  let target = result.assumingMemoryBound(to: type)
  for index in 0..<count {
    var sum = values[0][index]
    for other in values.dropFirst() { sum = add(sum, other[index]) }
    target[index] = sum
  }
}

/// In f64, and rounded once: no sum of finite f32 overflows there.
@inline(__always)
private func wideMean<T: BinaryFloatingPoint>(
  _ ranks: [UnsafeRawPointer], _ type: T.Type, _ count: Int, _ result: UnsafeMutableRawPointer
) {
  let values = ranks.map { $0.assumingMemoryBound(to: type) }
  let target = result.assumingMemoryBound(to: type)
  let divisor = Double(ranks.count)
  withUnsafeTemporaryAllocation(of: Double.self, capacity: blockSize) { sum in
    for start in stride(from: 0, to: count, by: blockSize) {
      let size = min(blockSize, count - start)
      for index in 0..<size { sum[index] = Double(values[0][start + index]) }
      for other in values.dropFirst() { for index in 0..<size { sum[index] += Double(other[start + index]) } }
      for index in 0..<size { target[start + index] = T(sum[index] / divisor) }
    }
  }
}

/// In f32, rank after rank.
@inline(__always)
private func mean<C: SingleCoding>(
  _ ranks: [UnsafeRawPointer], _ coding: C.Type, _ count: Int, _ result: UnsafeMutableRawPointer
) {
  let divisor = Float(ranks.count)
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * blockSize) { memory in
    let (sum, next) = (memory.baseAddress.unsafelyUnwrapped, memory.baseAddress.unsafelyUnwrapped + blockSize)
    for start in stride(from: 0, to: count, by: blockSize) {
      let size = min(blockSize, count - start)
      C.decode(ranks[0], start, size, sum)
      for other in ranks.dropFirst() {
        C.decode(other, start, size, next)
        for index in 0..<size { sum[index] += next[index] }
      }
      for index in 0..<size { sum[index] /= divisor }
      C.encode(sum, start, size, result)
    }
  }
}

/// The same tree as below, of doubles.
private func wideTree(_ ranks: [UnsafeRawPointer], _ count: Int, _ result: UnsafeMutableRawPointer) {
  let values = ranks.map { $0.assumingMemoryBound(to: Double.self) }
  let target = result.assumingMemoryBound(to: Double.self)
  withUnsafeTemporaryAllocation(of: Double.self, capacity: values.count) { row in
    for index in 0..<count {
      for (rank, value) in values.enumerated() { row[rank] = value[index] }
      var size = values.count
      while size > 1 {
        for pair in 0..<size / 2 { row[pair] = row[2 * pair] + row[2 * pair + 1] }
        if size % 2 == 1 { row[size / 2] = row[size - 1] }
        size = (size + 1) / 2
      }
      target[index] = row[0]
    }
  }
}

/// Sums of neighbours, then sums of those: the tree in which one process adds the parts of a batch.
@inline(__always)
private func tree<C: SingleCoding>(
  _ ranks: [UnsafeRawPointer], _ coding: C.Type, _ count: Int, _ result: UnsafeMutableRawPointer
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: ranks.count * blockSize) { memory in
    for start in stride(from: 0, to: count, by: blockSize) {
      let size = min(blockSize, count - start)
      var rows = ranks.indices.map { memory.baseAddress.unsafelyUnwrapped + $0 * blockSize }
      for (rank, row) in zip(ranks, rows) { C.decode(rank, start, size, row) }
      while rows.count > 1 {
        for pair in 0..<rows.count / 2 {
          let (left, right) = (rows[2 * pair], rows[2 * pair + 1])
          for index in 0..<size { left[index] += right[index] }
        }
        rows = stride(from: 0, to: rows.count, by: 2).map { rows[$0] }
      }
      C.encode(rows[0], start, size, result)
    }
  }
}
