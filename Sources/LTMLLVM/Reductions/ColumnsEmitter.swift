internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Reductions over axes that are not contiguous: one lane for each point of the domain's innermost axis.
extension KernelEmitter {
  func columns(_ numbers: Schedule.Spread) {
    let layout = RowLayout(kernel, columnLanes: numbers.lanes)
    for (local, offset) in layout.offsets {
      evaluator.rows[local] = (ir.address(scratch, ir.i8, ir.index(offset)), numbers.lanes)
    }
    eachVector(numbers) {
      for (statement, accesses) in zip(kernel.kernel.body, kernel.stores) { column(statement, accesses) }
    }
  }

  private var columnLanes: Int { evaluator.vector?.lanes ?? 1 }

  private func column(_ statement: KernelStatement, _ accesses: [FlatAccess]) {
    evaluator.begin(statement)
    let axes = statement.innerAxes.map(\.index)
    switch statement {
    case .store(let store): evaluator.store([store], accesses)
    case .loop(_, let stores):
      _ = nest(axes[...], hoisting: statement.roots) { _ in
        evaluator.store(stores, accesses)
        return []
      }
    case .scratch(let local, let axis, let value):
      _ = nest([axis.index], hoisting: [value]) { _ in
        storeRow(local, evaluator.value(value, lanes: columnLanes), at: evaluator.index[axis.index])
        return []
      }
    case .reduce(let local, let combiner, _, let value):
      let dtype = kernel.kernel[local].dtype
      let identity = ir.identity(combiner, dtype, lanes: columnLanes)
      let merge = { (a: Lanes, b: Lanes) in ir.combine(combiner, a, b, dtype) }
      reduceColumns(local, axes, [value], identity, merge, isRounded: ir.merge(combiner, dtype) != nil) { sum in
        ir.combine(combiner, sum, evaluator.value(value, lanes: columnLanes), dtype)
      }
    case .contract(let local, _, let lhs, let rhs):
      let dtype = kernel.kernel[local].dtype
      let zero = ir.identity(.add, dtype, lanes: columnLanes)
      reduceColumns(local, axes, [lhs, rhs], zero, +, isRounded: true) { sum in
        evaluator.value(lhs, lanes: columnLanes).times(evaluator.value(rhs, lanes: columnLanes), plus: sum)
      }
    case .argReduce(let local, let combiner, let axis, let value):
      let dtype = kernel.kernel.dtype(value)
      let start = [
        ir.identity(combiner, dtype, lanes: columnLanes), ir.constant(bits: 0, ir.vector(ir.i32, columnLanes)),
      ]
      let best = nest([axis.index], hoisting: [value], carrying: start) { best in
        let candidate = evaluator.value(value, lanes: columnLanes)
        let place = evaluator.spread(Lanes(evaluator.index[axis.index], ir).truncated(to: ir.i32), columnLanes)
        let (held, at) = (Lanes(best[0], ir), Lanes(best[1], ir))
        let wins = ir.isBetter(candidate, than: held, combiner, dtype)
        return [candidate.when(wins, else: held).ref, place.when(wins, else: at).ref]
      }
      evaluator.bind(local, Lanes(best[1], ir))
    // Rows take those that no tiles make; lines have strategies of their own.
    case .epilogue, .line, .attention: break
    }
  }

  /// Writes an element of a row scratch.
  func storeRow(_ local: LocalID, _ value: Lanes, at index: LLVMValueRef) {
    guard let (base, stride) = evaluator.rows[local] else { internalFailure("emission", "no room for a scratch") }
    let dtype = kernel.kernel[local].dtype
    let place = ir.address(base, ir.stored(dtype), ir.multiply(index, stride))
    ir.store(ir.narrow(value, to: dtype).ref, place, align: dtype.byteCount)
  }

  /// A short chain over several axes, as a window's are: without loops, every place in it is a number.
  private func unrolled(_ axes: ArraySlice<Int>, _ start: Lanes, _ step: (Lanes) -> Lanes) -> Lanes {
    guard let axis = axes.first else { return step(start) }
    return (0..<kernel.extent(axis)).reduce(start) { sum, place in
      evaluator.at(axis, ir.index(place)) { unrolled(axes.dropFirst(), sum, step) }
    }
  }

  /// Epilogue reductions over axes with several accumulators, so that one addition need not wait for the last; combined in a fixed tree.
  private func reduceColumns(
    _ local: LocalID, _ axes: [Int], _ roots: [ScalarID], _ identity: LLVMValueRef,
    _ merge: @escaping (Lanes, Lanes) -> Lanes, isRounded: Bool, _ step: (Lanes) -> Lanes
  ) {
    guard let inner = axes.last else {
      return evaluator.bind(local, step(Lanes(identity, ir)))
    }
    let extent = kernel.extent(inner)
    if axes.count > 1, extent < 8, kernel.points(axes) <= SumBlocks.single {
      return evaluator.bind(local, unrolled(axes[...], Lanes(identity, ir), step))
    }
    let ways = extent >= 8 ? 4 : 1
    let start = [LLVMValueRef](repeating: identity, count: ways)
    let steps = kernel.points(axes.dropLast()) * (extent / ways + 1)
    let cut = SumBlocks.cut(isRounded ? merge : nil, steps: steps)
    let sums = nest(axes.dropLast(), hoisting: roots, inside: [inner], carrying: start, merge: cut) { outer in
      let whole = extent - extent % ways
      var sums = ir.sums(0..<whole, step: ways, start: outer, merge: cut) { i, sums in
        sums.enumerated().map { way, sum in
          evaluator.at(inner, ir.add(i, ir.index(way))) { step(Lanes(sum, ir)).ref }
        }
      }
      for way in 0..<extent - whole {
        sums[way] = evaluator.at(inner, ir.index(whole + way)) { step(Lanes(sums[way], ir)).ref }
      }
      return sums
    }.map { Lanes($0, ir) }
    evaluator.bind(local, ways == 1 ? sums[0] : merge(merge(sums[0], sums[1]), merge(sums[2], sums[3])))
  }
}
