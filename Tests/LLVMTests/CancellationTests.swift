import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// Formulas of several steps over every number of a half: what a step is off by may not grow where terms cancel.
@Suite struct CancellationTests {
  /// `1 / (1 + exp(-x))`
  private static func logistic(_ maker: inout KernelMaker, _ x: ScalarID, over numerator: ScalarID) -> ScalarID {
    let shifted = maker.apply(.add, [maker.apply(.exp, [maker.apply(.neg, [x])]), maker.constant(1)])
    return maker.apply(.div, [numerator, shifted])
  }

  private static func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// A formula, what it is in f64, and how far it may be off beyond the half ulp of its rounding, of the largest term.
  private func expect(
    _ dtype: DType, ulps: Double, slack: Double = 0, _ formula: (inout KernelMaker, ScalarID) -> ScalarID,
    _ exact: (Double) -> Double, largest: (Double) -> Double = { _ in 1 }
  ) throws {
    let x = (0...UInt16.max).map(dtype == .f16 ? float16Value : bfloat16Value)
    var maker = KernelMaker("formula", domain: [x.count])
    let (a, y) = (maker.buffer(dtype, [x.count]), maker.buffer(dtype, [x.count], .write))
    maker.store(y, [0], formula(&maker, maker.load(a, [0])))
    let results = try launch(maker.kernel, [x, x.map { _ in 0 }])[1].doubles
    let (least, digits) = dtype == .f16 ? (-14, 10) : (-126, 7)
    for (x, got) in zip(x, results) {
      let want = exact(x)
      if difference(got, dtype.round(want)) == nil { continue }
      let ulp = exp2(Double(max(want == 0 ? least : Int(want.exponent), least) - digits))
      #expect(abs(got - want) <= ulps * ulp + slack * largest(x), "f(\(x)) in \(dtype): \(got), not \(want)")
    }
  }

  @Test(arguments: [DType.f16, .bf16])
  func logistics(_ dtype: DType) throws {
    try expect(
      dtype, ulps: 0.52, slack: 0x1p-126, { maker, x in Self.logistic(&maker, x, over: maker.constant(1)) },
      Self.logistic)
    try expect(
      dtype, ulps: 0.52, slack: 0x1p-119, { maker, x in Self.logistic(&maker, x, over: x) }, { $0 * Self.logistic($0) })
  }

  @Test(arguments: [DType.f16, .bf16])
  func differencesKeepTheirDigits(_ dtype: DType) throws {
    let one = { (maker: inout KernelMaker) in maker.constant(1) }
    let slack = dtype == .f16 ? 0x1p-21 : 0x1p-17
    try expect(
      dtype, ulps: 0.52, slack: slack, { maker, x in maker.apply(.sub, [maker.apply(.exp, [x]), one(&maker)]) },
      { expm1($0) }, largest: { max(1, exp($0)) })
    for isGradient in [false, true] {
      try expect(
        dtype, ulps: 0.52, slack: 0x1p-22,
        { maker, x in
          let s = Self.logistic(&maker, x, over: one(&maker))
          let rest = maker.apply(.sub, [one(&maker), s])
          return isGradient ? maker.apply(.mul, [s, rest]) : rest
        }, { Self.logistic(-$0) * (isGradient ? Self.logistic($0) : 1) })
    }
  }

  /// A factor that goes into the exponent's constants must stay a number there.
  @Test(arguments: [DType.f16, .bf16], [3e38, -3e38, 1e-38, 0.5])
  func factorsOfAnExponent(_ dtype: DType, _ factor: Double) throws {
    let x = [0, 1, -1, 0.5, -0.25, 3]
    var maker = KernelMaker("masked", domain: [x.count])
    let (a, y) = (maker.buffer(dtype, [x.count]), maker.buffer(dtype, [x.count], .write))
    let power = maker.apply(.mul, [maker.load(a, [0]), maker.constant(factor)])
    maker.store(y, [0], maker.apply(.exp, [power]))
    try expectInterpreted(maker.kernel, [x, x.map { _ in 0 }], tolerance: dtype == .f16 ? 1e-3 : 8e-3)
  }
}
