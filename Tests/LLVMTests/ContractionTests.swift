import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport
import TestSupport
import Testing

@Suite struct ContractionTests {
  static let sizes = [
    (1, 64, 64), (64, 1, 64), (4, 8, 4), (6, 16, 1), (7, 17, 33), (33, 100, 257), (260, 24, 40), (13, 530, 20),
    (2, 9, 600), (1, 37, 1003), (3, 10, 77), (1, 3, 20),
    (32, 37, 130), (13, 20, 257), (16, 9, 2300),
  ]

  private func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .f64: 1e-12
    case .f16: 2e-3
    case .bf16: 1.6e-2
    case .float, .f32, .i32, .i64, .u8, .bool: 1e-4
    }
  }

  @Test(arguments: sizes, [DType.f32, .f16, .bf16, .f64])
  func sizesAndTransposes(_ size: (Int, Int, Int), _ dtype: DType) throws {
    for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
      let kernel = linearKernel(
        m: size.0, n: size.1, k: size.2, dtype: dtype, transposedLeft: left, transposedRight: right)
      try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype))
    }
  }

  /// Shapes that the reference interpreter is too slow for: rows shared, both operands shared, several blocks of depth, batches, twelve rows in
  /// place.
  @Test(
    arguments: [
      (40, 333, 257, nil), (401, 203, 70, nil), (65, 50, 2111, nil), (512, 64, 1030, nil), (200, 130, 40, 3),
      (500, 400, 500, nil),
    ],
    [DType.f32, .f16, .bf16, .f64])
  func largeProducts(_ size: (m: Int, n: Int, k: Int, batch: Int?), _ dtype: DType) throws {
    let (m, n, k) = (size.m, size.n, size.k)
    for (left, right) in [(false, false), (true, true)] {
      let kernel = linearKernel(
        m: m, n: n, k: k, dtype: dtype, transposedLeft: left, transposedRight: right, batch: size.batch)
      let data = zip(kernel.buffers, contents(kernel)).map { buffer, values in values.map(buffer.dtype.round) }
      let results = try TaskOrder.allCases.map { try launch(kernel, data, order: $0)[3] }
      #expect(results.allSatisfy { $0 == results[0] })
      let wanted = (0..<results[0].count).map { place in
        let (b, i, j) = (place / (m * n), place / n % m, place % n)
        var sum = data[2][j]
        for p in 0..<k {
          let x = data[0][b * m * k + (left ? p * m + i : i * k + p)]
          sum += x * data[1][b * k * n + (right ? j * k + p : p * n + j)]
        }
        return max(sum, 0)
      }
      expectClose(results[0].doubles, wanted, .relative(tolerance(dtype)), "\(kernel.name) \(size) \(dtype): ")
    }
  }

  /// Windows of images: rows along several axes, whose lines are visited tap by tap, or copied where they are to be widened; of a
  /// stride, of an odd number of channels, of lines shorter than a register tile, and too short.
  @Test(
    arguments: [(2, 5, 13, 32, 40, 1), (1, 3, 4, 9, 17, 2), (3, 2, 26, 17, 70, 1), (1, 2, 5, 4, 33, 2)],
    [DType.f32, .f16, .bf16, .f64])
  func windows(_ size: (n: Int, h: Int, w: Int, c: Int, o: Int, stride: Int), _ dtype: DType) throws {
    let (n, h, w, c, o, s) = (size.n, size.h, size.w, size.c, size.o, size.stride)
    let (height, width) = (s * (h - 1) + 3, s * (w - 1) + 3)
    let at = { (axis: String) in s == 1 ? axis : "\(s)*\(axis)" }
    let text = """
      kernel @windows(%0 x: \(dtype)[\(n), \(height), \(width), \(c)] read, %1 f: \(dtype)[\(o), \(c), 3, 3] read, %2 b: \(dtype)[\(o)] read, %3 y: \(dtype)[\(n), \(h), \(w), \(o)] write) {
        domain d0: \(n), d1: \(h), d2: \(w), d3: \(o)
        axis k: 3, k1: 3, k2: \(c)
        %acc: \(dtype.accumulator) = contract k, k1, k2 { x[d0, \(at("d1"))+k, \(at("d2"))+k1, k2], f[d3, k2, k, k1] }
        y[d0, d1, d2, d3] = add(%acc, b[d3])
      }
      """
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype))
  }

  /// What is packed of an operand that never changes serves the next launch, on either side; the other is packed anew.
  @Test(arguments: [(32, 150, 140), (70, 33, 41), (300, 24, 96)], [DType.f32, .f16, .bf16, .f64])
  func keptPanels(_ size: (m: Int, n: Int, k: Int), _ dtype: DType) throws {
    for isTransposed in [false, true] {
      var kernel = linearKernel(
        m: size.m, n: size.n, k: size.k, dtype: dtype, transposedLeft: isTransposed, transposedRight: isTransposed)
      let constant = size.m > 96 ? 0 : 1
      kernel.buffers[constant].access = .constant
      let compiler = try #require(compiler)
      let compiled = try #require(try compiler.compile([kernel]).first)
      #expect(!compiled.schedule.prepackPhases.isEmpty)
      var (first, second) = (contents(kernel), contents(kernel, seed: 7))
      second[constant] = first[constant]
      let expected = try launch(kernel, second)[3]
      #expect(try launch(compiled, kernel, second, order: .backwards, after: first)[3] == expected)
      // Without what was kept it would be wrong: the first launch's panels are in use.
      first[constant] = first[constant].map { -$0 }
      #expect(try launch(compiled, kernel, second, order: .together, after: first)[3] != expected)
      kernel.buffers[constant].access = .read
      try expectInterpreted(kernel, second, tolerance: tolerance(dtype))
      #expect(schedule(kernel, .host.jitted).prepackPhases.isEmpty)
    }
  }

  /// One vector times a matrix, and few: blocks that end early on each side, matrices along and across the depth, on the machines
  /// that have other registers too.
  @Test(
    arguments: [(1, 70, 33), (2, 131, 77), (3, 2100, 9), (3, 9, 600), (7, 3, 403), (70, 3, 150), (1, 1100, 1030)],
    [DType.f32, .f16, .bf16, .f64])
  func thinProducts(_ size: (m: Int, n: Int, k: Int), _ dtype: DType) throws {
    for profile in ["host", "x86-64-v3"].compactMap(TargetProfile.named) {
      let compiler = try KernelCompiler(profile: profile.jitted, cache: nil)
      for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
        let kernel = linearKernel(
          m: size.m, n: size.n, k: size.k, dtype: dtype, transposedLeft: left, transposedRight: right,
          batch: size.k == 77 ? 3 : nil)
        try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype), by: compiler)
        let compiled = try #require(try compiler.compile([kernel]).first)
        let results = try TaskOrder.allCases.map { try launch(compiled, kernel, contents(kernel), order: $0) }
        #expect(results.allSatisfy { $0 == results[0] })
      }
    }
  }

  /// The last pair of an odd depth is half of one: what lies there in memory, the next line's first number, is never multiplied,
  /// whether rows are packed or read where they are, and columns packed before or on the way.
  @Test(arguments: [(300, 200, 301), (40, 33, 65), (13, 31, 7), (70, 64, 2111)])
  func oddDepthsEndInZeros(_ size: (m: Int, n: Int, k: Int)) throws {
    for (left, right) in [(false, false), (true, false), (false, true)] {
      let kernel = linearKernel(
        m: size.m, n: size.n, k: size.k, dtype: .bf16, transposedLeft: left, transposedRight: right, batch: 2,
        epilogue: false)
      var data = contents(kernel)
      // One number of the second batch in each operand, the first that follows the first batch's.
      data[0][size.m * size.k] = .nan
      data[1][size.n * size.k] = .infinity
      // And one of the second row.
      if !left { data[0][size.k] = .nan }
      let rounded = zip(kernel.buffers, data).map { buffer, values in values.map(buffer.dtype.round) }
      let result = try launch(kernel, rounded)[3].doubles
      let isFinite = result.indices.map { result[$0].isFinite }
      let (m, n) = (size.m, size.n)
      for place in result.indices where place < m * n {
        let expected = left || place / n != 1
        if isFinite[place] != expected { return #expect(Bool(false), "\(place): \(result[place])") }
      }
      #expect((m * n..<m * n + n).allSatisfy { result[$0].isNaN }, "the second batch's first row is NaN")
      #expect((m * n + n..<2 * m * n).contains { isFinite[$0] })
      try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(.bf16))
    }
  }

  /// Two contracted axes, the inner one odd: each visit of it ends in a zero.
  @Test(arguments: [(5, 3), (3, 1501), (1501, 3), (7, 1)], [DType.f32, .bf16])
  func oddInnerAxes(_ depth: (Int, Int), _ dtype: DType) throws {
    for isTransposed in [false, true] {
      var maker = KernelMaker("odd", domain: [13, 33], inner: [depth.0, depth.1])
      let x = maker.buffer(dtype, [13, depth.0, depth.1])
      let w = maker.buffer(dtype, isTransposed ? [33, depth.1, depth.0] : [depth.1, depth.0, 33])
      let y = maker.buffer(.f32, [13, 33], .write)
      let right = maker.load(w, isTransposed ? [1, 3, 2] : [3, 2, 1])
      maker.store(y, [0, 1], maker.contract(over: [2, 3], maker.load(x, [0, 2, 3]), right))
      try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-3)
    }
  }

  @Test(arguments: [(3, 5, 9, 8), (2, 40, 50, 30)], [DType.f32, .f16])
  func batches(_ size: (Int, Int, Int, Int), _ dtype: DType) throws {
    for right in [false, true] {
      let kernel = linearKernel(m: size.1, n: size.2, k: size.3, dtype: dtype, transposedRight: right, batch: size.0)
      try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype))
    }
  }

  @Test(arguments: [(6, 16, 200_000), (4, 16, 1_000_000), (5000, 16, 1000), (7, 20, 50_000)])
  func deepTiles(_ size: (Int, Int, Int)) throws {
    let kernel = linearKernel(m: size.0, n: size.1, k: size.2, dtype: .f32)
    let schedule = schedule(kernel, .host)
    guard case .contraction(let tiles) = schedule.strategy else { return #expect(Bool(false), "\(schedule)") }
    #expect(tiles.isSinglePass == (tiles.block >= size.2) && (size.2 <= 1000 || !tiles.isSinglePass))
    #expect(schedule.scratchBytes < 4 << 20)
    try expectInterpreted(kernel, contents(kernel), tolerance: 1e-4)
  }

  /// The operands in the other order, a prologue on one, two contracted axes, a transposed result.
  @Test func unusualForms() throws {
    var maker = KernelMaker("unusual", domain: [20, 24], inner: [5, 12])
    let w = maker.buffer(.f16, [5, 24, 12])
    let x = maker.buffer(.f16, [20, 5, 12])
    let y = maker.buffer(.f32, [24, 20], .write)
    let lhs = maker.load(w, [2, 1, 3])
    let rhs = maker.apply(.maximum, [maker.load(x, [0, 2, 3]), maker.constant(0)])
    let sum = maker.contract(over: [2, 3], lhs, rhs)
    maker.store(y, [1, 0], maker.apply(.mul, [sum, maker.constant(0.5)]))
    guard case .contraction = schedule(maker.kernel, .host).strategy else {
      return #expect(Bool(false), "not tiled")
    }
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-4)
  }

  /// Two contracted axes that do not merge and are too deep for one block: the outer one visited, or cut.
  @Test(arguments: [(3, 1500), (1500, 3)], [DType.f32, .bf16])
  func axesInBlocks(_ depth: (Int, Int), _ dtype: DType) throws {
    var maker = KernelMaker("blocks", domain: [9, 20], inner: [depth.0, depth.1])
    let x = maker.buffer(dtype, [9, depth.0, depth.1])
    let w = maker.buffer(dtype, [depth.1, depth.0, 20])
    let y = maker.buffer(.f32, [9, 20], .write)
    maker.store(y, [0, 1], maker.contract(over: [2, 3], maker.load(x, [0, 2, 3]), maker.load(w, [3, 2, 1])))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-3)
  }

  /// A convolution: the operand's map has two axes to a dimension, and padding.
  @Test func paddedOperand() throws {
    var maker = KernelMaker("convolution", domain: [8, 30], inner: [4, 3])
    let w = maker.buffer(.f32, [8, 4, 3])
    let x = maker.buffer(.f32, [4, 30])
    let y = maker.buffer(.f32, [8, 30], .write)
    let place = Affine([.init(AxisID(1)), .init(AxisID(3))], offset: -1)
    let input = maker.add(
      .load(x, [.affine(Affine(axis: AxisID(2))), .affine(place)], guards: [.init(place, limit: 30)], otherwise: 0))
    maker.store(y, [0, 1], maker.contract(over: [2, 3], maker.load(w, [0, 2, 3]), input))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-5)
  }

  @Test(arguments: [DType.f32, .f16, .bf16])
  func tasksInAnyOrderGiveTheSameBits(_ dtype: DType) throws {
    var kernels = [
      linearKernel(m: 300, n: 700, k: 90, dtype: dtype), softmaxKernel(rows: 900, columns: 100, dtype: dtype),
      reduceKernel(.add, m: 500, n: 300, dtype: dtype, overRows: true, result: .f32), binaryKernel(.mul, dtype, 70_001),
    ]
    kernels.append(reduceKernel(.add, m: 500, n: 300, dtype: dtype, overRows: false, result: .f32))
    for kernel in kernels {
      #expect(schedule(kernel, .host).taskCount > 1, "\(kernel.name)")
      let data = contents(kernel)
      let results = try TaskOrder.allCases.map { try launch(kernel, data, order: $0) }
      #expect(results.allSatisfy { $0 == results[0] }, "\(kernel.name)")
    }
  }
}
