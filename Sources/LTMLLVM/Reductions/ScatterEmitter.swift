internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Sums by destination: a task owns a range of rows, keeps their sums in scratch memory, and goes through the indices once.
// Each sum is added up in index order, whatever the range, in blocks of as many updates as a level takes; what blocks come to
// is added up likewise. The kernel itself says: for each destination, the sum over all indices of those updates whose index it is.

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
    guard numbers.levels > 1 else { return }
    ir.loop(0..<numbers.rows) { row, _ in
      ir.store(ir.index(0), count(row, form, numbers), align: 8)
      return []
    }
  }

  private func sum(_ form: ScatterForm, _ element: LLVMValueRef) -> LLVMValueRef {
    ir.address(scratch, ir.stored(kernel.kernel[form.local].dtype), element)
  }

  /// Where sums of a level lie. Those above the first hold nothing before so many updates fill a block.
  private func sum(_ form: ScatterForm, level: Int, _ element: LLVMValueRef, _ numbers: Schedule.Scatter)
    -> LLVMValueRef
  {
    sum(form, ir.add(element, ir.index(level * numbers.rows * numbers.rowElements)))
  }

  /// Where the number of updates of a row is kept.
  private func count(_ row: LLVMValueRef, _ form: ScatterForm, _ numbers: Schedule.Scatter) -> LLVMValueRef {
    let offset = numbers.levels * numbers.rows * numbers.rowElements * kernel.kernel[form.local].dtype.byteCount
    return ir.address(ir.address(scratch, ir.i8, ir.index(roundUp(offset, 8))), ir.i64, row)
  }

  /// Hands on a row's sums that are full to the next level.
  private func carry(_ row: LLVMValueRef, _ form: ScatterForm, _ numbers: Schedule.Scatter) {
    guard numbers.levels > 1 else { return }
    let place = count(row, form, numbers)
    let updates = ir.add(ir.load(ir.i64, place, align: 8), ir.index(1))
    ir.store(updates, place, align: 8)
    carry(row, updates, to: 1, form, numbers)
  }

  private func carry(
    _ row: LLVMValueRef, _ updates: LLVMValueRef, to level: Int, _ form: ScatterForm, _ numbers: Schedule.Scatter
  ) {
    guard level < numbers.levels else { return }
    let (dtype, block) = (kernel.kernel[form.local].dtype, Schedule.Scatter.updates(level))
    ir.when(ir.equal(ir.remainder(updates, block), ir.index(0))) {
      let isFirst = ir.equal(updates, ir.index(block))
      let type = ir.vector(ir.stored(dtype), numbers.lanes)
      ir.loop(0..<numbers.rowElements, step: numbers.lanes) { i, _ in
        let element = ir.add(ir.multiply(row, numbers.rowElements), i)
        let places = [level - 1, level].map { sum(form, level: $0, element, numbers) }
        let (full, held) = (ir.load(type, places[0], align: 4), ir.load(type, places[1], align: 4))
        let total = ir.combine(.add, Lanes(held, ir), Lanes(full, ir), dtype).ref
        ir.store(ir.select(isFirst, full, total), places[1], align: 4)
        ir.store(ir.identity(.add, dtype, lanes: numbers.lanes), places[0], align: 4)
        return []
      }
      carry(row, updates, to: level + 1, form, numbers)
    }
  }

  /// A row's sum over all levels that hold anything.
  private func total(
    _ updates: LLVMValueRef?, _ element: LLVMValueRef, _ lanes: Int, level: Int = 0, _ form: ScatterForm,
    _ numbers: Schedule.Scatter
  ) -> Lanes {
    let dtype = kernel.kernel[form.local].dtype
    func own() -> Lanes {
      let type = ir.vector(ir.stored(dtype), lanes)
      return Lanes(ir.load(type, sum(form, level: level, element, numbers), align: 4), ir)
    }
    guard let updates, level + 1 < numbers.levels else { return own() }
    return ir.choose(
      ir.less(updates, ir.index(Schedule.Scatter.updates(level + 1))), then: own,
      otherwise: {
        ir.combine(.add, own(), total(updates, element, lanes, level: level + 1, form, numbers), dtype)
      })
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
          carry(row.ref, form, numbers)
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
    ir.loop(from: ir.index(0), to: count) { row, _ in
      let updates = numbers.levels > 1 ? ir.load(ir.i64, self.count(row, form, numbers), align: 8) : nil
      evaluator.at(form.row, ir.add(first, row)) {
        eachColumn(columns, row, numbers) { element, lanes in
          evaluator.bind(form.local, total(updates, element, lanes, form, numbers))
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
