import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// How near formulas come to the true value, over all numbers of a half and over dense samples of the wide floats.
@Suite struct AccuracyTests {
  static let formulas: [Primitive] = [.sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .expm1, .log1p, .log2]
  static let products: [Primitive] = [.timesSigmoid, .timesNormalCDF, .timesGaussian]

  /// Every number of a half: within the half ulp of its rounding and a fiftieth of one.
  @Test(arguments: formulas, [DType.f16, .bf16])
  func everyHalf(_ primitive: Primitive, _ dtype: DType) throws {
    let x = (0...UInt16.max).map(dtype == .f16 ? float16Value : bfloat16Value)
    let y = try launch(unaryKernel(primitive, dtype, x.count), [x, x.map { _ in 0 }])[1].doubles
    let (least, digits) = dtype == .f16 ? (-14, 10) : (-126, 7)
    for (x, y) in zip(x, y) {
      let exact = primitive.apply(x, 0, 0)
      if difference(y, dtype.round(exact)) == nil { continue }
      let ulp = exp2(Double(max(exact == 0 ? least : Int(exact.exponent), least) - digits))
      #expect(abs(y - exact) <= 0.52 * ulp, "\(primitive)(\(x)) in \(dtype): \(y), not \(exact)")
    }
  }

  /// Every number of a half times its sigmoid and the like, and these alone; subnormal results too.
  @Test(arguments: products, [(DType.f16, true), (.f16, false), (.bf16, true), (.bf16, false)])
  func everyHalf(_ primitive: Primitive, _ item: (dtype: DType, isTimesItself: Bool)) throws {
    let (dtype, isTimesItself) = item
    let x = (0...UInt16.max).map(dtype == .f16 ? float16Value : bfloat16Value)
    let a = isTimesItself ? x : x.map { _ in 1 }
    let y = try launch(binaryKernel(primitive, dtype, x.count), [a, x, x.map { _ in 0 }])[2].doubles
    let (least, digits) = dtype == .f16 ? (-14, 10) : (-126, 7)
    for (place, (x, y)) in zip(x, y).enumerated() {
      let exact = primitive.apply(a[place], x, 0)
      let want = dtype.round(exact)
      if y == want || (y.isNaN && want.isNaN) { continue }
      let ulp = exp2(Double(max(exact == 0 ? least : Int(exact.exponent), least) - digits))
      #expect(abs(y - exact) <= 0.53 * ulp, "\(primitive)(\(a[place]), \(x)) in \(dtype): \(y), not \(exact)")
    }
  }

  /// Dense samples of the tails, until nothing is left.
  @Test(arguments: products, [(DType.f32, true), (.f32, false), (.f64, true), (.f64, false)])
  func tails(_ primitive: Primitive, _ item: (dtype: DType, isTimesItself: Bool)) throws {
    let (dtype, isTimesItself) = item
    let far = primitive == .timesSigmoid ? (dtype == .f32 ? 110.0 : 760) : dtype == .f32 ? 15.0 : 39
    let dense: [Double] = (0..<60_000).map { far * (Double($0) / 30_000 - 1) }
    let edges: [Double] = [.infinity, -.infinity, -0.0, 0]
    let x = (dense + numbers(2000) + edges).map(dtype.round)
    let a = isTimesItself ? x : x.map { _ in 1 }
    let y = try launch(binaryKernel(primitive, dtype, x.count), [a, x, x.map { _ in 0 }])[2].doubles
    var worst = (ulps: 0.0, x: 0.0)
    for (place, (x, y)) in zip(x, y).enumerated() {
      let exact = primitive.apply(a[place], x, 0)
      if y == exact {
        #expect(y.sign == exact.sign, "\(primitive)(\(x)) in \(dtype)")
        continue
      }
      // The oracle multiplies by a tail that is subnormal there, and has lost its digits.
      if dtype == .f64, abs(exact) < 0x1p-1000 { continue }
      let ulp = dtype == .f32 ? Double(max(abs(Float(exact)), .leastNormalMagnitude).ulp) : exact.ulp
      let ulps = abs(y - exact) / ulp
      if !(ulps <= worst.ulps) { worst = (ulps, x) }
    }
    // In f64 the oracle itself has an error.
    #expect(worst.ulps <= (dtype == .f32 ? 2.25 : 6), "\(primitive)(\(worst.x)) in \(dtype) is \(worst.ulps) ulp off")
  }

  @Test(arguments: [DType.f16, .bf16, .f32, .f64]) func powersOfTwoHaveWholeLogarithms(_ dtype: DType) throws {
    let powers: [Double] = (-1074...1023).map { exp2(Double($0)) }
    let x = powers.filter { dtype.round($0) == $0 && $0 != 0 }
    let y = try launch(unaryKernel(.log2, dtype, x.count), [x, x.map { _ in 0 }])[1].doubles
    #expect(y == x.map { Foundation.log2($0) }.map(dtype.round))
  }

  /// What a number gives does not depend on what stands beside it, nor on where it stands.
  @Test(arguments: formulas, [DType.f32, .bf16]) func neighboursDoNotMatter(_ primitive: Primitive, _ dtype: DType)
    throws
  {
    let x = numbers(77).map(dtype.round)
    let alone = try x.prefix(9).map { try launch(unaryKernel(primitive, dtype, 1), [[$0], [0]])[1].doubles[0] }
    let plain = try launch(unaryKernel(primitive, dtype, x.count), [x, x.map { _ in 0 }])[1].doubles
    let odd: [Double] = [3e7, .infinity, 1e-40, .nan, -1e30].map(dtype.round)
    let mixed: [Double] = x.indices.flatMap { [x[$0], odd[$0 % odd.count]] }
    let beside = try launch(unaryKernel(primitive, dtype, mixed.count), [mixed, mixed.map { _ in 0 }])[1].doubles
    func same(_ a: Double, _ b: Double) -> Bool { a == b || (a.isNaN && b.isNaN) }
    #expect(x.indices.allSatisfy { same(plain[$0], beside[2 * $0]) })
    #expect(alone.indices.allSatisfy { same(plain[$0], alone[$0]) })
  }

  @Test(
    arguments: [Primitive.sin, .tanh, .erf, .expm1, .log1p, .sqrt, .floor, .ceil, .round, .neg, .abs],
    [
      DType.f16, .bf16, .f32, .f64,
    ])
  func zerosKeepTheirSigns(_ primitive: Primitive, _ dtype: DType) throws {
    let x = (0..<40).map { $0 % 2 == 0 ? -0.0 : 0 }
    let y = try launch(unaryKernel(primitive, dtype, x.count), [x, x.map { _ in 1 }])[1].doubles
    for (x, y) in zip(x, y) {
      let want = primitive.apply(x, 0, 0)
      #expect(y == want && y.sign == want.sign, "\(primitive)(\(x)) in \(dtype): \(y)")
    }
  }

  /// Samples over ranges where the function changes, and the same with signs, as far as it is defined there.
  private func samples(_ primitive: Primitive, _ dtype: DType) -> [Double] {
    let positive = (0..<40_000).map { exp2(Double($0) / 40_000 * 44 - 34) }
    let signed: [Double] = [.log, .log2, .log1p].contains(primitive) ? positive : positive.flatMap { [$0, -$0] }
    let near = (0..<20_000).map { 1 + (Double($0) - 10_000) * 0x1p-20 }
    let far: [Double] = [1e6, 1_048_575.5, 1_048_577, 3e7, 1e15, 1e30]
    return (signed + near + far).map(dtype.round)
  }

  @Test(arguments: [
    (Primitive.exp, DType.f32, 1.5), (.log, .f32, 2), (.sin, .f32, 1), (.cos, .f32, 1), (.exp, .f64, 1.5),
    (.log, .f64, 2), (.sin, .f64, 1), (.cos, .f64, 1), (.log2, .f32, 2), (.log2, .f64, 2.5), (.tanh, .f32, 3),
    (.erf, .f32, 3), (.expm1, .f32, 2), (.log1p, .f32, 3),
  ])
  func withinUlps(_ primitive: Primitive, _ dtype: DType, _ limit: Double) throws {
    let x = samples(primitive, dtype)
    let y = try launch(unaryKernel(primitive, dtype, x.count), [x, x.map { _ in 0 }])[1].doubles
    var worst = (ulps: 0.0, x: 0.0)
    for (x, y) in zip(x, y) {
      let exact = primitive.apply(x, 0, 0)
      guard abs(exact) > 1e-30, abs(exact) < dtype.greatestFinite else {
        // Beyond the range, or near its least: what it rounds to, or a neighbour there.
        expectClose(y, dtype.round(exact), .absolute(1e-35), "\(primitive)(\(x)) in \(dtype): ")
        continue
      }
      let ulps = abs(y - exact) / exact.ulp / (dtype == .f32 ? 0x1p29 : 1)
      if ulps.isNaN || ulps > worst.ulps { worst = (ulps.isNaN ? .infinity : ulps, x) }
    }
    #expect(worst.ulps <= limit, "\(primitive)(\(worst.x)) in \(dtype) is \(worst.ulps) ulp off")
  }

  @Test func powerWithinUlps() throws {
    let bases = (0..<300).map { exp2(Double($0) / 10 - 15) }.map(DType.f32.round)
    let exponents = (0..<300).map { Double($0) / 30 - 5 }.map(DType.f32.round)
    let a = bases.flatMap { base in exponents.map { _ in base } }
    let b = bases.flatMap { _ in exponents }
    let y = try launch(binaryKernel(.pow, .f32, a.count), [a, b, a.map { _ in 0 }])[2].doubles
    for index in a.indices {
      let exact = pow(a[index], b[index])
      #expect(abs(y[index] - exact) <= 0x1p-23 * exact, "pow(\(a[index]), \(b[index])): \(y[index]), not \(exact)")
    }
  }
}

/// What formulas become when they are computed together.
@Suite struct FormulaTests {
  /// `y = a * b + c` and its relatives over so many elements.
  private func combination(
    _ count: Int, _ combine: (inout KernelMaker, _ a: ScalarID, _ b: ScalarID, _ c: ScalarID) -> ScalarID
  ) throws -> (inputs: [[Float]], result: [Float]) {
    var maker = KernelMaker("combination", domain: [count])
    let inputs = (0..<3).map { _ in maker.buffer(.f32, [count]) }
    let y = maker.buffer(.f32, [count], .write)
    let loads = inputs.map { maker.load($0, [0]) }
    let value = combine(&maker, loads[0], loads[1], loads[2])
    maker.store(y, [0], value)
    let data = contents(maker.kernel).map { $0.map(DType.f32.round) }
    let result = try launch(maker.kernel, data)[3].doubles
    return (data.map { $0.map(Float.init) }, result.map(Float.init))
  }

  @Test(.enabled(if: TargetProfile.host.hasFMA, "this CPU has no multiply-add"), arguments: [1, 7, 8, 67, 1000])
  func aProductAndASumRoundOnce(_ count: Int) throws {
    let sum = try combination(count) { $0.apply(.add, [$3, $0.apply(.mul, [$1, $2])]) }
    let less = try combination(count) { $0.apply(.sub, [$0.apply(.mul, [$1, $2]), $3]) }
    let from = try combination(count) { $0.apply(.sub, [$3, $0.apply(.mul, [$1, $2])]) }
    for i in 0..<count {
      let (a, b, c) = (sum.inputs[0][i], sum.inputs[1][i], sum.inputs[2][i])
      #expect(sum.result[i] == c.addingProduct(a, b))
      #expect(less.result[i] == (-c).addingProduct(a, b))
      #expect(from.result[i] == c.addingProduct(-a, b))
    }
  }

  @Test func equalProductsCancel() throws {
    let result = try combination(100) { maker, a, b, _ in
      maker.apply(.sub, [maker.apply(.mul, [a, b]), maker.apply(.mul, [b, a])])
    }
    #expect(result.result.allSatisfy { $0 == 0 })
  }

  @Test func aProductReadTwiceIsTheSameTwice() throws {
    let result = try combination(100) { maker, a, b, c in
      let product = maker.apply(.mul, [a, b])
      return maker.apply(.sub, [maker.apply(.add, [product, c]), product])
    }
    for i in 0..<100 {
      let product = result.inputs[0][i] * result.inputs[1][i]
      #expect(result.result[i] == (product + result.inputs[2][i]) - product)
    }
  }

  /// `gelu`-like, with vectors that all rows share: kept from row to row where there are many.
  @Test(arguments: [(3, 40), (64, 16), (64, 77), (130, 128)], [DType.f16, .bf16, .f32])
  func rowsShareVectors(_ size: (Int, Int), _ dtype: DType) throws {
    var maker = KernelMaker("chain", domain: [size.0, size.1])
    let (x, w, b) = (
      maker.buffer(dtype, [size.0, size.1]), maker.buffer(dtype, [size.1]), maker.buffer(dtype, [size.1])
    )
    let each = maker.buffer(dtype, [size.0])
    let y = maker.buffer(dtype, [size.0, size.1], .write)
    let scale = maker.apply(.mul, [maker.load(w, [1]), maker.constant(0.5)])
    let linear = maker.apply(.add, [maker.apply(.mul, [maker.load(x, [0, 1]), scale]), maker.load(b, [1])])
    let below = maker.apply(.add, [maker.apply(.exp, [maker.apply(.neg, [linear])]), maker.constant(1)])
    let value = maker.apply(.add, [maker.apply(.div, [linear, below]), maker.load(each, [0])])
    maker.store(y, [0, 1], value)
    let tolerance = dtype == .f32 ? 1e-6 : dtype == .f16 ? 0x1p-10 : 0x1p-7
    let schedule = LTMLLVM.schedule(maker.kernel, .host)
    guard case .pointwise(let numbers) = schedule.strategy else { return #expect(Bool(false), "\(schedule)") }
    #expect(numbers.keepsInvariants == (size.0 >= 64))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: tolerance)
  }
}

/// Sums by destination.
@Suite struct ScatterTests {
  /// `y[outer, d, c] = x[outer, d, c] + sum over k of where(index[k] is d, u[outer, k, c], 0)`.
  private func scatterKernel(outer: Int, rows: Int, columns: Int, updates: Int, _ dtype: DType) -> Kernel {
    var maker = KernelMaker("scatter", domain: [outer, rows, columns], inner: [updates])
    let x = maker.buffer(dtype, [outer, rows, columns])
    let index = maker.buffer(.i32, [updates])
    let u = maker.buffer(dtype, [outer, updates, columns])
    let y = maker.buffer(dtype, [outer, rows, columns], .write)
    let low = maker.apply(.maximum, [maker.load(index, [3]), maker.constant(0, .i32)])
    let row = maker.apply(.minimum, [low, maker.constant(Double(rows - 1), .i32)])
    let isHere = maker.apply(.equal, [row, maker.add(.axis(AxisID(1)))])
    let update = maker.load(u, [0, 3, 2])
    let zero = maker.constant(0, dtype.loaded)
    let sum = maker.reduce(.add, over: [3], maker.add(.apply(.select, [isHere, update, zero], dtype.loaded)))
    maker.store(y, [0, 1, 2], maker.apply(.add, [maker.load(x, [0, 1, 2]), sum]))
    return maker.kernel
  }

  @Test(
    arguments: [(1, 5, 9, 40), (2, 40, 3, 7), (1, 2000, 70, 300), (3, 4, 1, 11), (1, 70, 5000, 90)],
    [DType.f32, .f16, .f64, .i32])
  func sumsByDestination(_ size: (Int, Int, Int, Int), _ dtype: DType) throws {
    let kernel = scatterKernel(outer: size.0, rows: size.1, columns: size.2, updates: size.3, dtype)
    guard case .scatter = LTMLLVM.schedule(kernel, .host).strategy else {
      return #expect(Bool(false), "\(LTMLLVM.schedule(kernel, .host))")
    }
    var data = contents(kernel)
    // Some twice and more, some outside.
    data[1] = data[1].indices.map { Double(($0 * 7919 + $0 * $0) % (size.1 + 2) - 1) }
    let rounded = zip(kernel.buffers, data).map { buffer, values in values.map(buffer.dtype.round) }
    let results = try TaskOrder.allCases.map { try launch(kernel, rounded, order: $0)[3] }
    #expect(results[0] == results[1] && results[1] == results[2])
    let expected = summed(size, rounded)
    let tolerance = dtype == .f16 ? 0x1p-9 : dtype == .f32 ? 1e-5 : 1e-12
    expectClose(results[0].doubles, expected, .relative(tolerance))
  }

  /// The plain loop over updates: what the reference interpreter's loop over destinations says, in less time.
  private func summed(_ size: (Int, Int, Int, Int), _ data: [[Double]]) -> [Double] {
    var result = data[0]
    for outer in 0..<size.0 {
      for (update, place) in data[1].enumerated() {
        let row = min(max(Int(place), 0), size.1 - 1)
        for column in 0..<size.2 {
          result[(outer * size.1 + row) * size.2 + column] += data[2][(outer * size.3 + update) * size.2 + column]
        }
      }
    }
    return result
  }
}
