internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

/// Emits a kernel as a device kernel, one pointer for each of its buffers.
struct DeviceEmitter {
  let ir: IRBuilder
  let evaluator: Evaluator
  let kernel: FlatKernel
  let symbol: String

  static func emit(_ source: Kernel, _ schedule: DeviceSchedule, named symbol: String, into ir: IRBuilder) {
    let kernel = FlatKernel(source)
    let parameters = ir.begin(
      kernel: symbol, parameters: source.buffers.map { !$0.access.writes }, threads: schedule.block)
    ir.mathLibrary = { DeviceMath(ir: ir).formula($0, $1, $2) }
    let evaluator = Evaluator(ir, kernel, buffers: parameters, spare: ir.spareMemory, isDevice: true)
    let emitter = DeviceEmitter(ir: ir, evaluator: evaluator, kernel: kernel, symbol: symbol)
    switch schedule.strategy {
    case .pointwise(let lanes): emitter.pointwise(lanes, threads: schedule.block)
    case .cooperative(let numbers): emitter.cooperative(numbers)
    case .lines: emitter.lines(threads: schedule.block)
    case .contraction(let tiles): ContractionTile(emitter, tiles).emit()
    }
    LLVMBuildRetVoid(ir.ref)
  }

  /// One vector a thread.
  private func pointwise(_ lanes: Int, threads: Int) {
    let stores = kernel.kernel.body.flatMap(\.stores)
    let accesses = kernel.stores.flatMap { $0 }
    let unit = ir.add(ir.multiply(ir.blockNumber, threads), ir.threadNumber)
    ir.when(ir.less(unit, ir.index(kernel.points(kernel.domain) / lanes))) {
      at(unit, kernel.domain, lanes: lanes) { evaluator.store(stores, accesses) }
    }
  }

  /// Runs `body` at the point of some axes with a linear number; with lanes, numbers count vectors along the last axis.
  func at<R>(_ unit: LLVMValueRef, _ axes: [Int], lanes: Int, _ body: () -> R) -> R {
    guard let last = axes.last else { return evaluator.scope(body) }
    var places = decompose(unit, axes, lanes: lanes)
    let start = places.removeLast().value
    var vector = VectorAxis(axis: last, lanes: lanes, live: lanes)
    vector.isAligned = true
    return evaluator.at(places) { evaluator.at(last, start, vector: vector, body) }
  }

  /// The indices along `axes` (outermost first) of a linear number that counts vectors along the last.
  func decompose(_ linear: LLVMValueRef, _ axes: [Int], lanes: Int = 1) -> [(axis: Int, value: LLVMValueRef)] {
    var rest = linear
    var places: [(Int, LLVMValueRef)] = []
    for (count, axis) in axes.reversed().enumerated() {
      let extent = count == 0 ? kernel.extent(axis) / lanes : kernel.extent(axis)
      let isOutermost = count == axes.count - 1
      let place = isOutermost ? rest : ir.remainder(rest, extent)
      places.append((axis, count == 0 ? ir.multiply(place, lanes) : place))
      if !isOutermost { rest = ir.divide(rest, extent) }
    }
    return places.reversed()
  }
}
