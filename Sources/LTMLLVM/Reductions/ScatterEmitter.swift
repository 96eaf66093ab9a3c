internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Sums by destination: a task owns a range of rows, keeps their sums in scratch memory, and goes through the indices once.
// Each sum is added up in index order, whatever the range. The kernel itself says: for each destination, the sum over all
// indices of those updates whose index it is.

extension KernelEmitter {
  func scatter(_ numbers: Schedule.Scatter) {
    guard let form = ScatterForm(kernel), let place = kernel.domain.firstIndex(of: form.row) else {
      internalFailure("emission", "no sum by destination")
    }
    let (outer, columns) = (Array(kernel.domain[..<place]), Array(kernel.domain[(place + 1)...]))
    let rows = kernel.extent(form.row)
    let blocks = (rows + numbers.rows - 1) / numbers.rows
    eachUnit(kernel.points(outer) * blocks, perTask: 1) { task in
      evaluator.at(decompose(ir.divide(task, blocks), outer)) {
        let first = ir.multiply(ir.remainder(task, blocks), numbers.rows)
        let count = ir.subtract(ir.minimum(ir.add(first, ir.index(numbers.rows)), ir.index(rows)), first)
        clear(form, numbers)
        addUpdates(form, columns, first, count, numbers)
        storeRows(form, columns, first, count, numbers)
      }
    }
  }

  private func clear(_ form: ScatterForm, _ numbers: Schedule.Scatter) {
    let zero = ir.identity(.add, kernel.kernel[form.local].dtype, lanes: numbers.lanes)
    ir.loop(0..<numbers.rows * numbers.rowElements, step: numbers.lanes) { i, _ in
      ir.store(zero, sum(form, i), align: 4)
      return []
    }
  }

  private func sum(_ form: ScatterForm, _ element: LLVMValueRef) -> LLVMValueRef {
    ir.address(scratch, ir.stored(kernel.kernel[form.local].dtype), element)
  }

  private func addUpdates(
    _ form: ScatterForm, _ columns: [Int], _ first: LLVMValueRef, _ count: LLVMValueRef, _ numbers: Schedule.Scatter
  ) {
    _ = nest(form.over[...], hoisting: [form.index]) { _ in
      let index = evaluator.value(form.index)
      // Any number may stand in the data: what is far below wraps to far above.
      let row = ir.convert(index.lanes, from: index.dtype, to: .i64).minusBits(Lanes(first, ir))
      let isOwn = row.compareBits(LLVMIntULT, Lanes(count, ir))
      ir.when(isOwn.ref) {
        evaluator.scope {
          eachColumn(columns, row.ref, numbers) { element, lanes in
            let old = Lanes(
              ir.load(ir.vector(ir.stored(kernel.kernel[form.local].dtype), lanes), sum(form, element), align: 4), ir)
            let update = evaluator.value(form.update, lanes: lanes)
            let new = ir.combine(.add, old, update, kernel.kernel[form.local].dtype)
            ir.store(new.ref, sum(form, element), align: 4)
          }
        }
      }
      return []
    }
  }

  private func storeRows(
    _ form: ScatterForm, _ columns: [Int], _ first: LLVMValueRef, _ count: LLVMValueRef, _ numbers: Schedule.Scatter
  ) {
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    let dtype = kernel.kernel[form.local].dtype
    ir.loop(from: ir.index(0), to: count) { row, _ in
      evaluator.at(form.row, ir.add(first, row)) {
        eachColumn(columns, row, numbers) { element, lanes in
          let total = ir.load(ir.vector(ir.stored(dtype), lanes), sum(form, element), align: 4)
          evaluator.bind(form.local, Lanes(total, ir))
          evaluator.store(stores, accesses)
        }
      }
      return []
    }
  }

  /// Visits a row's columns, a vector along the last axis at a time, with the place of its sum.
  private func eachColumn(
    _ columns: [Int], _ row: LLVMValueRef, _ numbers: Schedule.Scatter, _ body: @escaping (LLVMValueRef, Int) -> Void
  ) {
    let start = ir.multiply(row, numbers.rowElements)
    guard let last = columns.last else { return body(start, 1) }
    let outer = Array(columns.dropLast())
    let stride = roundUp(kernel.extent(last), numbers.lanes)
    let whole = Schedule.Spread(lanes: numbers.lanes, block: kernel.extent(last), blocksPerTask: 1)
    ir.loop(0..<kernel.points(outer)) { point, _ in
      evaluator.at(decompose(point, outer)) {
        let line = ir.add(start, ir.multiply(point, stride))
        vectors(last, from: ir.index(0), isLast: ir.constant(bits: 1, ir.i1), isOnly: true, whole) {
          body(ir.add(line, evaluator.index[last]), evaluator.vector?.lanes ?? 1)
        }
      }
      return []
    }
  }
}
