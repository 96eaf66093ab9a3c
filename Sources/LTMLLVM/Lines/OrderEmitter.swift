internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Sorting lines: each element becomes a record of its key and its index, records are sorted as integers, and their lower
// halves are the indices. Equal elements have keys that are equal, so their indices decide: the order is stable.

extension IRBuilder {
  /// An integer that is in the order of a value: all zeros are equal, and all NaN, which come last.
  package func sortKey(_ value: Lanes, _ dtype: DType, isDescending: Bool) -> Lanes {
    let key =
      switch dtype {
      case .f32, .f64: floatKey(value)
      case .bool: value.extended(to: i32)
      case .i32, .i64, .u8, .f16, .bf16, .float: value
      }
    return isDescending ? Lanes(LLVMBuildNot(ref, key.ref, ""), self) : key
  }

  /// Bits of negative numbers turned round.
  private func floatKey(_ value: Lanes) -> Lanes {
    let width = element(of: value.type) == double ? 64 : 32
    let most = width == 64 ? Int.max : Int(Int32.max)
    let bits = value.constant(0).when(value.isEqual(0), else: value).cast(to: width == 64 ? i64 : i32)
    let turned = bits.shiftedRightSigned(width - 1).and(bits.bits(most))
    let key = Lanes(LLVMBuildXor(ref, bits.ref, turned.ref, ""), self)
    return key.bits(most).when(value.isNaN, else: key)
  }
}

extension KernelEmitter {
  func order(_ numbers: Schedule.Order) {
    guard case .line(let store, .order(let isDescending), let over, let to) = kernel.kernel.form else { return }
    evaluator.begin(kernel.kernel.body[0])
    eachUnit(kernel.points(kernel.domain), perTask: numbers.linesPerTask) { line in
      evaluator.scope {
        evaluator.at(decompose(line, kernel.domain)) {
          evaluator.hoist([store.value], outOf: [over.index])
          let line = RecordLine(value: store.value, axis: over.index, to: to.index, isDescending: isDescending)
          if let selection = numbers.selection {
            select(selection, line, RecordSorter(ir, numbers, count: selection.capacity, at: scratch))
          } else {
            let sorter = RecordSorter(ir, numbers, count: numbers.count(kernel.extent(line.axis)), at: scratch)
            fill(line, sorter)
            writeIndices(line, sorter, sorter.sort())
          }
        }
      }
    }
  }

  /// Vectors along a line; the last may hold fewer than its lanes.
  func eachVector(_ axis: Int, _ lanes: Int, _ body: (_ first: LLVMValueRef, _ live: Int) -> Void) {
    let (extent, rest) = (kernel.extent(axis), kernel.extent(axis) % lanes)
    func visit(_ first: LLVMValueRef, _ live: Int) {
      evaluator.at(axis, first, vector: VectorAxis(axis: axis, lanes: lanes, live: live)) { body(first, live) }
    }
    ir.loop(0..<extent - rest, step: lanes) { first, _ in
      visit(first, lanes)
      return []
    }
    if rest > 0 { visit(ir.index(extent - rest), rest) }
  }

  /// Visits the records of a line, a vector of them at a time; what fills the last one up comes after all of them.
  func eachRecord(
    _ line: RecordLine, _ records: RecordSorter, _ body: (_ record: Lanes, _ first: LLVMValueRef, _ live: Int) -> Void
  ) {
    let (lanes, dtype) = (records.elements, kernel.kernel.dtype(line.value))
    eachVector(line.axis, lanes) { first, live in
      let key = ir.sortKey(evaluator.value(line.value, lanes: lanes), dtype, isDescending: line.isDescending)
      let place = Lanes(ir.splat(Lanes(first, ir).truncated(to: ir.i32).ref, lanes), ir)
      let index = lanes == 1 ? place : place.plusBits(Lanes(ir.constants(Array(0..<lanes), ir.i32), ir))
      body(Lanes(keep(records.record(key, index), records.last(lanes), live), ir), first, live)
    }
  }

  private func fill(_ line: RecordLine, _ records: RecordSorter) {
    eachRecord(line, records) { record, first, live in
      let rest = records.count % record.count
      let count = live == record.count || rest == 0 ? record.count : rest
      ir.store(
        record.ref, records.address(scratch, first), live: count, align: records.numbers.recordBytes)
    }
  }

  func writeIndices(_ line: RecordLine, _ records: RecordSorter, _ sorted: LLVMValueRef) {
    let lanes = records.elements
    eachVector(line.to, lanes) { first, live in
      let address = records.address(sorted, first)
      let record = ir.load(records.scalar, address, lanes: lanes, live: live, align: records.numbers.recordBytes)
      evaluator.store(Lanes(record, ir).truncated(to: ir.i32), to: kernel.stores[0][0])
    }
  }
}

/// What is sorted, and where its indices go.
struct RecordLine {
  let value: ScalarID
  let axis: Int
  let to: Int
  let isDescending: Bool
}
