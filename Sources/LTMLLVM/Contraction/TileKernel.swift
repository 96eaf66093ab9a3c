internal import CLLVM
import LTMKernels
import LTMSupport

/// The micro-kernel on AMX: tiles of 16 rows of 64 bytes. Rows are lines of bf16, columns panels of pairs, `[pair][column]`;
/// each step multiplies 32 points of the depth. LLVM configures the tiles at the function's beginning.
struct TileKernel {
  let ir: IRBuilder
  let shape: MicroTile
  /// As ``MicroKernel``'s.
  let parameters: [LLVMValueRef]

  private static let (rows, columns, bytes) = (16, 16, 64)
  private var width: Int { shape.tile.vectors * shape.lanes }
  private var columnTiles: Int { width / Self.columns }
  /// The rows of each tile.
  private var heights: [Int] {
    stride(from: 0, to: shape.height, by: Self.rows).map { min(Self.rows, shape.height - $0) }
  }

  func emit() {
    let (depth, rows, columns) = (parameters[0], parameters[1], parameters[2])
    let lineBytes = parameters[5]
    if !shape.isSinglePass { clearFirst() }
    let start = sums { height, place in shape.isSinglePass ? zero(height) : load(height, place, sumBytes) }
    let steps = ir.divide(ir.add(depth, ir.index(shape.tile.stepsTogether - 1)), shape.tile.stepsTogether)
    let results = ir.loop(from: ir.index(0), to: steps, carrying: start) { k, sums in
      let left = heights.enumerated().map { index, height in
        let line = ir.multiply(lineBytes, index * Self.rows)
        return load(height, ir.address(rows, ir.i8, ir.add(ir.multiply(k, Self.bytes), line)), lineBytes)
      }
      let right = (0..<columnTiles).map { index in
        let pair = ir.multiply(k, Self.rows * width * 4)
        return load(
          Self.rows, ir.address(columns, ir.i8, ir.add(pair, ir.index(index * Self.bytes))), ir.index(width * 4))
      }
      return zip(heights, left).enumerated().flatMap { row, one in
        right.enumerated().map { column, right in
          multiply(one.0, sums[row * columnTiles + column], one.1, right)
        }
      }
    }
    var rest = results[...]
    _ = sums { height, place in
      if let sum = rest.popFirst() {
        _ = ir.call(
          intrinsic: "llvm.x86.tilestored64.internal", [], [half(height), half(Self.bytes), place, sumBytes, sum])
      }
      return place
    }
    LLVMBuildRetVoid(ir.ref)
  }

  private var sumBytes: LLVMValueRef { ir.index(shape.rowStride * 4) }

  /// Visits the tiles of sums: their rows and places.
  private func sums(_ body: (_ height: Int, _ place: LLVMValueRef) -> LLVMValueRef) -> [LLVMValueRef] {
    heights.enumerated().flatMap { row, height in
      (0..<columnTiles).map { column in
        let place = row * Self.rows * shape.rowStride + column * Self.columns
        return body(height, ir.address(parameters[3], ir.float, ir.index(place)))
      }
    }
  }

  /// The first block of the depth adds to zeros.
  private func clearFirst() {
    let vector = ir.vector(ir.float, shape.lanes)
    ir.when(LLVMBuildICmp(ir.ref, LLVMIntNE, parameters[4], ir.index(0), "")) {
      for row in 0..<shape.height {
        for column in stride(from: 0, to: width, by: shape.lanes) {
          let place = ir.address(parameters[3], ir.float, ir.index(row * shape.rowStride + column))
          ir.store(LLVMConstNull(vector), place, align: 4)
        }
      }
    }
  }

  private func half(_ value: Int) -> LLVMValueRef { LLVMConstInt(ir.i16, UInt64(value), 0) }

  private func zero(_ height: Int) -> LLVMValueRef {
    ir.call(intrinsic: "llvm.x86.tilezero.internal", [], [half(height), half(Self.bytes)])
  }

  private func load(_ height: Int, _ place: LLVMValueRef, _ stride: LLVMValueRef) -> LLVMValueRef {
    ir.call(intrinsic: "llvm.x86.tileloadd64.internal", [], [half(height), half(Self.bytes), place, stride])
  }

  private func multiply(_ height: Int, _ sum: LLVMValueRef, _ left: LLVMValueRef, _ right: LLVMValueRef)
    -> LLVMValueRef
  {
    ir.call(
      intrinsic: "llvm.x86.tdpbf16ps.internal", [],
      [half(height), half(Self.bytes), half(Self.bytes), sum, left, right])
  }
}
