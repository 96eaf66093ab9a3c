import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// Numbers where formulas break: zeros, subnormals, limits, infinities, NaN, and plain ones between.
private func edges(_ dtype: DType) -> [Double] {
  let special: [Double] = [
    0, -0.0, 1, -1, 0.5, -0.5, 1.5, -2.5, 2.5, 0.1, -0.1, 1e-3, -1e-3, 1e-7, 3, -3, 9.5, -9.5, 20, -20, 87, -87, 88.7,
    -88,
    -100, -103.9, 100, 700, -745, 1000, -1000, 16777216, .infinity, -.infinity, .nan, dtype.greatestFinite,
    -dtype.greatestFinite, 0x1p-14, 0x1p-24, 0x1p-126, -0x1p-126, 0x1p-149, 0.927734375, 0.9277, 0.3466, -0.3466,
  ]
  return (special + numbers(203, seed: 9).map { $0 * 4 }).map(dtype.round)
}

/// The relative error allowed in a result of this dtype, and the least magnitude it is relative to.
private func tolerance(_ dtype: DType) -> (relative: Double, floor: Double) {
  switch dtype {
  case .f64: (2e-15, 0x1p-1022)
  case .f32: (3.6e-7, 0x1p-126)
  case .f16: (0x1p-10 * 0.51, 0x1p-14)
  case .bf16: (0x1p-7 * 0.51, 0x1p-126)
  case .float, .i32, .i64, .u8, .bool: (0, 1)
  }
}

private func agree(_ got: Double, _ want: Double, _ dtype: DType) -> Bool {
  let (relative, floor) = tolerance(dtype)
  let limit = dtype.greatestFinite
  if difference(got, want) == nil { return true }
  // At the edge of overflow either side of it is near enough.
  if got.isInfinite || want.isInfinite {
    return min(abs(got), abs(want)) >= limit * (1 - 4 * relative) && got * want > 0
  }
  return abs(got - want) <= relative * max(abs(want), floor)
}

private let unary: [Primitive] = [
  .neg, .abs, .sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .isFinite, .expm1, .log1p,
]

private let binary: [Primitive] = [
  .add, .sub, .mul, .div, .pow, .minimum, .maximum, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual,
]

@Suite struct PrimitiveTests {
  @Test(arguments: unary, [DType.f64, .f32, .f16, .bf16])
  func unaryAtEdges(_ primitive: Primitive, _ dtype: DType) throws {
    let x = edges(dtype)
    let kernel = unaryKernel(primitive, dtype, x.count)
    let result = kernel.buffers[1].dtype
    let y = try launch(kernel, [x, x.map { _ in 0 }])[1].doubles
    for (x, y) in zip(x, y) {
      let want = result.round(primitive.apply(x, 0, 0))
      #expect(agree(y, want, result), "\(primitive)(\(x)) in \(dtype): \(y), not \(want)")
    }
  }

  @Test(arguments: binary, [DType.f64, .f32, .f16, .bf16])
  func binaryAtEdges(_ primitive: Primitive, _ dtype: DType) throws {
    let x = Array(edges(dtype).prefix(60))
    let a = x.flatMap { a in x.map { _ in a } }
    let b = x.flatMap { _ in x }
    let kernel = binaryKernel(primitive, dtype, a.count)
    let result = kernel.buffers[2].dtype
    let y = try launch(kernel, [a, b, a.map { _ in 0 }])[2].doubles
    for index in a.indices {
      let want = result.round(primitive.apply(a[index], b[index], 0))
      let close = agree(y[index], want, result)
      #expect(close, "\(primitive)(\(a[index]), \(b[index])) in \(dtype): \(y[index]), not \(want)")
      if !close { return }
    }
  }

  @Test(
    arguments: [Primitive.add, .sub, .mul, .minimum, .maximum, .equal, .less, .greaterEqual, .div], [DType.i32, .i64])
  func integers(_ primitive: Primitive, _ dtype: DType) throws {
    let x: [Double] = [0, 1, -1, 2, 7, -8, 100, 12345, -12345]
    let pairs = x.flatMap { a in x.map { (a, $0) } }.filter { primitive != .div || $0.1 != 0 }
    let kernel = binaryKernel(primitive, dtype, pairs.count)
    let y = try launch(kernel, [pairs.map(\.0), pairs.map(\.1), pairs.map { _ in 0 }])[2].doubles
    for ((a, b), y) in zip(pairs, y) {
      #expect(y == primitive.apply(a, b, 0, integral: true), "\(primitive)(\(a), \(b))")
    }
  }

  @Test func integerDivisionNeverTraps() throws {
    let least = -2_147_483_648.0
    let kernel = binaryKernel(.div, .i32, 3)
    let y = try launch(kernel, [[7, least, least], [0, -1, 0], [9, 9, 9]])[2].doubles
    #expect(y == [0, least, 0])
  }

  /// Every f16 there is.
  @Test(arguments: unary)
  func allHalves(_ primitive: Primitive) throws {
    let x = (0...UInt16.max).map(float16Value)
    let kernel = unaryKernel(primitive, .f16, x.count)
    let result = kernel.buffers[1].dtype
    let y = try launch(kernel, [x, x.map { _ in 0 }])[1].doubles
    // The f32 result rounds a second time, so a tie may fall to the other side, rarely; never further.
    var inexact = 0
    for (x, y) in zip(x, y) {
      let want = result.round(primitive.apply(x, 0, 0))
      if difference(y, want) == nil { continue }
      inexact += 1
      let isNeighbour = y.magnitude < 65504 && abs(y - want) <= 0x1p-10 * max(abs(want), 0x1p-14)
      #expect(isNeighbour, "\(primitive)(\(x)): \(y), not \(want)")
    }
    #expect(inexact < 40, "\(primitive): \(inexact) of 65,536 halves are not rounded to nearest")
  }

  @Test(arguments: [DType.f16, .bf16])
  func narrowingIsToNearestEven(_ dtype: DType) throws {
    // Around representable values: themselves, midpoints, and doubles beside the midpoints.
    let value = dtype == .f16 ? float16Value : bfloat16Value
    let values = (0..<4096).map { value(UInt16($0 * 16 + 7)) }.filter(\.isFinite)
    let step = dtype == .f16 ? 0x1p-11 : 0x1p-8
    let factors: [Double] = [1, 1 + step, 1 + step * 0.999_999_99, 1 - step / 2, 1 + step * 1.5]
    var x: [Double] = [.infinity, -.infinity, .nan, 65519.999, 65520, 1e300, -1e300, 1e-300, 3.4e38, 3.3961e38]
    for factor in factors { x += values.map { $0 * factor } }
    for source in [DType.f64, .f32] {
      let kernel = Kernel.conversion(of: x.count, from: source, to: dtype)
      let inputs = x.map(source.round)
      let y = try launch(kernel, [inputs, x.map { _ in 0 }])[1].doubles
      for (x, y) in zip(inputs, y) {
        let want = dtype.round(x)
        expectClose(y, want, .exact, "\(source) \(x) to \(dtype): ")
      }
    }
  }

  /// Between the two nearest halves, beside the middle by less than an f32 tells: one rounding.
  @Test(arguments: [DType.i32, .i64], [DType.f16, .bf16]) func integersBecomeHalvesInOneRounding(
    _ source: DType, _ target: DType
  )
    throws
  {
    let middles: [Double] =
      target == .f16
      ? [2049, 4098, 65519, 65520, 65521] : [16_842_752, 33_685_504, 1_077_936_128 - 0x1p22, 257, 0x1p30 + 0x1p22]
    let long: [Double] = source == .i64 && target == .bf16 ? [0x1p40 + 0x1p32, 0x1p52 + 0x1p44, 0x1p62 + 0x1p54] : []
    var x: [Double] = [0, 1, -1, 2_147_483_647]
    for middle in middles + long {
      for near in [middle - 1, middle, middle + 1] { x += [near, -near] }
    }
    var maker = KernelMaker("narrow", domain: [x.count])
    let a = maker.buffer(source, [x.count])
    let b = maker.buffer(target, [x.count], .write)
    maker.store(b, [0], maker.add(.round(maker.load(a, [0]), target)))
    #expect(maker.kernel.verify().isEmpty)
    let y = try launch(maker.kernel, [x, x.map { _ in 0 }])[1].doubles
    for (x, y) in zip(x, y) { #expect(y == target.round(x), "\(source) \(x) to \(target): \(y)") }
  }

  @Test func conversions() throws {
    let x: [Double] = [0, 1.9, -1.9, 3e9, -3e9, .nan, .infinity, 255.5, -0.5]
    let pairs: [(DType, DType)] = [
      (.f32, .i32), (.f64, .i32), (.f32, .i64), (.f32, .u8), (.f32, .bool), (.i32, .f32), (.i64, .f64), (.bool, .f32),
      (.i64, .i32), (.u8, .f32),
    ]
    for (source, target) in pairs {
      var maker = KernelMaker("convert", domain: [x.count])
      let a = maker.buffer(source, [x.count])
      let b = maker.buffer(target, [x.count], .write)
      maker.store(b, [0], maker.add(.convert(maker.load(a, [0]), target.loaded)))
      let inputs = x.map(source.round)
      let y = try launch(maker.kernel, [inputs, x.map { _ in 0 }])[1].doubles
      for (x, y) in zip(inputs, y) {
        let want = target == .bool ? (x != 0 ? 1 : 0) : target.round(x)
        // The greatest i64 is no double.
        expectClose(y, want, .relative(1e-15, least: 0), "\(source) \(x) to \(target): ")
      }
    }
  }
}
