internal import CLLVM
import LTMIR
import LTMKernels

extension Scheduler {
  /// A contraction whose one operand is the same for all rows of the other, which lie along the depth.
  func product() -> Schedule? {
    guard case .contract(let local, let over, let lhs, let rhs)? = kernel.kernel.body.first,
      kernel.kernel.body.dropFirst().allSatisfy({ if case .store = $0 { true } else { false } }), over.count == 1,
      let axis = kernel.domain.last, !prefersColumns
    else { return nil }
    let varies = [lhs, rhs].map { kernel.dependencies[$0.index].contains(axis) }
    let depth = kernel.extent(over[0].index)
    // With nothing to widen there is little to share, and one row at a time is read in longer runs; pairs are as fast.
    let isWidened = [lhs, rhs].contains { id in
      kernel.closure(of: [id]).contains { place in
        kernel.loads[place].map { kernel.kernel[$0.buffer].dtype.byteCount < 4 } ?? false
      }
    }
    let rowsNumbers = Schedule.Rows(lanes: registerLanes, pointsPerTask: 1)
    guard isWidened, !kernel.allowsPairs(profile, .rows(rowsNumbers)) else { return nil }
    // A wider scalar inside an operand would need more registers than the sums'.
    guard varies[0] != varies[1], depth >= 2 * registerLanes,
      registerLanes == profile.vectorBytes / kernel.kernel[local].dtype.byteCount
    else { return nil }
    let rows = min(4, kernel.extent(axis))
    let blocks = kernel.points(kernel.domain.dropLast()) * ((kernel.extent(axis) + rows - 1) / rows)
    let perTask = max(1, taskWork / (rows * depth))
    return Schedule(
      strategy: .product(.init(lanes: registerLanes, rows: rows, rowAxis: axis, blocksPerTask: perTask)),
      taskCount: (blocks + perTask - 1) / perTask, scratchBytes: 0)
  }
}

// A matrix times a vector: what bounds it is how fast the matrix is read, so several rows share the vector's loads.
extension KernelEmitter {
  /// Accumulators of a row: one addition need not wait for the last.
  private static let ways = 2

  func product(_ numbers: Schedule.Product) {
    let extent = kernel.extent(numbers.rowAxis)
    let blocks = (extent + numbers.rows - 1) / numbers.rows
    let rest = extent % numbers.rows
    let batch = kernel.domain.dropLast()
    eachUnit(kernel.points(batch) * blocks, perTask: numbers.blocksPerTask) { unit in
      evaluator.at(decompose(ir.divide(unit, blocks), Array(batch))) {
        let first = ir.multiply(ir.remainder(unit, blocks), numbers.rows)
        guard rest != 0 else { return productRows(numbers, first, count: numbers.rows) }
        let isWhole = ir.less(first, ir.index(extent - rest))
        ir.when(isWhole) { productRows(numbers, first, count: numbers.rows) }
        ir.when(LLVMBuildNot(ir.ref, isWhole, "")) { productRows(numbers, first, count: rest) }
      }
    }
  }

  /// Some neighbouring rows: their sums along the depth, then the stores at each row's point.
  private func productRows(_ numbers: Schedule.Product, _ first: LLVMValueRef, count: Int) {
    guard case .contract(let local, let over, let lhs, let rhs)? = kernel.kernel.body.first else { return }
    let (axis, lanes) = (over[0].index, numbers.lanes)
    let isLeft = kernel.dependencies[lhs.index].contains(numbers.rowAxis)
    let (matrix, shared) = isLeft ? (lhs, rhs) : (rhs, lhs)
    let places = (0..<count).map { ir.add(first, ir.index($0)) }
    /// One vector of each row, added to its sums.
    func step(_ k: LLVMValueRef, _ sums: [LLVMValueRef], live: Int) -> [LLVMValueRef] {
      evaluator.at(axis, k, vector: VectorAxis(axis: axis, lanes: lanes, live: live)) {
        let right = evaluator.value(shared, lanes: lanes)
        return zip(places, sums).map { place, sum in
          evaluator.at(numbers.rowAxis, place) {
            let old = Lanes(sum, ir)
            return keep(evaluator.value(matrix, lanes: lanes).times(right, plus: old), old, live)
          }
        }
      }
    }
    let zero = ir.identity(.add, kernel.kernel[local].dtype, lanes: lanes)
    let extent = kernel.extent(axis)
    let stride = lanes * Self.ways
    let start = [LLVMValueRef](repeating: zero, count: count * Self.ways)
    var sums = ir.loop(0..<extent / stride * stride, step: stride, carrying: start) { k, sums in
      (0..<Self.ways).flatMap { way in
        step(ir.add(k, ir.index(way * lanes)), Array(sums[way * count..<(way + 1) * count]), live: lanes)
      }
    }
    for k in Swift.stride(from: extent / stride * stride, to: extent, by: lanes) {
      sums.replaceSubrange(0..<count, with: step(ir.index(k), Array(sums[..<count]), live: min(lanes, extent - k)))
    }
    finish(local, numbers, places, sums)
  }

  private func finish(_ local: LocalID, _ numbers: Schedule.Product, _ places: [LLVMValueRef], _ sums: [LLVMValueRef]) {
    for (row, place) in places.enumerated() {
      evaluator.at(numbers.rowAxis, place) {
        let parts = stride(from: row, to: sums.count, by: places.count).map { Lanes(sums[$0], ir) }
        evaluator.bind(local, across(parts.dropFirst().reduce(parts[0], +), +))
        evaluator.store(kernel.kernel.body.flatMap(\.stores), kernel.stores.flatMap { $0 })
      }
    }
  }
}
