internal import CLLVM
import LTMIR
import LTMKernels

// A matrix that lies across the depth, times one vector or a few: some of its lines at a time, each times a number of every
// vector, are added to sums in scratch memory. Each line is read in long runs, and once for all vectors.
extension KernelEmitter {
  func axpy(_ numbers: Schedule.Axpy) {
    let extent = kernel.extent(numbers.matrixAxis)
    let blocks = (extent + numbers.block - 1) / numbers.block
    let vectorExtent = numbers.vectorAxis.map(kernel.extent) ?? 1
    let groups = (vectorExtent + numbers.vectors - 1) / numbers.vectors
    let batch = kernel.domain.filter { $0 != numbers.matrixAxis && $0 != numbers.vectorAxis }
    eachUnit(kernel.points(batch) * groups * blocks, perTask: numbers.blocksPerTask) { unit in
      evaluator.at(decompose(ir.divide(unit, groups * blocks), batch)) {
        let start = ir.multiply(ir.remainder(unit, blocks), numbers.block)
        let first = ir.multiply(ir.remainder(ir.divide(unit, blocks), groups), numbers.vectors)
        wholeOrRest(first, vectorExtent, numbers.vectors) { count in
          AxpyBlock(emitter: self, numbers: numbers, start: start, first: first, vectors: count).emit()
        }
      }
    }
  }

  /// Runs `body` with how many of a block's numbers there are: the whole block's, or the last one's.
  func wholeOrRest(_ first: LLVMValueRef, _ extent: Int, _ block: Int, _ body: (Int) -> Void) {
    let rest = extent % block
    guard rest != 0 else { return body(block) }
    if extent < block { return body(rest) }
    let isWhole = ir.less(first, ir.index(extent - rest))
    ir.when(isWhole) { body(block) }
    ir.when(LLVMBuildNot(ir.ref, isWhole, "")) { body(rest) }
  }
}

/// Some columns of the matrix and some vectors.
private struct AxpyBlock {
  let emitter: KernelEmitter
  let numbers: Schedule.Axpy
  /// The first column, and the first vector.
  let start: LLVMValueRef
  let first: LLVMValueRef
  let vectors: Int

  private var ir: IRBuilder { emitter.ir }
  private var evaluator: Evaluator { emitter.evaluator }
  private var kernel: FlatKernel { emitter.kernel }

  func emit() {
    guard case .contraction(let local, let over, let lhs, let rhs) = kernel.kernel.form else { return }
    let isLeft = kernel.dependencies[lhs.index].contains(numbers.matrixAxis)
    let (matrix, vector) = isLeft ? (lhs, rhs) : (rhs, lhs)
    let (depth, extent) = (over[0].index, kernel.extent(over[0].index))
    let zeros = Lanes(LLVMConstNull(ir.vector(element, numbers.lanes)), ir)
    eachColumn { column, _ in for row in 0..<vectors { store(zeros, row, column) } }
    let rest = extent % numbers.lines
    ir.loop(0..<extent - rest, step: numbers.lines) { k, _ in
      add(matrix, vector, depth, k, lines: numbers.lines)
      return []
    }
    if rest != 0 { add(matrix, vector, depth, ir.index(extent - rest), lines: rest) }
    eachColumn { column, _ in finish(local, column) }
  }

  private var element: LLVMTypeRef { numbers.isDouble ? ir.double : ir.float }
  private var elementBytes: Int { element == ir.double ? 8 : 4 }

  /// Visits the block's columns a vector at a time, the last of them with fewer live lanes.
  private func eachColumn(_ body: (LLVMValueRef, _ live: Int) -> Void) {
    let (extent, axis) = (kernel.extent(numbers.matrixAxis), numbers.matrixAxis)
    let rest = extent % numbers.lanes
    func visit(_ column: LLVMValueRef, live: Int) {
      evaluator.at(axis, column, vector: VectorAxis(axis: axis, lanes: numbers.lanes, live: live)) {
        body(column, live)
      }
    }
    let end = ir.add(start, ir.index(numbers.block))
    ir.loop(from: start, to: ir.minimum(end, ir.index(extent - rest)), step: numbers.lanes) { column, _ in
      visit(column, live: numbers.lanes)
      return []
    }
    if rest != 0 { ir.when(ir.less(ir.index(extent - 1), end)) { visit(ir.index(extent - rest), live: rest) } }
  }

  private func place(_ row: Int, _ column: LLVMValueRef) -> LLVMValueRef {
    ir.address(
      emitter.scratch, element, ir.add(ir.subtract(column, start), ir.index(row * numbers.block)))
  }

  private func load(_ row: Int, _ column: LLVMValueRef) -> Lanes {
    Lanes(ir.load(ir.vector(element, numbers.lanes), place(row, column), align: elementBytes), ir)
  }

  private func store(_ value: Lanes, _ row: Int, _ column: LLVMValueRef) {
    ir.store(value.ref, place(row, column), align: elementBytes)
  }

  private func at<R>(vector row: Int, _ body: () -> R) -> R {
    guard let axis = numbers.vectorAxis else { return body() }
    return evaluator.at(axis, ir.add(first, ir.index(row)), body)
  }

  /// Adds some lines of the matrix, each times the numbers of the vectors: together first, then to the sums.
  private func add(_ matrix: ScalarID, _ vector: ScalarID, _ depth: Int, _ k: LLVMValueRef, lines: Int) {
    let places = (0..<lines).map { ir.add(k, ir.index($0)) }
    let factors = (0..<vectors).map { row in
      places.map { place in at(vector: row) { evaluator.at(depth, place) { evaluator.value(vector).lanes } } }
    }
    eachColumn { column, live in
      let values = places.map { place in
        evaluator.at(depth, place) {
          if live == numbers.lanes { prefetch(matrix, depth, ir.add(place, ir.index(numbers.lines))) }
          return evaluator.value(matrix, lanes: numbers.lanes)
        }
      }
      for row in 0..<vectors {
        let products = zip(factors[row], values).map { (evaluator.spread($0, numbers.lanes), $1) }
        let sum = products.dropFirst().reduce(products[0].0 * products[0].1) { $1.0.times($1.1, plus: $0) }
        store(load(row, column) + sum, row, column)
      }
    }
  }

  /// What the next lines have at the same columns.
  private func prefetch(_ matrix: ScalarID, _ depth: Int, _ place: LLVMValueRef) {
    guard ir.profile.architecture == .x86_64 else { return }
    evaluator.at(depth, place) { evaluator.prefetch(matrix, elements: numbers.lanes) }
  }

  private func finish(_ local: LocalID, _ column: LLVMValueRef) {
    for row in 0..<vectors {
      at(vector: row) {
        evaluator.bind(local, load(row, column))
        evaluator.store(kernel.kernel.body.flatMap(\.stores), kernel.stores.flatMap { $0 })
      }
    }
  }
}
