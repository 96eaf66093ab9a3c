// The gradient of a contraction is a contraction of the result's gradient with the other operand.

/// Where the axes of a contraction's result come from, seen from the operand whose gradient is wanted.
private struct GradientAxes {
  var batch: [Int]
  var contract: [Int]
  var free: [Int]
  var otherBatch: [Int]
  var otherContract: [Int]
  var otherFree: [Int]
  /// The place of the first free axis of the other operand in the result.
  var otherStart: Int
}

/// The gradient for `lhs`.
func contractionGradient(
  _ b: inout GraphBuilder, _ lhs: ValueID, _ rhs: ValueID, _ g: ValueID, _ axes: ContractionAxes
) -> ValueID {
  let seen = GradientAxes(
    batch: axes.lhsBatch, contract: axes.lhsContract, free: axes.lhsFree, otherBatch: axes.rhsBatch,
    otherContract: axes.rhsContract, otherFree: axes.rhsFree, otherStart: axes.lhsBatch.count + axes.lhsFree.count)
  return gradient(&b, of: lhs, other: rhs, g, seen)
}

/// The gradient for `rhs`, which is given first.
func contractionGradient(
  _ b: inout GraphBuilder, _ rhs: ValueID, _ lhs: ValueID, _ g: ValueID, _ swapped: SwappedContraction
) -> ValueID {
  let axes = swapped.axes
  let seen = GradientAxes(
    batch: axes.rhsBatch, contract: axes.rhsContract, free: axes.rhsFree, otherBatch: axes.lhsBatch,
    otherContract: axes.lhsContract, otherFree: axes.lhsFree, otherStart: axes.lhsBatch.count)
  return gradient(&b, of: rhs, other: lhs, g, seen)
}

private func gradient(
  _ b: inout GraphBuilder, of operand: ValueID, other: ValueID, _ g: ValueID, _ axes: GradientAxes
) -> ValueID {
  let dtype = b.type(operand).dtype
  // A result that kept a wider dtype has a wide gradient: the other operand is widened to meet it.
  let otherValue = b.cast(other, to: b.type(g).dtype)
  let product = b.make(
    .contract, [g, otherValue],
    [
      "lhs_batch": .ints(Array(axes.batch.indices)), "rhs_batch": .ints(axes.otherBatch),
      "lhs_contract": .ints(axes.otherFree.indices.map { axes.otherStart + $0 }),
      "rhs_contract": .ints(axes.otherFree),
    ])
  // The product holds batch axes, the operand's free axes, and the summed axes in the order of the other operand.
  let summed = zip(axes.contract, axes.otherContract).sorted { $0.1 < $1.1 }.map(\.0)
  return b.cast(b.transpose(product, inverse(axes.batch + axes.free + summed)), to: dtype)
}

/// Batch, row and column axes brought to the front in that order, then three plain loops.
func contracted(_ lhs: Reference, _ rhs: Reference, _ axes: ContractionAxes, to shape: [Int]) -> Reference {
  let left = lhs.transposed(axes.lhsBatch + axes.lhsFree + axes.lhsContract)
  let right = rhs.transposed(axes.rhsBatch + axes.rhsContract + axes.rhsFree)
  func size(_ axes: [Int], _ reference: Reference) -> Int { axes.reduce(1) { $0 * reference.shape[$1] } }
  let batches = size(axes.lhsBatch, lhs)
  let (m, k, n) = (size(axes.lhsFree, lhs), size(axes.lhsContract, lhs), size(axes.rhsFree, rhs))
  var result = Reference.filled(shape, 0)
  left.data.withUnsafeBufferPointer { a in
    right.data.withUnsafeBufferPointer { b in
      result.data.withUnsafeMutableBufferPointer { c in
        for batch in 0..<batches {
          multiply(a, b, c, starts: (batch * m * k, batch * k * n, batch * m * n), m, k, n)
        }
      }
    }
  }
  return result
}

/// Row by row, adding multiples of the rows of `b`: the inner loop runs along memory.
private func multiply(
  _ a: UnsafeBufferPointer<Double>, _ b: UnsafeBufferPointer<Double>, _ c: UnsafeMutableBufferPointer<Double>,
  starts: (a: Int, b: Int, c: Int), _ m: Int, _ k: Int, _ n: Int
) {
  for i in 0..<m {
    for p in 0..<k {
      let factor = a[starts.a + i * k + p]
      let row = starts.b + p * n
      let out = starts.c + i * n
      for j in 0..<n { c[out + j] += factor * b[row + j] }
    }
  }
}
