internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

extension KernelEmitter {
  /// The taps' offsets, in memory of the launch's own; `nil` where the depth is one line.
  func tapOffsets(_ layout: ContractionLayout) -> LLVMValueRef? {
    guard layout.tiles.visitsTaps, let access = kernel.loads[layout.rows.operand.index],
      let offsets = LLVMBuildArrayAlloca(ir.ref, ir.i64, ir.index(layout.tiles.taps), "taps")
    else { return nil }
    let bytes = kernel.kernel[access.buffer].dtype.byteCount
    var places = [0]
    for axis in layout.over.dropLast() {
      places = places.flatMap { place in (0..<kernel.extent(axis)).map { place + $0 * access.form.strides[axis] } }
    }
    for (tap, place) in places.enumerated() {
      ir.store(ir.index(place * bytes), ir.address(offsets, ir.i64, ir.index(tap)), align: 8)
    }
    return offsets
  }
}

/// A contraction's micro-kernels: functions of this module, or declared, where the JIT has them once for all kernels.
struct MicroKernels {
  let whole: MicroTile.Rows<LLVMValueRef>?
  let narrow: MicroTile.Rows<LLVMValueRef>?
  let first: LLVMValueRef?

  init(ir: IRBuilder, layout: ContractionLayout, kernel: FlatKernel, symbol: String) {
    let make = { (shape: MicroTile, name: String) in
      let microKernel = MicroKernel(ir: ir, shape: shape)
      return ir.sharesMicroKernels ? microKernel.declared() : microKernel.emit(named: symbol + name, isInternal: true)
    }
    func rows(_ shapes: MicroTile.Rows<MicroTile>, _ suffix: String) -> MicroTile.Rows<LLVMValueRef> {
      .init(
        whole: shapes.whole.map { make($0, ".tile" + suffix) }, rest: shapes.rest.map { make($0, ".rest" + suffix) })
    }
    let needed = MicroTile.needed(layout.tiles, kernel)
    whole = needed.whole.map { rows($0, "") }
    narrow = needed.narrow.map { rows($0, ".narrow") }
    first = needed.first.map { make($0, ".first") }
  }
}
