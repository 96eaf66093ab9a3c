internal import CLLVM
import LTMIR
import LTMKernels

// The first few of a line in order: records that come before the last one wanted so far are kept, and once there is no more
// room for them, they are sorted, and only those wanted stay. Most of a long line is passed by after one comparison.

extension KernelEmitter {
  func select(_ selection: Schedule.Order.Selection, _ line: RecordLine, _ records: RecordSorter) {
    let base = ir.address(scratch, ir.i8, ir.index(Schedule.Order.headBytes))
    let room = KeptRecords(ir: ir, selection: selection, records: records, head: scratch, base: base)
    room.begin()
    eachRecord(line, records) { record, _, _ in room.add(record) }
    room.sort()
    writeIndices(line, records, base)
  }
}

/// Records in the thread's scratch memory.
private struct KeptRecords {
  let ir: IRBuilder
  let selection: Schedule.Order.Selection
  let records: RecordSorter
  /// Where the last record wanted lies, and after it how many there are.
  let head: LLVMValueRef
  let base: LLVMValueRef
  private var countPlace: LLVMValueRef { ir.address(head, ir.i8, ir.index(32)) }
  private var align: Int { records.numbers.recordBytes }

  init(
    ir: IRBuilder, selection: Schedule.Order.Selection, records: RecordSorter, head: LLVMValueRef, base: LLVMValueRef
  ) {
    (self.ir, self.selection, self.records, self.head, self.base) = (ir, selection, records, head, base)
  }

  func begin() { keep(records.last(1).ref, ir.index(0)) }

  private func keep(_ limit: LLVMValueRef, _ count: LLVMValueRef) {
    ir.store(limit, head, align: align)
    ir.store(count, countPlace, align: 8)
  }

  /// Keeps those of a vector that come before the limit.
  func add(_ record: Lanes) {
    let limit = Lanes(ir.splat(ir.load(records.scalar, head, align: align), record.count), ir)
    let isWanted = record.compareBits(LLVMIntSLT, limit)
    ir.when(ir.any(isWanted)) {
      var count = ir.load(ir.i64, countPlace, align: 8)
      for lane in 0..<record.count {
        ir.store(ir.extract(record.ref, lane: lane), records.address(base, count), align: align)
        count = ir.add(count, Lanes(ir.extract(isWanted.ref, lane: lane), ir).extended(to: ir.i64).ref)
      }
      ir.store(count, countPlace, align: 8)
      ir.when(ir.less(ir.index(selection.capacity - record.count), count)) { sort() }
    }
  }

  /// Sorts what is there; the first ones stay.
  func sort() {
    let last = records.last(1).ref
    ir.loop(from: ir.load(ir.i64, countPlace, align: 8), to: ir.index(selection.capacity)) { place, _ in
      ir.store(last, records.address(base, place), align: align)
      return []
    }
    records.sort(base, selection.capacity)
    let limit = records.address(base, ir.index(selection.count - 1))
    keep(ir.load(records.scalar, limit, align: align), ir.index(selection.count))
  }
}
