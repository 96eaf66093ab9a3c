internal import CLLVM
import LTMIR
import LTMKernels

// Rows of a matrix that lie along the depth, times one vector or a few: a block of both shares what it reads.
extension KernelEmitter {
  func product(_ numbers: Schedule.Product) {
    let (extent, vectorExtent) = (kernel.extent(numbers.rowAxis), numbers.vectorAxis.map(kernel.extent) ?? 1)
    let blocks = (extent + numbers.rows - 1) / numbers.rows
    let groups = (vectorExtent + numbers.vectors - 1) / numbers.vectors
    let batch = kernel.domain.filter { $0 != numbers.rowAxis && $0 != numbers.vectorAxis }
    eachUnit(kernel.points(batch) * groups * blocks, perTask: numbers.blocksPerTask) { unit in
      evaluator.at(decompose(ir.divide(unit, groups * blocks), batch)) {
        let row = ir.multiply(ir.remainder(unit, blocks), numbers.rows)
        let vector = ir.multiply(ir.remainder(ir.divide(unit, blocks), groups), numbers.vectors)
        wholeOrRest(row, extent, numbers.rows) { rows in
          wholeOrRest(vector, vectorExtent, numbers.vectors) { vectors in
            let block = ProductBlock(
              rows: (0..<rows).map { ir.add(row, ir.index($0)) },
              vectors: (0..<vectors).map { ir.add(vector, ir.index($0)) }, numbers: numbers)
            productBlock(numbers, block)
          }
        }
      }
    }
  }

  /// Some rows of the matrix and some vectors.
  private struct ProductBlock {
    let rows: [LLVMValueRef]
    let vectors: [LLVMValueRef]
    let numbers: Schedule.Product
    var count: Int { rows.count * vectors.count }
    /// Many sums are enough accumulators without further ones.
    var ways: Int { count > 4 && !numbers.keepsWays ? 1 : numbers.ways }
  }

  private func at<R>(vector: LLVMValueRef, _ numbers: Schedule.Product, _ body: () -> R) -> R {
    guard let axis = numbers.vectorAxis else { return body() }
    return evaluator.at(axis, vector, body)
  }

  /// The sums of a block along the depth, then the stores at each of its points.
  private func productBlock(_ numbers: Schedule.Product, _ block: ProductBlock) {
    guard case .contraction(let local, let over, let lhs, let rhs) = kernel.kernel.form else { return }
    let (axis, lanes, count) = (over[0].index, numbers.lanes, block.count)
    let isLeft = kernel.dependencies[lhs.index].contains(numbers.rowAxis)
    let (matrix, shared) = isLeft ? (lhs, rhs) : (rhs, lhs)
    /// One vector of each row and of each vector, added to their sums.
    func step(_ k: LLVMValueRef, _ sums: [LLVMValueRef], live: Int) -> [LLVMValueRef] {
      evaluator.at(axis, k, vector: VectorAxis(axis: axis, lanes: lanes, live: live)) {
        let right = block.vectors.map { vector in
          at(vector: vector, numbers) { evaluator.value(shared, lanes: lanes) }
        }
        return block.rows.enumerated().flatMap { row, place in
          evaluator.at(numbers.rowAxis, place) {
            if live == lanes { prefetch(matrix, numbers.rowAxis, ir.add(place, ir.index(numbers.ahead))) }
            let left = evaluator.value(matrix, lanes: lanes)
            return right.enumerated().map { vector, right in
              let old = Lanes(sums[row * block.vectors.count + vector], ir)
              return keep(left.times(right, plus: old), old, live)
            }
          }
        }
      }
    }
    let zero = ir.identity(.add, kernel.kernel[local].dtype, lanes: lanes)
    let extent = kernel.extent(axis)
    let stride = lanes * block.ways
    let start = [LLVMValueRef](repeating: zero, count: count * block.ways)
    var sums = ir.sums(0..<extent / stride * stride, step: stride, start: start, merge: +) { k, sums in
      (0..<block.ways).flatMap { way in
        step(ir.add(k, ir.index(way * lanes)), Array(sums[way * count..<(way + 1) * count]), live: lanes)
      }
    }
    for k in Swift.stride(from: extent / stride * stride, to: extent, by: lanes) {
      sums.replaceSubrange(0..<count, with: step(ir.index(k), Array(sums[..<count]), live: min(lanes, extent - k)))
    }
    finish(local, numbers, block, sums)
  }

  /// What a row further on has at the same place of the depth: with several rows side by side, the processor's own guesses
  /// end with each page.
  private func prefetch(_ matrix: ScalarID, _ axis: Int, _ row: LLVMValueRef) {
    guard ir.profile.architecture == .x86_64 else { return }
    evaluator.at(axis, row) { evaluator.prefetch(matrix, elements: evaluator.vector?.lanes ?? 1) }
  }

  private func finish(_ local: LocalID, _ numbers: Schedule.Product, _ block: ProductBlock, _ sums: [LLVMValueRef]) {
    for (row, place) in block.rows.enumerated() {
      for (number, vector) in block.vectors.enumerated() {
        evaluator.at(numbers.rowAxis, place) {
          at(vector: vector, numbers) {
            let first = row * block.vectors.count + number
            let parts = stride(from: first, to: sums.count, by: block.count).map { Lanes(sums[$0], ir) }
            evaluator.bind(local, across(parts.dropFirst().reduce(parts[0], +), +))
            evaluator.store(kernel.kernel.body.flatMap(\.stores), kernel.stores.flatMap { $0 })
          }
        }
      }
    }
  }
}
