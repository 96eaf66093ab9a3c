internal import CLLVM
import LTMKernels
import LTMSupport

/// What decides a micro-kernel: contractions of many shapes have the same.
struct MicroTile: Hashable, Sendable {
  let tile: RegisterTile
  let lanes: Int
  let isDouble: Bool
  /// Whether the whole depth is one block.
  let isSinglePass: Bool
  /// The distance between rows of sums.
  let rowStride: Int
  /// Whether rows are lines along the depth, and not packed point by point.
  let hasLines: Bool
  /// From one line to the next, where there are too many for a register each: then it is part of the code. Otherwise 0, and
  /// kernels of any distance share the code, which is told.
  let lineStride: Int
  /// Whether the second cache is asked for the panel of columns after this one, which lies behind it, or else for the next rows.
  let asksForColumns: Bool
  /// How many of the panel's rows there are.
  let height: Int

  init(_ tiles: Schedule.Tiles, height: Int) {
    (tile, lanes, isDouble) = (tiles.tile, tiles.lanes, tiles.isDouble)
    (isSinglePass, rowStride) = (tiles.isSinglePass, tiles.rowStride)
    hasLines = tiles.rows != .packed
    lineStride = tiles.tile.rows > 6 && tiles.tile.multiply != .tileBF16 ? tiles.lineStride : 0
    asksForColumns = tiles.keepsColumns
    self.height = height
  }

  /// The micro-kernels of a contraction: of whole panels of rows, and of the last when it is not whole.
  static func needed(_ tiles: Schedule.Tiles, rows: Int) -> (whole: MicroTile?, rest: MicroTile?) {
    let (width, rest) = (tiles.tile.rows, rows % tiles.tile.rows)
    return (
      rows >= width ? MicroTile(tiles, height: width) : nil, rest == 0 ? nil : MicroTile(tiles, height: rest)
    )
  }

  /// Its name in the JIT, and its key in the cache.
  func key(_ profile: TargetProfile) -> String { ObjectCache.key(["\(self)"] + profile.codeKey) }
  func symbol(_ profile: TargetProfile) -> String { "ltm_" + key(profile) }
}

/// The innermost loops of a contraction: a tile of accumulators in registers, one column panel vector and one broadcast
/// row element at a time. `void tile(int64_t depth, rows *, columns *, sums *, int64_t isFirst, int64_t lineStride)`.
struct MicroKernel {
  let ir: IRBuilder
  let shape: MicroTile

  private var tile: RegisterTile { shape.tile }
  private var element: LLVMTypeRef { shape.isDouble ? ir.double : ir.float }
  private var elementBytes: Int { shape.isDouble ? 8 : 4 }
  private var vector: LLVMTypeRef { ir.vector(element, shape.lanes) }
  private static let unroll = 4

  private var parameters: [LLVMTypeRef] { [ir.i64, ir.pointer, ir.pointer, ir.pointer, ir.i64, ir.i64] }

  /// The function of another module.
  func declared() -> LLVMValueRef { ir.declare(shape.symbol(ir.profile), result: ir.void, parameters) }

  @discardableResult
  func emit(named name: String, isInternal: Bool) -> LLVMValueRef {
    let parameters = ir.begin(function: name, result: ir.void, parameters: parameters, isInternal: isInternal)
    guard let function = ir.function else { internalFailure("emission", "no micro-kernel") }
    if tile.multiply == .tileBF16 {
      TileKernel(ir: ir, shape: shape, parameters: parameters).emit()
      return function
    }
    let (depth, columns) = (parameters[0], parameters[2])
    let rows = (0..<shape.height).map { row in
      shape.hasLines ? ir.address(parameters[1], element, distance(row, parameters[5])) : parameters[1]
    }
    let step = { (k: LLVMValueRef, sums: [LLVMValueRef]) in
      ask(rows[0], columns, at: ir.add(k, depth))
      return products(rows, columns, k, sums)
    }
    let zeros = [LLVMValueRef](repeating: LLVMConstNull(vector), count: shape.height * tile.vectors)
    let whole = ir.multiply(ir.divide(depth, Self.unroll), Self.unroll)
    let unrolled = ir.loop(from: ir.index(0), to: whole, step: Self.unroll, carrying: zeros) { k, sums in
      (0..<Self.unroll).reduce(sums) { step(ir.add(k, ir.index($1)), $0) }
    }
    let sums = ir.loop(from: whole, to: depth, carrying: unrolled) { k, sums in step(k, sums) }
    finish(sums, parameters[3], isFirst: LLVMBuildICmp(ir.ref, LLVMIntNE, parameters[4], ir.index(0), ""))
    LLVMBuildRetVoid(ir.ref)
    return function
  }

  /// From the first line to another.
  private func distance(_ row: Int, _ lineStride: LLVMValueRef) -> LLVMValueRef {
    shape.lineStride > 0 ? ir.index(shape.lineStride * row) : ir.multiply(lineStride, row)
  }

  /// Asks the second cache for what the next call reads, a point of the depth at a time.
  private func ask(_ rows: LLVMValueRef, _ columns: LLVMValueRef, at k: LLVMValueRef) {
    let width = shape.asksForColumns ? tile.vectors * shape.lanes : tile.rows
    guard ir.profile.vectorBytes == 64, shape.asksForColumns || (!shape.hasLines && shape.height == tile.rows) else {
      return
    }
    let base = shape.asksForColumns ? columns : rows
    for byte in stride(from: 0, to: max(64, width * elementBytes), by: 64) {
      ir.prefetch(base, ir.add(ir.multiply(k, width * elementBytes), ir.index(byte)), cache: 2)
    }
  }

  /// The products of one contracted index.
  private func products(_ rows: [LLVMValueRef], _ columns: LLVMValueRef, _ k: LLVMValueRef, _ sums: [LLVMValueRef])
    -> [LLVMValueRef]
  {
    let right = (0..<tile.vectors).map { v -> Lanes in
      let place = ir.add(ir.multiply(k, tile.vectors * shape.lanes), ir.index(v * shape.lanes))
      return Lanes(ir.load(vector, ir.address(columns, element, place), align: ir.profile.vectorBytes), ir)
    }
    return rows.enumerated().flatMap { row, base -> [LLVMValueRef] in
      let place = shape.hasLines ? k : ir.add(ir.multiply(k, tile.rows), ir.index(row))
      let one = ir.load(element, ir.address(base, element, place), align: elementBytes)
      let left = Lanes(ir.splat(one, shape.lanes), ir)
      return right.enumerated().map { v, right in
        let sum = Lanes(sums[row * tile.vectors + v], ir)
        return switch tile.multiply {
        case .fma: left.times(right, plus: sum).ref
        case .multiplyAdd: (left * right + sum).ref
        case .dotBF16: ir.dotBF16(left, right, plus: sum).ref
        case .tileBF16: internalFailure("emission", "tiles are multiplied as a whole")
        }
      }
    }
  }

  /// Stores the first block's sums, adds the others'.
  private func finish(_ sums: [LLVMValueRef], _ result: LLVMValueRef, isFirst: LLVMValueRef) {
    func places(_ body: (Int, LLVMValueRef) -> Void) {
      for row in 0..<shape.height {
        for v in 0..<tile.vectors {
          let place = ir.index(row * shape.rowStride + v * shape.lanes)
          body(row * tile.vectors + v, ir.address(result, element, place))
        }
      }
    }
    if shape.isSinglePass { return places { ir.store(sums[$0], $1, align: elementBytes) } }
    ir.when(isFirst) { places { ir.store(sums[$0], $1, align: elementBytes) } }
    let isLater: LLVMValueRef = LLVMBuildNot(ir.ref, isFirst, "")
    ir.when(isLater) {
      places { place, address in
        let held = Lanes(ir.load(vector, address, align: elementBytes), ir)
        ir.store((held + Lanes(sums[place], ir)).ref, address, align: elementBytes)
      }
    }
  }
}

extension IRBuilder {
  /// `sum` plus, in each lane, the products of both halves, which are bf16.
  func dotBF16(_ a: Lanes, _ b: Lanes, plus sum: Lanes) -> Lanes {
    let pairs = vector(bfloat, 2 * a.count)
    let halves = [a, b].map { LLVMBuildBitCast(ref, $0.ref, pairs, "") as LLVMValueRef }
    return switch profile.architecture {
    case .aarch64: Lanes(call(intrinsic: "llvm.aarch64.neon.bfdot", [sum.type, pairs], [sum.ref] + halves), self)
    case .x86_64, .nvptx64: Lanes(call(intrinsic: "llvm.x86.avx512bf16.dpbf16ps.512", [], [sum.ref] + halves), self)
    }
  }
}
