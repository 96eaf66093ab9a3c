import LTMIR
import LTMKernels
import LTMLLVM
import Testing

/// Operands that lie across the vectors: blocks of them are transposed first.
@Suite struct TransposedTests {
  /// `y = x.T + 1`, of whole and of broken squares, of less than a square, and of a power of two of them.
  @Test(
    arguments: [(64, 128), (70, 33), (300, 5), (5, 300), (129, 257), (3, 40)],
    [DType.f32, .f16, .bf16, .f64, .i32, .i64, .u8, .bool])
  func plus(_ size: (Int, Int), _ dtype: DType) throws {
    var maker = KernelMaker("plus", domain: [size.0, size.1])
    let x = maker.buffer(dtype, [size.1, size.0])
    let y = maker.buffer(dtype, [size.0, size.1], .write)
    let value = maker.load(x, [1, 0])
    maker.store(y, [0, 1], dtype == .bool ? maker.apply(.not, [value]) : maker.apply(.add, [value, value]))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: dtype == .bf16 ? 4e-3 : 1e-3)
    let isBlocked = if case .blocks = schedule(maker.kernel, .host).strategy { true } else { false }
    #expect(isBlocked == (min(size.0, size.1) >= 4))
  }

  @Test("permutations of three axes", arguments: [[0, 2, 1], [2, 1, 0], [2, 0, 1], [1, 2, 0], [1, 0, 2]])
  func permutations(_ order: [Int]) throws {
    for shape in [[3, 20, 33], [17, 4, 9], [8, 40, 70]] {
      var maker = KernelMaker("permuted", domain: shape)
      let x = maker.buffer(.f32, order.map { shape[$0] })
      let y = maker.buffer(.f32, shape, .write)
      maker.store(y, [0, 1, 2], maker.apply(.add, [maker.load(x, order), maker.constant(1)]))
      try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-6)
    }
  }

  @Test("several operands of several dtypes, one of them updated in place", arguments: [(48, 96), (35, 130)])
  func several(_ size: (Int, Int)) throws {
    var maker = KernelMaker("several", domain: [size.0, size.1])
    let transposed = [DType.f16, .f32, .u8].map { maker.buffer($0, [size.1, size.0]) }
    let bias = maker.buffer(.f32, [size.1])
    let y = maker.buffer(.f32, [size.0, size.1], .readWrite)
    let half = maker.buffer(.f16, [size.0, size.1], .write)
    var sum = maker.apply(.mul, [maker.load(y, [0, 1]), maker.load(bias, [1])])
    for (number, buffer) in transposed.enumerated() {
      var value = maker.load(buffer, [1, 0])
      if number == 2 { value = maker.add(.convert(value, .f32)) }
      sum = maker.apply(.add, [sum, value])
    }
    maker.store(y, [0, 1], sum)
    maker.store(half, [0, 1], maker.apply(.exp, [sum]))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 2e-3)
    guard case .blocks(let numbers) = schedule(maker.kernel, .host).strategy else {
      return #expect(Bool(false), "no blocks")
    }
    #expect(numbers.rowAxis == 0 && numbers.rows % 16 == 0)
  }

  /// Reductions along rows of a transposed operand, which write rows.
  @Test(
    arguments: [(40, 70), (16, 64), (5, 33), (67, 300)], [DType.f32, .f16, .bf16, .f64])
  func softmax(_ size: (Int, Int), _ dtype: DType) throws {
    let (rows, columns) = size
    var maker = KernelMaker("softmax", domain: [rows], inner: [columns])
    let x = maker.buffer(dtype, [columns, rows])
    let y = maker.buffer(dtype, [rows, columns], .write)
    let value = maker.load(x, [1, 0])
    let greatest = maker.reduce(.maximum, over: [1], value)
    let e = maker.scratch(over: 1, maker.apply(.exp, [maker.apply(.sub, [value, greatest])]))
    let sum = maker.reduce(.add, over: [1], e)
    maker.loop(over: [1], [KernelStore(y, maker.at([0, 1]), maker.apply(.div, [e, sum]))])
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: dtype == .bf16 ? 4e-3 : 1e-3)
    guard case .rows(let numbers) = schedule(maker.kernel, .host).strategy else {
      return #expect(Bool(false), "no rows")
    }
    #expect(numbers.rowsTogether > 1 && numbers.pointsPerTask % numbers.rowsTogether == 0)
  }

  @Test("a batch, and an operand that lies along the rows too") func batches() throws {
    var maker = KernelMaker("batches", domain: [3, 21], inner: [50])
    let (x, bias) = (maker.buffer(.f32, [3, 50, 21]), maker.buffer(.f32, [50]))
    let (y, best) = (maker.buffer(.f32, [3, 21, 50], .write), maker.buffer(.i32, [3, 21], .write))
    let value = maker.apply(.add, [maker.load(x, [0, 2, 1]), maker.load(bias, [2])])
    let total = maker.reduce(.add, over: [2], value)
    let index = maker.argReduce(.maximum, over: 2, value)
    maker.loop(over: [2], [KernelStore(y, maker.at([0, 1, 2]), maker.apply(.sub, [value, total]))])
    maker.store(best, [0, 1], index)
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-4)
  }

  /// A depthwise convolution's gradient for its weight is such a sum: over images and rows around the columns.
  @Test(
    "what moves along an outer axis of a sum is no block for all of it", arguments: [(4, 5), (16, 64), (21, 50)],
    [DType.f32, .f16, .f64])
  func sumsOverSeveralAxes(_ size: (Int, Int), _ dtype: DType) throws {
    var maker = KernelMaker("sums", domain: [2, size.0], inner: [3, size.1])
    let (x, w) = (maker.buffer(dtype, [3, size.1, size.0]), maker.buffer(dtype, [2, 3, size.1]))
    let wide = dtype == .f64 ? dtype : .f32
    let (y, z) = (maker.buffer(wide, [2, size.0], .write), maker.buffer(wide, [2, size.0], .write))
    let product = maker.apply(.mul, [maker.load(x, [2, 3, 1]), maker.load(w, [0, 2, 3])])
    let (sum, most) = (maker.reduce(.add, over: [2, 3], product), maker.reduce(.maximum, over: [2, 3], product))
    maker.store(y, [0, 1], sum)
    maker.store(z, [0, 1], most)
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: dtype == .f16 ? 1e-2 : 1e-4)
  }

  @Test("other processors transpose in squares of their own", arguments: TargetProfile.named.map(\.name))
  func profiles(_ name: String) throws {
    let profile = try #require(TargetProfile.named(name))
    for dtype in [DType.u8, .f16, .f32, .f64] {
      var maker = KernelMaker("copy", domain: [64, 64])
      let (x, y) = (maker.buffer(dtype, [64, 64]), maker.buffer(dtype, [64, 64], .write))
      maker.store(y, [0, 1], maker.load(x, [1, 0]))
      #expect(try !emit(maker.kernel, as: .object, profile: profile).isEmpty)
    }
  }
}
