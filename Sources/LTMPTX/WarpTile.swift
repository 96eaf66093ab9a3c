internal import CLLVM
import LTMIR
import LTMLLVM

/// A warp's part of a block's tile: it multiplies what lies in shared memory, into sums in registers.
struct WarpTile {
  /// An operand's K-stage in shared memory.
  typealias Operand = (memory: LLVMValueRef, side: TileSide)
  let ir: IRBuilder
  let tiles: DeviceTiles
  let place: WarpPlace

  var lane: LLVMValueRef { place.lane }

  /// The slabs of 16 rows by 32 columns that the warp makes, a row of them after the other.
  var slabs: [(row: Int, column: Int)] {
    stride(from: 0, to: tiles.rowsPerWarp, by: DeviceTiles.slabRows).flatMap { row in
      stride(from: 0, to: tiles.columnsPerWarp, by: DeviceTiles.slabColumns).map { (row, $0) }
    }
  }

  /// A thread's sums before the first product: those of a slab stand together.
  var zeros: [LLVMValueRef] {
    switch tiles.multiply {
    case .scalar(let dtype):
      [LLVMValueRef](repeating: LLVMConstNull(ir.vector(ir.scalar(dtype), 4)), count: slabs.count * 4)
    case .mma884, .mma16816, .wgmma: [LLVMValueRef](repeating: ir.constant(0, ir.float), count: slabs.count * 16)
    }
  }

  /// Adds the products of a K-stage: the rows' operand, then the columns'.
  func multiply(_ sums: [LLVMValueRef], in stage: LLVMValueRef) -> [LLVMValueRef] {
    let (first, second) = (tiles.sides[0], tiles.sides[1])
    let (rows, columns) = ((stage, first), (ir.address(stage, ir.i8, ir.index(first.bytes)), second))
    return switch tiles.multiply {
    case .scalar: scalars(sums, rows, columns)
    case .mma884: quads(sums, rows, columns)
    case .mma16816(let dtype): matrices(sums, dtype, rows, columns)
    case .wgmma(let dtype): group(sums, dtype, rows, columns)
    }
  }

  /// Writes the sums of one slab, row by row.
  func spill(_ sums: [LLVMValueRef], slab number: Int, into slab: LLVMValueRef) {
    let pitch = DeviceTiles.slabPitch
    let count = sums.count / slabs.count
    let own = Array(sums[number * count..<(number + 1) * count])
    switch tiles.multiply {
    case .scalar(let dtype):
      for (i, sum) in own.enumerated() {
        let row = ir.add(ir.multiply(ir.divide(lane, 8), 4), ir.index(i))
        write(sum, slab, row, ir.multiply(ir.remainder(lane, 8), 4), pitch, ir.scalar(dtype), align: 16)
      }
    case .mma884:
      // Threads 0-15 hold rows 0-3 of their quad pair's square, the others rows 4-7.
      let firstRow = ir.add(ir.add(quadRow, upperHalf), ir.remainder(lane, 2))
      let firstColumn = ir.add(quadColumn, ir.multiply(ir.remainder(ir.divide(lane, 2), 2), 2))
      for square in 0..<2 {
        for pair in 0..<4 {
          let value = join(own[square * 8 + pair * 2], own[square * 8 + pair * 2 + 1])
          let row = ir.add(firstRow, ir.index(pair % 2 * 2))
          let column = ir.add(firstColumn, ir.index(square * 16 + pair / 2 * 4))
          write(value, slab, row, column, pitch, ir.float, align: 8)
        }
      }
    case .mma16816, .wgmma:
      for (tile, half) in (0..<4).flatMap({ tile in [(tile, 0), (tile, 1)] }) {
        let value = join(own[tile * 4 + half * 2], own[tile * 4 + half * 2 + 1])
        let row = ir.add(ir.divide(lane, 4), ir.index(half * 8))
        let column = ir.add(ir.multiply(ir.remainder(lane, 4), 2), ir.index(tile * 8))
        write(value, slab, row, column, pitch, ir.float, align: 8)
      }
    }
  }

  private func join(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef {
    ir.insert(b, into: ir.insert(a, into: LLVMGetPoison(ir.vector(LLVMTypeOf(a), 2)), lane: 0), lane: 1)
  }

  private func write(
    _ value: LLVMValueRef, _ slab: LLVMValueRef, _ row: LLVMValueRef, _ column: LLVMValueRef, _ pitch: Int,
    _ element: LLVMTypeRef, align: Int
  ) {
    ir.store(value, ir.address(slab, element, ir.add(ir.multiply(row, pitch), column)), align: align)
  }

  /// The first row or column of this warp in the block's tile.
  private var rowStart: LLVMValueRef { ir.multiply(place.row, tiles.rowsPerWarp) }
  private var columnStart: LLVMValueRef { ir.multiply(place.column, tiles.columnsPerWarp) }

  private func at(_ operand: Operand, _ element: LLVMTypeRef, row: LLVMValueRef, depth: LLVMValueRef) -> LLVMValueRef {
    ir.address(operand.memory, element, operand.side.offset(row: row, depth: depth, ir))
  }

  // MARK: Ordinary registers

  /// A thread at (lane / 8, lane % 8) of 4 by 8 makes squares of 4 by 4.
  private func scalars(_ sums: [LLVMValueRef], _ rows: Operand, _ columns: Operand) -> [LLVMValueRef] {
    let element = ir.scalar(tiles.multiply.element)
    let align = min(16, 4 * tiles.multiply.element.byteCount)
    var sums = sums
    let row = ir.add(rowStart, ir.multiply(ir.divide(lane, 8), 4))
    let column = ir.add(columnStart, ir.multiply(ir.remainder(lane, 8), 4))
    for depth in 0..<tiles.depth {
      let k = ir.index(depth)
      let right = Lanes(ir.load(ir.vector(element, 4), at(columns, element, row: column, depth: k), align: align), ir)
      for slab in slabs.indices {
        let place = at(rows, element, row: ir.add(row, ir.index(slab * DeviceTiles.slabRows)), depth: k)
        let left = ir.load(ir.vector(element, 4), place, align: align)
        for i in 0..<4 {
          let factor = Lanes(ir.splat(ir.extract(left, lane: i), 4), ir)
          sums[slab * 4 + i] = factor.times(right, plus: Lanes(sums[slab * 4 + i], ir)).ref
        }
      }
    }
    return sums
  }

  // MARK: Volta's tensor cores: four quad pairs of threads each make a square of 8 by 8

  private var quadRow: LLVMValueRef { ir.multiply(ir.remainder(ir.divide(lane, 4), 2), 8) }
  private var quadColumn: LLVMValueRef { ir.multiply(ir.remainder(ir.divide(lane, 8), 2), 8) }
  private var upperHalf: LLVMValueRef { ir.multiply(ir.divide(lane, 16), 4) }

  private func quads(_ sums: [LLVMValueRef], _ rows: Operand, _ columns: Operand) -> [LLVMValueRef] {
    var sums = sums
    let within = ir.add(upperHalf, ir.remainder(lane, 4))
    let row = ir.add(rowStart, ir.add(quadRow, within))
    let column = ir.add(columnStart, ir.add(quadColumn, within))
    func four(_ operand: Operand, _ line: LLVMValueRef, _ offset: Int, _ depth: Int) -> [LLVMValueRef] {
      let place = at(operand, ir.half, row: ir.add(line, ir.index(offset)), depth: ir.index(depth))
      let values = ir.load(ir.vector(ir.half, 4), place, align: 8)
      return [ir.slice(values, 0, 2), ir.slice(values, 2, 2)]
    }
    for depth in stride(from: 0, to: tiles.depth, by: 4) {
      let right = (0..<2).map { four(columns, column, $0 * 16, depth) }
      for slab in slabs.indices {
        let left = four(rows, row, slab * DeviceTiles.slabRows, depth)
        for square in 0..<2 {
          let first = slab * 16 + square * 8
          let result = ir.call(
            device: "llvm.nvvm.mma.m8n8k4.row.col.f32.f32", left + right[square] + sums[first..<first + 8])
          for i in 0..<8 { sums[first + i] = ir.member(result, i) }
        }
      }
    }
    return sums
  }

  // MARK: Ampere's tensor cores

  private func matrices(_ sums: [LLVMValueRef], _ dtype: DType, _ rows: Operand, _ columns: Operand)
    -> [LLVMValueRef]
  {
    var sums = sums
    let name = dtype == .f16 ? "llvm.nvvm.mma.m16n8k16.row.col.f32.f32" : "llvm.nvvm.mma.m16n8k16.row.col.bf16"
    for depth in stride(from: 0, to: tiles.depth, by: 16) {
      // Two fragments of 8 columns at once.
      let right = (0..<2).flatMap { pair -> [[LLVMValueRef]] in
        let words = fragments(columns, columnStart, pair * 16, depth, dtype, depthFirst: true)
        return [Array(words[0...1]), Array(words[2...3])]
      }
      for slab in slabs.indices {
        let left = fragments(rows, rowStart, slab * DeviceTiles.slabRows, depth, dtype, depthFirst: false)
        for tile in 0..<4 {
          let first = slab * 16 + tile * 4
          let result = ir.call(device: name, left + right[tile] + sums[first..<first + 4])
          for i in 0..<4 { sums[first + i] = ir.member(result, i) }
        }
      }
    }
    return sums
  }

  /// Four matrices of 8 by 8: 16 rows by 16 deep, those of the first rows (or, `depthFirst`, of the first depths) ahead.
  private func fragments(
    _ operand: Operand, _ start: LLVMValueRef, _ offset: Int, _ depth: Int, _ dtype: DType, depthFirst: Bool
  ) -> [LLVMValueRef] {
    let (low, high) = (ir.remainder(ir.divide(lane, 8), 2), ir.divide(lane, 16))
    let (rowBlock, depthBlock) = depthFirst ? (high, low) : (low, high)
    // Each thread gives the address of one line of one matrix: lines run along the depth or, transposed, along the rows.
    let line = ir.remainder(lane, 8)
    let isTransposed = !operand.side.layout.runsAlongDepth
    let row = ir.add(ir.add(start, ir.index(offset)), ir.multiply(rowBlock, 8))
    let k = ir.add(ir.index(depth), ir.multiply(depthBlock, 8))
    let address = at(
      operand, ir.i16, row: isTransposed ? row : ir.add(row, line), depth: isTransposed ? ir.add(k, line) : k)
    let name = "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.\(isTransposed ? "trans." : "")b16"
    let words = ir.call(device: name, overloads: [LLVMPointerTypeInContext(ir.context, 3)], [address])
    return (0..<4).map { number in
      let word = ir.member(words, number)
      return dtype == .f16 ? ir.bits(word, as: ir.vector(ir.half, 2)) : word
    }
  }

  // MARK: Hopper's tensor cores: four warps multiply what descriptors of shared memory name

  private func group(_ sums: [LLVMValueRef], _ dtype: DType, _ rows: Operand, _ columns: Operand) -> [LLVMValueRef] {
    let left = descriptor(rows, ir.multiply(ir.divide(place.warp, 4), 64))
    let right = descriptor(columns, ir.index(0))
    ir.beginProducts()
    var sums = sums
    for depth in stride(from: 0, to: tiles.depth, by: 16) {
      sums = ir.multiplyGroup(
        sums, dtype, step(left, rows.side, depth), step(right, columns.side, depth),
        transposed: [rows, columns].map { !$0.side.layout.runsAlongDepth })
    }
    ir.commitProducts()
    ir.waitForProducts(left: 1)
    return sums
  }

  /// A matrix descriptor of lines of 128 bytes, swizzled: the address, the distance between blocks of 64 rows where lines
  /// run along the rows, that between groups of 8 lines; all in units of 16 bytes.
  private func descriptor(_ operand: Operand, _ row: LLVMValueRef) -> LLVMValueRef {
    let (side, line) = (operand.side, 128)
    let blockBytes = side.layout.runsAlongDepth ? 16 : side.depth * line
    let offset = ir.multiply(row, side.layout.runsAlongDepth ? line : side.depth * line / 64)
    let fixed = (blockBytes / 16) << 16 | (8 * line / 16) << 32 | 1 << 62
    return ir.descriptor(ir.address(operand.memory, ir.i8, offset), fixed)
  }

  /// The descriptor of the 16 depths that start at one.
  private func step(_ descriptor: LLVMValueRef, _ side: TileSide, _ depth: Int) -> LLVMValueRef {
    ir.add(descriptor, ir.index(side.layout.runsAlongDepth ? depth * 2 / 16 : depth * 128 / 16))
  }
}
