internal import CLLVM
import LTMIR

// Products with the sigmoid, the normal distribution's cumulative function and its bell: what gelu, silu and their gradients
// are made of. Nothing cancels in their tails, and what the tail makes of a large factor is rounded once, also where the
// tail itself is subnormal. At an infinite factor a tail of 0 gives 0.
extension Lanes {
  /// Without what a tail of 0 would not make 0: no factor of ours is that large.
  private var finite: Lanes { clamped(-limit, limit) }
  private var limit: Double { isDouble ? 0x1p900 : 0x1p99 }

  // MARK: The sigmoid

  /// `self / (1 + exp(-u))`. `power`: 2^-u in the exponent's own units, where that is at hand.
  func timesSigmoid(_ u: Lanes) -> Lanes {
    quotient((-u).exp(flushing: true), isTail: u.isLess(isDouble ? -700 : -80)) { finite in
      if isDouble { return u.doubleExp(times: finite) }
      if ir.accuracy != .single { return finite * u.exp() }
      return u.widened(to: ir.double).doubleExp(times: finite.widened(to: ir.double), degree: 7).narrowed(to: ir.float)
    }
  }

  /// The same for results that are halves, of `v = -u / ln 2`. As bf16 they end below 2^-128, which the sum would pass: there
  /// it and what it divides are 2^16 times smaller, which no bf16 loses a digit by.
  func timesShortSigmoid(_ v: Lanes) -> Lanes {
    let bounded = ir.extremum(constant(-Double(Float.greatestFiniteMagnitude)), self, LLVMRealOGT)
    let scale = ir.accuracy == .f16 ? 1 : 0x1p-16
    let sum = v.shortPower(isAddend: true, scale: scale) + scale
    return (scale == 1 ? bounded : bounded * scale) / sum
  }

  /// `self / (1 + e)`, and where e may have overflown `tail`. All that is f16 has become 0 before.
  private func quotient(_ e: Lanes, isTail: Lanes, tail: (_ finite: Lanes) -> Lanes) -> Lanes {
    if ir.accuracy == .f16, !isDouble { return ir.extremum(constant(-limit), self, LLVMRealOGT) / (e + 1) }
    let quotient = self / (e + 1)
    return ir.choose(
      e.anyBeyond(isDouble ? 0x1p1009 : 0x1p115), isRare: true, then: { tail(finite).when(isTail, else: quotient) },
      otherwise: { quotient })
  }

  /// Whether any lane of a power is more than `limit`, or NaN. Numbers that are not negative are ordered as their bits are.
  private func anyBeyond(_ limit: Double) -> LLVMValueRef {
    let bits = cast(to: isDouble ? ir.i64 : ir.i32)
    let most = bits.folded(to: ir.profile.vectorBytes / (isDouble ? 8 : 4)) { $0.greaterBits($1) }
    let bound = isDouble ? Int(limit.bitPattern) : Int(Float(limit).bitPattern)
    return ir.any(most.compareBits(LLVMIntSGT, most.bits(bound)))
  }

  // MARK: The normal distribution

  /// `self * exp(-u^2 / 2)`.
  func timesGaussian(_ u: Lanes) -> Lanes {
    if isDouble { return u.doubleBell(times: finite) }
    if ir.accuracy != .single { return finite * u.shortBell() }
    let (e, power) = u.magnitude.clamped(0, Self.farthest).bell()
    return e.times(finite, plus: finite).timesPower(power)
  }

  /// `self` times the normal distribution's cumulative function at u: below 0 the bell times `ratio`, above 0 the rest of it;
  /// near 0 a series.
  func timesNormalCDF(_ u: Lanes) -> Lanes {
    if ir.accuracy != .single, !isDouble {
      let tail = finite * u.shortRatio() * u.shortBell()
      // At -0 as below: the difference would be +0.
      return (self - tail).when(u.isGreater(0), else: tail)
    }
    let near = self * u.times((u * u).polynomial(NormalTables.series(isDouble: isDouble)), plus: constant(0.5))
    let tail = isDouble ? finite.doubleTail(u.magnitude) : finite.tail(u.magnitude.clamped(0, Self.farthest))
    let far = tail.when(u.isLess(0), else: self - tail)
    return near.when(u.magnitude.isLess(0.5), else: far)
  }

  // MARK: f32

  /// Where nothing is left of any factor.
  private static let farthest = 18.7

  /// `exp(-self^2 / 2) = 2^n (1 + e)`: e, and n as `n + shift + 254`. What rounding the square lost goes to the exponent.
  private func bell() -> (e: Lanes, power: Lanes) {
    let square = self * self
    let lost = times(self, plus: -square)
    let x = square * -0.5
    let power = x.times(1.442_695_040_888_963_4, plus: constant(Self.shift + 254))
    let n = power - (Self.shift + 254)
    let high = n.times(-0.693_145_751_953_125, plus: x)
    let r = lost.times(-0.5, plus: n.times(-1.428_606_765_330_187e-6, plus: high))
    return ((r * r).times(r.expTail(), plus: r), power)
  }

  /// `self * Phi(-t)`, t from 0.5 on. What the quotient and the products round off is added to the last of them.
  private func tail(_ t: Lanes) -> Lanes {
    let sum = t + 4
    let lost = t - (sum - 4)
    let inverse = constant(1) / sum
    let ratio = inverse.times(8, plus: constant(-1)).polynomial(NormalTables.single)
    // The quotient's error, as that of the ratio: times the slope of its logarithm.
    let error = (-lost).times(inverse, plus: (-inverse).times(sum, plus: constant(1)))
    let slope = inverse.times(9.9, plus: constant(0.64))
    let factor = self * inverse
    let high = factor * ratio
    let rest = times(inverse, plus: -factor).times(ratio, plus: factor.times(ratio, plus: -high))
    let low = high.times(error * slope, plus: rest)
    let (e, power) = t.bell()
    return (high + high.times(e, plus: low.times(e, plus: low))).timesPower(power)
  }

  // MARK: f64

  private func doubleBell(times factor: Lanes) -> Lanes {
    let t = magnitude.clamped(0, 60)
    let square = t * t
    return (square * -0.5).doubleExp(times: factor, plus: t.times(t, plus: -square) * -0.5)
  }

  private func doubleTail(_ distance: Lanes) -> Lanes {
    let t = distance.clamped(0, 60)
    let inverse = constant(1) / (t + 5)
    let ratio = ((constant(5) - t) * inverse).polynomial(NormalTables.double)
    return t.doubleBell(times: self * (ratio * inverse))
  }

  // MARK: Halves

  private func shortBell() -> Lanes {
    let square = self * self
    return ir.hasShortExp ? (square * (-0.5 * 1.442_695_040_888_963_4)).shortPower() : (square * -0.5).exp()
  }

  private func shortRatio() -> Lanes {
    let isF16 = ir.accuracy == .f16
    let offset = isF16 ? 4.0 : 3.0
    let t = constant(offset) / (magnitude + offset)
    return t * t.polynomial(isF16 ? NormalTables.f16 : NormalTables.bf16)
  }
}
