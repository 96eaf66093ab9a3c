internal import CLLVM

// Transcendental functions of f32 as polynomials over whole vectors, within about 2 ulp, right at the edges: infinities,
// NaN, overflow, subnormals. In f64, and for sin, cos and pow, the C library is called lane by lane.
extension Lanes {
  var isDouble: Bool { ir.element(of: type) == ir.double }

  /// The C library's function of that name (f32: with an `f` at its end), lane by lane.
  func library(_ name: String, _ other: Lanes? = nil) -> Lanes {
    let symbol = isDouble ? name : name + "f"
    if let formula = ir.mathLibrary { return formula(name, self, other) }
    if count == 1 { return Lanes(ir.call(library: symbol, [ref] + (other.map { [$0.ref] } ?? [])), ir) }
    var whole: LLVMValueRef = LLVMGetPoison(type)
    for lane in 0..<count {
      let operands = [self, other].compactMap { $0 }.map { ir.extract($0.ref, lane: lane) }
      whole = ir.insert(ir.call(library: symbol, operands), into: whole, lane: lane)
    }
    return Lanes(whole, ir)
  }

  /// `2 to the power n` of whole floats in `-126...127`, given as `n + 1.5 * 2^23`.
  private static func powerOfTwo(shifted n: Lanes) -> Lanes {
    let bits = n.cast(to: n.ir.i32)
    // The bits of 1.5 * 2^23 end in zeros where the exponent will stand.
    return bits.plusBits(bits.bits(127)).shiftedLeft(23).cast(to: n.ir.float)
  }

  static let shift = 12_582_912.0  // 1.5 * 2^23: adding it rounds to a whole number

  /// `x = n ln 2 + r`; n also as `n + shift`.
  private func reducedByLn2() -> (shifted: Lanes, n: Lanes, r: Lanes) {
    let shifted = times(1.442_695_040_888_963_4, plus: constant(Self.shift))
    let n = shifted - Self.shift
    let high = n.times(-0.693_145_751_953_125, plus: self)
    return (shifted, n, n.times(-1.428_606_765_330_187e-6, plus: high))
  }

  /// `(exp(r) - 1 - r) / r^2` for `|r| <= ln 2 / 2`.
  func expTail() -> Lanes {
    polynomial([
      1.987_569_150_0e-4, 1.398_199_950_7e-3, 8.333_451_907_3e-3, 4.166_579_589_4e-2, 1.666_666_545_9e-1,
      5.000_000_120_1e-1,
    ])
  }

  /// `flushing`: whether results below 2^-126 may be 0, which saves a factor.
  func exp(flushing: Bool = false) -> Lanes {
    if isDouble { return ir.mathLibrary == nil ? doubleExp() : library("exp") }
    if ir.hasShortExp { return (self * 1.442_695_040_888_963_4).shortPower() }
    let flushes = flushing || ir.accuracy == .f16
    let x = clamped(flushes ? -87.3 : -104, 89)
    // The exponent's bias is part of what rounds to a whole number.
    let shift = Self.shift + (flushes ? 126 : 254)
    let shifted = x.times(1.442_695_040_888_963_4, plus: constant(shift))
    let power = x.expFraction(shifted - shift, factor: flushes ? 2 : 1)
    if flushes { return power * shifted.cast(to: ir.i32).shiftedLeft(23).cast(to: ir.float) }
    return power.timesPower(shifted)
  }

  /// Times 2^n of a whole n in `-252...254`, given as `n + shift + 254`; rounded once where that is subnormal.
  func timesPower(_ shifted: Lanes) -> Lanes {
    if ir.profile.scalesByPowers { return scaled(by: shifted - (Self.shift + 254)) }
    let bits = shifted.cast(to: ir.i32)
    // In two steps, since 2^n itself may be no normal number.
    let half = bits.shiftedRight(1)
    let rest = bits.minusBits(half)
    return self * half.shiftedLeft(23).cast(to: ir.float) * rest.shiftedLeft(23).cast(to: ir.float)
  }

  /// 2 to the power of this, for results that are halves: of its fraction a polynomial, exact at 0; of the rest an instruction,
  /// which is right at the edges too. Within 2^-23 for f16 and 2^-18 for bf16; as an addend within 2^-17 and 2^-13, which is
  /// 0.01 and 0.02 ulp of the sum. `scale`: a power of 2 that it is multiplied by before it can overflow.
  func shortPower(isAddend: Bool = false, scale: Double = 1) -> Lanes {
    let coefficients =
      switch (ir.accuracy == .f16, isAddend) {
      case (true, false): [1.867_130_166e-3, 9.017_029_777e-3, 5.579_991_266e-2, 2.401_644_439e-1, 6.931_512_952e-1, 1]
      case (true, true): [1.358_124_427e-2, 5.195_080_861e-2, 2.414_452_136e-1, 6.930_185_556e-1, 1]
      case (false, false): [1.342_668_384e-2, 5.224_247_277e-2, 2.412_801_981e-1, 6.930_448_413e-1, 1]
      case (false, true): [7.706_704_736e-2, 2.276_449_949e-1, 6.951_167_583e-1, 1]
      }
    return fraction().polynomial(coefficients.map { $0 * scale }).scaled(by: self)
  }

  /// `factor * exp(x) / 2^n`, where n is the whole number nearest to `x / ln 2`.
  private func expFraction(_ n: Lanes, factor: Double) -> Lanes {
    switch ir.accuracy {
    case .f16:
      // A power of 2, within 2^-23.
      return times(1.442_695_040_888_963_4, plus: -n).polynomial(
        [1.326_472_38e-3, 9.671_512_99e-3, 5.550_733_58e-2, 2.402_224_24e-1, 6.931_470_04e-1, 1].map { $0 * factor })
    case .bf16:
      // The same, within 2^-18.
      return times(1.442_695_040_888_963_4, plus: -n).polynomial(
        [9.582_851_08e-3, 5.590_642_99e-2, 2.402_409_91e-1, 6.931_241_75e-1, 1].map { $0 * factor })
    case .single:
      let high = n.times(-0.693_145_751_953_125, plus: self)
      return n.times(-1.428_606_765_330_187e-6, plus: high).polynomial(
        [1.381_446_49e-3, 8.368_780_84e-3, 4.166_839_27e-2, 1.666_651_96e-1, 4.999_999_40e-1, 1, 1].map { $0 * factor })
    }
  }

  func expm1() -> Lanes {
    if isDouble { return library("expm1") }
    let (shifted, n, r) = clamped(-40, 89).reducedByLn2()
    let small = (r * r).times(r.expTail(), plus: r)
    // Half of 2^n, so that n = 128 stays finite until the end.
    let scale = Self.powerOfTwo(shifted: shifted - 1)
    let large = scale.times(small, plus: scale - 0.5) * 2
    // -0 stays what it is.
    return small.when(n.isEqual(0), else: large).withSign(of: self)
  }

  /// `self = 2^n (1 + f)`, f in sqrt(1/2) - 1 ..< sqrt(2) - 1; and what `log(1 + f)` is beside f.
  private func logParts() -> (n: Lanes, f: Lanes, square: Lanes, cubic: Lanes) {
    let isSubnormal = isLess(0x1p-126)
    let scaled = (self * 0x1p25).when(isSubnormal, else: self)
    let bits = scaled.cast(to: ir.i32)
    // The exponent that leaves a mantissa in sqrt(1/2) ..< sqrt(2).
    let exponent = bits.minusBits(bits.bits(0x3F35_04F3)).shiftedRightSigned(23)
    let f = bits.minusBits(exponent.shiftedLeft(23)).cast(to: ir.float) - 1
    let n = exponent.toFloat(ir.float) - constant(25).when(isSubnormal, else: constant(0))
    let square = f * f
    let tail = f.polynomial([
      7.037_683_629_2e-2, -1.151_461_031_0e-1, 1.167_699_874_0e-1, -1.242_014_084_6e-1, 1.424_932_278_7e-1,
      -1.666_805_766_5e-1, 2.000_071_476_5e-1, -2.499_999_399_3e-1, 3.333_333_117_4e-1,
    ])
    return (n, f, square, f * square * tail)
  }

  /// A logarithm of positive numbers at the edges too.
  func logarithm(ofPositive result: Lanes) -> Lanes {
    let finite = self.when(isEqual(.infinity).or(isNaN), else: result)
    let positive = constant(-.infinity).when(isEqual(0), else: finite)
    return constant(.nan).when(isLess(0), else: positive)
  }

  func log() -> Lanes {
    if isDouble { return ir.mathLibrary == nil ? doubleLog() : library("log") }
    let (n, f, square, cubic) = logParts()
    let corrected = n.times(-2.121_944_4e-4, plus: cubic)
    return logarithm(ofPositive: n.times(0.693_359_375, plus: square.times(-0.5, plus: corrected) + f))
  }

  /// The logarithm to base 2, exact where that is a whole number.
  func log2() -> Lanes {
    if isDouble { return doubleLog2() }
    let (n, f, square, cubic) = logParts()
    let rest = square.times(-0.5, plus: cubic) * 1.442_695_040_888_963_4
    // log2(e) without its 1: f itself is exact.
    return logarithm(ofPositive: f.times(0.442_695_040_888_963_4, plus: rest) + f + n)
  }

  func log1p() -> Lanes {
    if isDouble { return library("log1p") }
    let sum = self + 1
    // What the addition lost, to first order.
    let lost = (self - (sum - 1)) / sum
    let isEdge = sum.isEqual(0).or(isEqual(.infinity))
    // -0 stays what it is.
    return sum.log().when(isEdge, else: sum.log() + lost).withSign(of: self)
  }

  func tanh() -> Lanes {
    if isDouble { return library("tanh") }
    let e = (magnitude * 2).clamped(0, 20).expm1()
    return (e / (e + 2)).withSign(of: self)
  }

  func erf() -> Lanes {
    if isDouble { return library("erf") }
    let t = magnitude.clamped(0, 10)
    let square = t * t
    // 1 - exp(polynomial) away from 0, a polynomial near it.
    let high = t.constant(-1.728_534_70e-5).times(t, plus: 3.831_971_26e-4)
    let low = t.constant(-3.883_964_38e-3).times(t, plus: 2.425_462_19e-2)
    var exponent = high.times(square, plus: low)
    for c in [-1.067_778_77e-1, -6.348_466_87e-1, -1.287_175_12e-1] { exponent = exponent.times(t, plus: c) }
    exponent = exponent.times(t, plus: -t)
    let far = (constant(1) - exponent.exp()).withSign(of: self)
    let near = square.polynomial([
      -5.967_617_03e-4, 4.991_194_23e-3, -2.676_813_49e-2, 1.128_199_25e-1, -3.761_253_36e-1, 1.283_791_66e-1,
    ]).times(self, plus: self)
    return far.when(t.isGreater(0.927_734_375), else: near)
  }
}
