import LTMIR
import LTMKernels
import LTMLLVM
import Testing

@Suite struct KernelTests {
  private static let sizes = [(1, 1), (3, 5), (8, 16), (17, 33), (100, 10), (9, 700)]

  @Test(arguments: [Combiner.add, .multiply, .maximum, .minimum], [DType.f32, .f16, .bf16, .f64, .i32, .i64])
  func reductions(_ combiner: Combiner, _ dtype: DType) throws {
    for (m, n) in Self.sizes {
      for overRows in [false, true] {
        let kernel = reduceKernel(combiner, m: m, n: n, dtype: dtype, overRows: overRows, result: dtype.loaded)
        var data = contents(kernel)
        if combiner == .multiply { data[0] = data[0].map { dtype.isFloating ? 1 + $0 / 64 : 1 } }
        try expectInterpreted(kernel, data, tolerance: dtype == .f64 ? 1e-12 : 2e-5)
      }
    }
  }

  @Test(arguments: [Combiner.and, .or])
  func reductionsOfBools(_ combiner: Combiner) throws {
    for (m, n) in Self.sizes {
      for overRows in [false, true] {
        let kernel = reduceKernel(combiner, m: m, n: n, dtype: .bool, overRows: overRows, result: .bool)
        var data = contents(kernel)
        if combiner == .and { data[0] = data[0].indices.map { $0 % 37 == 5 ? 0 : 1 } }
        try expectInterpreted(kernel, data, tolerance: 0)
      }
    }
  }

  @Test(arguments: [DType.f32, .f16, .f64, .i32], [false, true])
  func argReductions(_ dtype: DType, _ isMaximum: Bool) throws {
    for (m, n) in Self.sizes {
      for overRows in [false, true] {
        var maker = KernelMaker("argmax", domain: [overRows ? n : m], inner: [overRows ? m : n])
        let x = maker.buffer(dtype, [m, n])
        let y = maker.buffer(.i32, [overRows ? n : m], .write)
        maker.store(
          y, [0], maker.argReduce(isMaximum ? .maximum : .minimum, over: 1, maker.load(x, overRows ? [1, 0] : [0, 1])))
        var data = contents(maker.kernel)
        try expectInterpreted(maker.kernel, data, tolerance: 0)
        // Ties: the first wins.
        data[0] = data[0].map { $0.rounded() }
        try expectInterpreted(maker.kernel, data, tolerance: 0)
        data[0] = data[0].map { _ in dtype.isFloating ? (isMaximum ? -.infinity : .infinity) : 0 }
        try expectInterpreted(maker.kernel, data, tolerance: 0)
        if dtype.isFloating {
          data[0] = data[0].enumerated().map { $0 % 11 == 7 ? .nan : $1 }
          try expectInterpreted(maker.kernel, data, tolerance: 0)
        }
      }
    }
  }

  @Test func aNaNReachesEveryReduction() throws {
    for combiner in [Combiner.add, .multiply, .maximum, .minimum] {
      for overRows in [false, true] {
        let kernel = reduceKernel(combiner, m: 40, n: 40, dtype: .f32, overRows: overRows, result: .f32)
        var data = contents(kernel)
        data[0] = data[0].map { _ in 1 }
        for place in stride(from: 0, to: 1600, by: 41) { data[0][place] = .nan }
        let y = try launch(kernel, data)[1].doubles
        let all = y.allSatisfy { $0.isNaN }
        #expect(all, "\(combiner)")
      }
    }
  }

  @Test func emptyExtents() throws {
    let none = binaryKernel(.add, .f32, 0)
    let nothing = try launch(none, [[], [], []])
    #expect(nothing[2].count == 0)
    let kernel = reduceKernel(.add, m: 3, n: 0, dtype: .f32, overRows: false, result: .f32)
    let zeros = try launch(kernel, [[], [7, 7, 7]])
    #expect(zeros[1].doubles == [0, 0, 0])
  }

  /// Broadcast, transpose, strides, offsets, guards, gather and an axis' own index, in one body.
  @Test(arguments: [(3, 4), (16, 16), (7, 37), (33, 5), (2, 300)], [DType.f32, .f16, .bf16, .f64])
  func accesses(_ size: (Int, Int), _ dtype: DType) throws {
    let (m, n) = size
    var maker = KernelMaker("accesses", domain: [m, n])
    let transposed = maker.buffer(dtype, [n, m])
    let row = maker.buffer(dtype, [n])
    let column = maker.buffer(dtype, [m])
    let strided = maker.buffer(dtype, [m, 2 * n + 1])
    let small = maker.buffer(dtype, [m - 1, n - 1])
    let table = maker.buffer(dtype, [5, n])
    let which = maker.buffer(.i32, [m])
    let each = maker.buffer(.i64, [n])
    let y = maker.buffer(dtype, [m, n], .write)
    let a = maker.load(transposed, [1, 0])
    let b = maker.load(row, [1])
    let c = maker.load(column, [0])
    let odd = Affine([.init(AxisID(1), 2)], offset: 1)
    let d = maker.add(.load(strided, [.affine(Affine(axis: AxisID(0))), .affine(odd)], guards: [], otherwise: 0))
    let (up, left) = (Affine([.init(AxisID(0))], offset: -1), Affine([.init(AxisID(1))], offset: -1))
    let e = maker.add(
      .load(
        small, [.affine(up), .affine(left)], guards: [.init(up, limit: m - 1), .init(left, limit: n - 1)], otherwise: -3
      ))
    let index = maker.load(which, [0])
    let f = maker.add(.load(table, [.loaded(index), .affine(Affine(axis: AxisID(1)))], guards: [], otherwise: 0))
    let lane = maker.load(each, [1])
    let g = maker.add(.load(table, [.loaded(lane), .affine(Affine(constant: 0))], guards: [], otherwise: 0))
    let wide = maker.kernel.dtype(a)
    let h = maker.add(.convert(maker.add(.axis(AxisID(1))), wide))
    var sum = a
    for next in [b, c, d, e, f, g, h] { sum = maker.apply(.add, [sum, next]) }
    maker.store(y, [0, 1], sum)
    var data = contents(maker.kernel)
    // Indices out of range are clamped.
    data[6] = data[6].enumerated().map { $0 % 4 == 3 ? 99 : $1 }
    data[7] = data[7].enumerated().map { $0 % 4 == 2 ? -5 : $1 }
    try expectInterpreted(maker.kernel, data, tolerance: dtype == .bf16 ? 4e-3 : dtype == .f16 ? 6e-4 : 1e-6)
  }

  @Test func aCastRoundsAndIsNotFolded() throws {
    for (source, target) in [(DType.f32, DType.f16), (.f32, .bf16), (.f64, .f16), (.f64, .bf16), (.f64, .f32)] {
      var maker = KernelMaker("cast", domain: [100])
      let x = maker.buffer(source, [100])
      let y = maker.buffer(source, [100], .write)
      maker.store(y, [0], maker.add(.round(maker.load(x, [0]), target)))
      try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 0)
    }
  }

  @Test func anUpdateInPlaceReadsBeforeItWrites() throws {
    // p -= 0.5 g; h = narrow(p), where both stores read the old p.
    var maker = KernelMaker("sgd", domain: [1000])
    let p = maker.buffer(.f32, [1000], .readWrite)
    let g = maker.buffer(.f16, [1000])
    let h = maker.buffer(.f16, [1000], .write)
    let step = maker.apply(.mul, [maker.load(g, [0]), maker.constant(0.5)])
    let next = maker.apply(.sub, [maker.load(p, [0]), step])
    maker.store(p, [0], next)
    maker.store(h, [0], maker.apply(.sub, [maker.load(p, [0]), step]))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-3)
  }

  @Test(arguments: [(4, 8), (5, 200), (300, 3)])
  func layerNorm(_ size: (Int, Int)) throws {
    let (rows, columns) = size
    var maker = KernelMaker("layer_norm", domain: [rows], inner: [columns])
    let x = maker.buffer(.f16, [rows, columns])
    let scale = maker.buffer(.f32, [columns])
    let y = maker.buffer(.f16, [rows, columns], .write)
    let mean = maker.buffer(.f32, [rows], .write)
    let value = maker.load(x, [0, 1])
    let count = maker.constant(Double(columns))
    let average = maker.apply(.div, [maker.reduce(.add, over: [1], value), count])
    let centred = maker.apply(.sub, [value, average])
    let variance = maker.apply(.div, [maker.reduce(.add, over: [1], maker.apply(.mul, [centred, centred])), count])
    let deviation = maker.apply(.sqrt, [maker.apply(.add, [variance, maker.constant(1e-5)])])
    let result = maker.apply(.mul, [maker.apply(.div, [centred, deviation]), maker.load(scale, [1])])
    maker.loop(over: [1], [KernelStore(y, maker.at([0, 1]), result)])
    maker.store(mean, [0], average)
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 2e-3)
  }

  @Test func reductionOverSeveralAxes() throws {
    // Sums over a middle axis and an outer one; their neighbours cannot merge.
    var maker = KernelMaker("sums", domain: [5, 6], inner: [7, 9])
    let x = maker.buffer(.f32, [7, 5, 9, 6])
    let y = maker.buffer(.f32, [5, 6], .write)
    maker.store(y, [0, 1], maker.reduce(.add, over: [2, 3], maker.load(x, [2, 0, 3, 1])))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-4)
    var whole = KernelMaker("total", domain: [], inner: [7, 9, 11])
    let z = whole.buffer(.f16, [7, 9, 11])
    let total = whole.buffer(.f32, [], .write)
    whole.store(total, [], whole.reduce(.add, over: [0, 1, 2], whole.load(z, [0, 1, 2])))
    try expectInterpreted(whole.kernel, contents(whole.kernel), tolerance: 1e-4)
  }
}
