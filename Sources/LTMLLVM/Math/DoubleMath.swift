internal import CLLVM

// Formulas that compute in f64: its own exp and log, and sin, cos and pow of f32, which need its precision on the way.
extension Lanes {
  private static let wholeShift = 6_755_399_441_055_744.0  // 1.5 * 2^52: adding it rounds to a whole number

  /// `factor * exp(self + low)` of f64, within 1 ulp or so; rounded once where that is subnormal. A polynomial of degree 7 is
  /// enough for f32.
  func doubleExp(times factor: Lanes? = nil, plus low: Lanes? = nil, degree: Int = 13) -> Lanes {
    // So low that what is left of a factor is 0 too.
    let x = clamped(-1400, 710)
    // The bias twice, for a scale in two steps: 2^n itself may be no normal number.
    let shift = Self.wholeShift + 2046
    let shifted = x.times(1.442_695_040_888_963_4, plus: constant(shift))
    let n = shifted - shift
    let high = n.times(-6.931_471_803_691_238e-1, plus: x)
    let reduced = n.times(-1.908_214_929_270_587_7e-10, plus: high)
    let r = low.map { reduced + $0 } ?? reduced
    let series = r.polynomial((0...degree).reversed().map { 1 / (1...max($0, 1)).reduce(1.0) { $0 * Double($1) } })
    let power = factor.map { $0 * series } ?? series
    let bits = shifted.cast(to: ir.i64)
    let half = bits.shiftedRight(1)
    let rest = bits.minusBits(half)
    return power * half.shiftedLeft(52).cast(to: ir.double) * rest.shiftedLeft(52).cast(to: ir.double)
  }

  /// `self = 2^n m`, m in sqrt(1/2) ..< sqrt(2): n, and `log m = 2f + rest`.
  private func doubleLogParts() -> (n: Lanes, f: Lanes, rest: Lanes) {
    let isSubnormal = isLess(0x1p-1022)
    let bits = (self * 0x1p54).when(isSubnormal, else: self).cast(to: ir.i64)
    // The exponent, biased, that leaves a mantissa in sqrt(1/2) ..< sqrt(2).
    let biased = bits.plusBits(bits.bits(0x3FF0_0000_0000_0000 - 0x3FE6_A09E_667F_3BCD)).shiftedRight(52)
    let exponent = biased.minusBits(bits.bits(1023))
    let mantissa = bits.minusBits(exponent.shiftedLeft(52)).cast(to: ir.double)
    // A whole number as a double without a conversion, which few CPUs have for 64 bits.
    let whole = biased.or(bits.bits(0x4330_0000_0000_0000)).cast(to: ir.double) - (0x1p52 + 1023)
    let n = whole - constant(54).when(isSubnormal, else: constant(0))
    // log m = 2 atanh((m - 1) / (m + 1))
    let f = (mantissa - 1) / (mantissa + 1)
    let square = f * f
    let tail = square.polynomial((1...10).reversed().map { 2 / Double(2 * $0 + 1) })
    return (n, f, f * square * tail)
  }

  /// `log` of f64.
  func doubleLog() -> Lanes {
    let (n, f, rest) = doubleLogParts()
    let low = n.times(1.908_214_929_270_587_7e-10, plus: rest)
    return logarithm(ofPositive: n.times(6.931_471_803_691_238e-1, plus: f.times(2, plus: low)))
  }

  /// The logarithm to base 2 of f64, exact where that is a whole number.
  func doubleLog2() -> Lanes {
    let (n, f, rest) = doubleLogParts()
    return logarithm(ofPositive: f.times(2, plus: rest).times(1.442_695_040_888_963_4, plus: n))
  }

  /// `sin(x + quarter * pi/2)` of f32.
  func wave(quarter: Int) -> Lanes {
    let x = widened(to: ir.double)
    let shifted = x.times(0.636_619_772_367_581_4, plus: x.constant(Self.wholeShift))
    let n = shifted - Self.wholeShift
    let near = n.times(-1.570_796_326_734_125_6, plus: x)
    let r = n.times(-6.077_100_506_506_192e-11, plus: near)
    let square = r * r
    let sineTail = square.polynomial([
      2.718_046_568_070_224_5e-6, -1.983_930_442_731_297e-4, 8.333_329_280_568_973e-3, -0.166_666_666_405_886_93,
    ])
    let sine = (square * r).times(sineTail, plus: r)
    let cosine = square.polynomial([
      2.438_272_277_864_410_5e-5, -1.388_667_267_701_541_2e-3, 4.166_662_007_331_27e-2, -0.499_999_996_919_647, 1,
    ])
    let place = shifted.cast(to: ir.i64)
    let turn = place.plusBits(place.bits(quarter))
    let isOdd = turn.and(turn.bits(1)).compareBits(LLVMIntNE, turn.bits(0))
    let sign = turn.and(turn.bits(2)).shiftedLeft(62)
    let value = cosine.when(isOdd, else: sine).cast(to: ir.i64)
    let wave = Lanes(LLVMBuildXor(ir.ref, value.ref, sign.ref, ""), ir).cast(to: ir.double).narrowed(to: ir.float)
    // -0 stays what it is.
    return quarter == 0 ? self.when(isEqual(0), else: wave) : wave
  }

  /// ``wave(quarter:)`` in the lanes that are in its range, in the others the C library: what a number gives does not depend
  /// on its neighbours.
  func wave(quarter: Int, library name: String) -> Lanes {
    if ir.mathLibrary != nil || isDouble { return library(name) }
    // Beyond, the quarter turns themselves need more digits; infinities and NaN go the same way.
    let isFar = Lanes(LLVMBuildNot(ir.ref, magnitude.isLess(0x1p20).ref, ""), ir)
    return ir.choose(
      ir.any(isFar), isRare: true, then: { library(name).when(isFar, else: wave(quarter: quarter)) },
      otherwise: { wave(quarter: quarter) })
  }

  /// `pow` of f32.
  func power(_ exponent: Lanes) -> Lanes {
    if ir.mathLibrary != nil || isDouble { return library("pow", exponent) }
    let (x, y) = (widened(to: ir.double), exponent.widened(to: ir.double))
    let product = y * x.magnitude.doubleLog()
    // 1 to any power, an infinite one too.
    let magnitude = constant(1).widened(to: ir.double).when(
      x.magnitude.isEqual(1).and(y.isNotNaN), else: product.doubleExp())
    let half = y * 0.5
    let isWhole = y.apply("llvm.floor").compare(LLVMRealOEQ, y)
    let isHalfWhole = half.apply("llvm.floor").compare(LLVMRealOEQ, half)
    let isOdd = isWhole.and(Lanes(LLVMBuildNot(ir.ref, isHalfWhole.ref, ""), ir))
    let signed = magnitude.withSign(of: x).when(isOdd, else: magnitude)
    let isUndefined = x.isLess(0).and(x.isGreater(-.infinity)).and(y.isFractional(isWhole))
    let defined = x.constant(.nan).when(isUndefined, else: signed)
    let one = y.isEqual(0).or(x.isEqual(1))
    return x.constant(1).when(one, else: defined).narrowed(to: ir.float)
  }

  private var isNotNaN: Lanes { compare(LLVMRealORD, self) }

  private func isFractional(_ isWhole: Lanes) -> Lanes { Lanes(LLVMBuildNot(ir.ref, isWhole.ref, ""), ir) }
}
