internal import CLLVM
import LTMIR
import LTMKernels

/// A block of an operand in scratch memory, rows and columns exchanged: its columns are neighbours.
struct TransposedBlock {
  let rowAxis: Int
  let columnAxis: Int
  let firstRow: LLVMValueRef
  let firstColumn: LLVMValueRef
  /// Where the first column of the first row is.
  let base: LLVMValueRef
  let rowStride: Int
  let dtype: DType
}

// Elementwise work on operands that lie across its vectors. Reading these lane by lane would visit a cache line once for
// each of its elements, and lines a power of two apart would be gone before the next visit: blocks are transposed first, in
// squares of whole lines.
extension KernelEmitter {
  func blocks(_ numbers: Schedule.Blocks) {
    guard let column = kernel.domain.last, let loads = TransposedLoads.pointwise(kernel) else { return }
    let layout = TransposedLayout(
      loads, kernel, ir.profile, rows: numbers.rows, columns: { _ in numbers.columns })
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    let row = numbers.rowAxis
    let whole = Schedule.Spread(lanes: numbers.lanes, block: numbers.columns, blocksPerTask: 1)
    eachBlock(numbers, row, column) { firstRow, firstColumn in
      let rowEnd = ir.minimum(ir.add(firstRow, ir.index(numbers.rows)), ir.index(kernel.extent(row)))
      let columnEnd = ir.minimum(ir.add(firstColumn, ir.index(numbers.columns)), ir.index(kernel.extent(column)))
      transpose(layout, rows: (firstRow, rowEnd), columns: { _ in (firstColumn, columnEnd) })
      let isOnly = numbers.columns == kernel.extent(column)
      let lastColumn = (kernel.extent(column) - 1) / numbers.columns * numbers.columns
      let isLast = ir.equal(firstColumn, ir.index(lastColumn))
      ir.loop(from: firstRow, to: rowEnd) { place, _ in
        evaluator.at(row, place) {
          evaluator.hoist(roots, outOf: [column])
          vectors(column, from: firstColumn, isLast: isLast, isOnly: isOnly, whole) {
            evaluator.store(stores, accesses)
          }
        }
        return []
      }
    }
  }

  /// Visits the blocks of rows and columns. Neighbours continue the lines that are read; where columns are less than a
  /// line of the result, they fill that.
  private func eachBlock(
    _ numbers: Schedule.Blocks, _ row: Int, _ column: Int, _ body: (LLVMValueRef, LLVMValueRef) -> Void
  ) {
    let outer = kernel.domain.filter { $0 != row && $0 != column }
    let count = { (axis: Int, size: Int) in (kernel.extent(axis) + size - 1) / size }
    let (rows, columns) = (count(row, numbers.rows), count(column, numbers.columns))
    let isNarrow = kernel.extent(column) < 16
    eachUnit(kernel.points(outer) * rows * columns, perTask: numbers.blocksPerTask) { unit in
      let points = kernel.points(outer)
      let (rest, rowBlock) =
        isNarrow
        ? (ir.remainder(unit, points * columns), ir.divide(unit, points * columns))
        : (ir.divide(unit, rows), ir.remainder(unit, rows))
      evaluator.at(decompose(ir.divide(rest, columns), outer)) {
        body(ir.multiply(rowBlock, numbers.rows), ir.multiply(ir.remainder(rest, columns), numbers.columns))
      }
    }
  }

  /// Fills the scratch memory with what lies across, and has loads find it there.
  func transpose(
    _ layout: TransposedLayout, rows: (first: LLVMValueRef, end: LLVMValueRef),
    columns: (Int) -> (first: LLVMValueRef, end: LLVMValueRef)
  ) {
    for place in layout.places {
      let entry = place.entry
      let (firstColumn, columnEnd) = columns(entry.columnAxis)
      let block = TransposedBlock(
        rowAxis: layout.rowAxis, columnAxis: entry.columnAxis, firstRow: rows.first, firstColumn: firstColumn,
        base: ir.address(scratch, ir.i8, ir.index(place.offset)), rowStride: place.rowStride, dtype: entry.dtype)
      // The last square of a line ends with it, and may begin before the block.
      func start(_ place: LLVMValueRef, _ axis: Int, _ side: Int) -> LLVMValueRef {
        ir.minimum(place, ir.index(kernel.extent(axis) - side))
      }
      ir.loop(from: firstColumn, to: columnEnd, step: place.side) { column, _ in
        let column = start(column, entry.columnAxis, place.side)
        ir.loop(from: rows.first, to: rows.end, step: place.side) { row, _ in
          square(block, entry.access, start(row, layout.rowAxis, place.side), column, place.side)
          return []
        }
        return []
      }
      evaluator.transposed[entry.access] = block
    }
  }

  /// A block's length along a line.
  private static let bytesAhead = 256

  /// Transposes one square.
  private func square(
    _ block: TransposedBlock, _ access: FlatAccess, _ row: LLVMValueRef, _ column: LLVMValueRef, _ side: Int
  ) {
    let size = block.dtype.byteCount
    let element = ir.word(bytes: size)
    let lines = (0..<side).map { line -> LLVMValueRef in
      evaluator.at([(block.rowAxis, row), (block.columnAxis, ir.add(column, ir.index(line)))]) {
        let place = evaluator.address(access, mayLieOutside: false)
        // The next block's elements of this line: the processor does not guess so many lines.
        ir.prefetch(place, ir.index(Self.bytesAhead), cache: 2)
        return ir.load(ir.vector(element, side), place, align: size)
      }
    }
    let (down, right) = (ir.subtract(row, block.firstRow), ir.subtract(column, block.firstColumn))
    for (line, value) in ir.transpose(lines, elementBytes: size).enumerated() {
      let place = ir.add(ir.multiply(ir.add(down, ir.index(line)), block.rowStride), right)
      ir.store(value, ir.address(block.base, element, place), align: size)
    }
  }
}
