internal import CLLVM
import LTMIR
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
  let lineBytes: Int
  /// Whether the depth is several lines, whose offsets and number it is told.
  let hasTaps: Bool
  /// What the columns lie in, where they are packed while they are multiplied.
  let packsFrom: DType?
  /// How many of the panel's rows there are, and how many of its vectors of columns.
  let height: Int
  let vectors: Int

  init(_ tiles: Schedule.Tiles, height: Int, vectors: Int? = nil, packsFrom: DType? = nil) {
    (tile, lanes, isDouble) = (tiles.tile, tiles.lanes, tiles.isDouble)
    (isSinglePass, rowStride) = (tiles.isSinglePass, tiles.rowStride)
    hasLines = tiles.operands.lines != nil
    hasTaps = tiles.visitsTaps
    lineBytes = tiles.tile.rows > 6 && tiles.tile.multiply != .tileBF16 ? tiles.lineBytes : 0
    self.height = height
    self.vectors = vectors ?? tile.vectors
    self.packsFrom = packsFrom
  }

  /// What serves whole panels of rows, and the last when it is not whole.
  struct Rows<T> {
    var whole: T?
    var rest: T?
    var all: [T] { [whole, rest].compactMap { $0 } }
  }

  /// A contraction's micro-kernels.
  struct Needed {
    /// For whole panels of columns, and for the last when some of its vectors are empty or it is the only one.
    var whole: Rows<MicroTile>?
    var narrow: Rows<MicroTile>?
    /// The first rows' where it packs the columns.
    var first: MicroTile?
    var all: [MicroTile] { (whole?.all ?? []) + (narrow?.all ?? []) + (first.map { [$0] } ?? []) }
  }

  static func needed(_ tiles: Schedule.Tiles, _ kernel: FlatKernel) -> Needed {
    let (extent, height) = (kernel.extent(tiles.rowAxis), tiles.tile.rows)
    func rows(vectors: Int) -> Rows<MicroTile> {
      let rest = extent % height
      return Rows(
        whole: extent >= height ? MicroTile(tiles, height: height, vectors: vectors) : nil,
        rest: rest == 0 ? nil : MicroTile(tiles, height: rest, vectors: vectors))
    }
    let columns = kernel.extent(tiles.columnAxis)
    let vectors = (columns % tiles.columns + tiles.lanes - 1) / tiles.lanes
    let isNarrow = 0 < vectors && vectors < tiles.tile.vectors && tiles.tile.multiply != .tileBF16
    return Needed(
      whole: columns >= tiles.columns || !isNarrow ? rows(vectors: tiles.tile.vectors) : nil,
      narrow: isNarrow ? rows(vectors: vectors) : nil,
      first: kernel.columnSource(tiles).map { MicroTile(tiles, height: height, packsFrom: $0.dtype) })
  }

  /// Its name in the JIT, and its key in the cache.
  func key(_ profile: TargetProfile) -> String { ObjectCache.key(["\(self)"] + profile.codeKey) }
  func symbol(_ profile: TargetProfile) -> String { "ltm_" + key(profile) }
}

extension FlatKernel {
  /// Where columns lie that are packed in the first micro-kernel pass.
  func columnSource(_ tiles: Schedule.Tiles) -> (access: FlatAccess, dtype: DType)? {
    guard tiles.operands.packsInFirstPass, case .contraction(_, _, let lhs, let rhs) = kernel.form,
      let access = loads[(tiles.isSwapped ? lhs : rhs).index]
    else { return nil }
    return (access, kernel[access.buffer].dtype)
  }
}

/// The innermost loops of a contraction: a tile of accumulators in registers, one column panel vector and one broadcast
/// row element at a time. `void tile(int64_t depth, rows *, columns *, sums *, int64_t isFirst, int64_t lineBytes, void *next,
/// int64_t points)`, where `next` is what to prefetch into the second cache, a cache line for each step of the depth, which has
/// so many points. Where it packs the columns, `source *, int64_t sourceStride` follow. Where the depth is several lines, these are
/// the numbers of one, and `offsets *, int64_t lines` follow.
struct MicroKernel {
  let ir: IRBuilder
  let shape: MicroTile

  private var tile: RegisterTile { shape.tile }
  private var element: LLVMTypeRef { shape.isDouble ? ir.double : ir.float }
  private var elementBytes: Int { shape.isDouble ? 8 : 4 }
  private var vector: LLVMTypeRef { ir.vector(element, shape.lanes) }
  private static let unroll = 4

  private var parameters: [LLVMTypeRef] {
    [ir.i64, ir.pointer, ir.pointer, ir.pointer, ir.i64, ir.i64, ir.pointer, ir.i64]
      + (shape.packsFrom == nil && !shape.hasTaps ? [] : [ir.pointer, ir.i64])
  }

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
    let zeros = [LLVMValueRef](repeating: LLVMConstNull(vector), count: shape.height * shape.vectors)
    let sums =
      shape.hasTaps
      ? ir.loop(from: ir.index(0), to: parameters[9], carrying: zeros) { tap, sums in
        let offset = ir.load(ir.i64, ir.address(parameters[8], ir.i64, tap), align: 8)
        let before = ir.multiply(ir.multiply(tap, parameters[0]), tile.vectors * shape.lanes)
        var line = parameters
        line[1] = ir.address(parameters[1], ir.i8, offset)
        line[2] = ir.address(parameters[2], element, before)
        return multiply(line, sums)
      } : multiply(parameters, zeros)
    finish(sums, parameters[3], isFirst: LLVMBuildICmp(ir.ref, LLVMIntNE, parameters[4], ir.index(0), ""))
    LLVMBuildRetVoid(ir.ref)
    return function
  }

  /// The sums after a line of the depth.
  private func multiply(_ parameters: [LLVMValueRef], _ start: [LLVMValueRef]) -> [LLVMValueRef] {
    let depth = parameters[0]
    let rows = (0..<shape.height).map { row in
      shape.hasLines ? ir.address(parameters[1], ir.i8, distance(row, parameters[5])) : parameters[1]
    }
    let step = { (k: LLVMValueRef, points: Int, sums: [LLVMValueRef]) in
      prefetch(parameters, k)
      return products(rows, columns(parameters, k, points: points), k, points: points, sums)
    }
    // Where pairs are read that nobody packed, the last may be half of one.
    let hasHalf = tile.points == 2 && (shape.packsFrom != nil || shape.hasLines)
    let full = hasHalf ? ir.divide(parameters[7], tile.points) : depth
    let whole = ir.multiply(ir.divide(full, Self.unroll), Self.unroll)
    let unrolled = ir.loop(from: ir.index(0), to: whole, step: Self.unroll, carrying: start) { k, sums in
      (0..<Self.unroll).reduce(sums) { step(ir.add(k, ir.index($1)), tile.points, $0) }
    }
    let sums = ir.loop(from: whole, to: full, carrying: unrolled) { k, sums in step(k, tile.points, sums) }
    return hasHalf ? ir.loop(from: full, to: depth, carrying: sums) { k, sums in step(k, 1, sums) } : sums
  }

  /// From the first line to another.
  private func distance(_ row: Int, _ lineBytes: LLVMValueRef) -> LLVMValueRef {
    shape.lineBytes > 0 ? ir.index(shape.lineBytes * row) : ir.multiply(lineBytes, row)
  }

  /// Prefetches into the second cache what is read later, a step at a time: what the caller says, the next panel of rows, and
  /// what comes soon of columns that are packed in this pass.
  private func prefetch(_ parameters: [LLVMValueRef], _ k: LLVMValueRef) {
    guard ir.profile.vectorBytes == 64 else { return }
    ir.prefetch(parameters[6], ir.multiply(k, 64), cache: 2)
    if !shape.hasLines, shape.height == tile.rows {
      ir.prefetch(parameters[1], ir.multiply(ir.add(k, parameters[0]), tile.rows * elementBytes), cache: 2)
    }
    guard let dtype = shape.packsFrom else { return }
    for half in 0..<tile.points {
      let point = ir.add(ir.multiply(ir.add(k, ir.index(Self.ahead)), tile.points), ir.index(half))
      let first = ir.multiply(ir.multiply(point, parameters[9]), dtype.byteCount)
      for line in stride(from: 0, to: tile.vectors * shape.lanes * dtype.byteCount, by: 64) {
        ir.prefetch(parameters[8], ir.add(first, ir.index(line)), cache: 2)
      }
    }
  }

  /// How many points of the depth before their use. Asking the first cache as well, 4 points before, brought nothing.
  private static let ahead = 24

  /// The panel's vectors at a step; where packing is fused into this pass, they go there from where they lie.
  private func columns(_ parameters: [LLVMValueRef], _ k: LLVMValueRef, points: Int) -> [Lanes] {
    (0..<shape.vectors).map { v in
      let place = ir.add(ir.multiply(k, tile.vectors * shape.lanes), ir.index(v * shape.lanes))
      let panel = ir.address(parameters[2], element, place)
      guard let dtype = shape.packsFrom else { return Lanes(ir.load(vector, panel, align: ir.profile.vectorBytes), ir) }
      let points = (0..<points).map { half in
        let line = ir.multiply(ir.add(ir.multiply(k, tile.points), ir.index(half)), parameters[9])
        let place = ir.address(parameters[8], ir.stored(dtype), ir.add(line, ir.index(v * shape.lanes)))
        return Lanes(ir.load(ir.vector(ir.stored(dtype), shape.lanes), place, align: dtype.byteCount), ir)
      }
      let lanes = tile.points == 2 ? pairs(points) : ir.widen(points[0], from: dtype)
      ir.store(lanes.ref, panel, align: ir.profile.vectorBytes)
      return lanes
    }
  }

  /// Words of two bf16, the later one above, or a zero.
  private func pairs(_ points: [Lanes]) -> Lanes {
    let words = points.map { Lanes(LLVMBuildZExt(ir.ref, $0.ref, ir.vector(ir.i32, shape.lanes), ""), ir) }
    return (words.count == 2 ? words[0].or(words[1].shiftedLeft(16)) : words[0]).cast(to: ir.float)
  }

  /// The products of one contracted index.
  private func products(
    _ rows: [LLVMValueRef], _ right: [Lanes], _ k: LLVMValueRef, points: Int, _ sums: [LLVMValueRef]
  ) -> [LLVMValueRef] {
    return rows.enumerated().flatMap { row, base -> [LLVMValueRef] in
      let left = Lanes(ir.splat(number(row, base, k, points: points), shape.lanes), ir)
      return right.enumerated().map { v, right in
        let sum = Lanes(sums[row * shape.vectors + v], ir)
        return switch tile.multiply {
        case .fma: left.times(right, plus: sum).ref
        case .multiplyAdd: (left * right + sum).ref
        case .dotBF16: ir.dotBF16(left, right, plus: sum).ref
        case .tileBF16: internalFailure("emission", "tiles are multiplied as a whole")
        }
      }
    }
  }

  /// An element of a row: in its panel, or where its line lies, which may end in half a pair.
  private func number(_ row: Int, _ base: LLVMValueRef, _ k: LLVMValueRef, points: Int) -> LLVMValueRef {
    guard shape.hasLines else {
      let place = ir.add(ir.multiply(k, tile.rows), ir.index(row))
      return ir.load(element, ir.address(base, element, place), align: elementBytes)
    }
    let place = ir.address(base, element, k)
    if points == tile.points { return ir.load(element, place, align: elementBytes / tile.points) }
    return Lanes(ir.load(ir.i16, place, align: 2), ir).extended(to: ir.i32).cast(to: element).ref
  }

  /// Stores the first block's sums, adds the others'.
  private func finish(_ sums: [LLVMValueRef], _ result: LLVMValueRef, isFirst: LLVMValueRef) {
    func places(_ body: (Int, LLVMValueRef) -> Void) {
      for row in 0..<shape.height {
        for v in 0..<shape.vectors {
          let place = ir.index(row * shape.rowStride + v * shape.lanes)
          body(row * shape.vectors + v, ir.address(result, element, place))
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
