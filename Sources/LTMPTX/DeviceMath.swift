internal import CLLVM
import LTMIR
import LTMLLVM
import LTMSupport

/// Formulas for what a CPU takes from the C library: sin, cos and pow, and every transcendental function of f64. They
/// compute in f64, within a few ulp of it, so an f32 result is rounded once.
struct DeviceMath {
  let ir: IRBuilder

  /// The function of that C name.
  func formula(_ name: String, _ a: Lanes, _ b: Lanes?) -> Lanes {
    let isSingle = ir.element(of: a.type) == ir.float
    let x = isSingle ? a.widened(to: ir.double) : a
    let y = b.map { isSingle ? $0.widened(to: ir.double) : $0 }
    let result =
      switch name {
      case "exp": exp(x)
      case "expm1": expm1(x)
      case "log": log(x)
      case "log1p": log1p(x)
      case "tanh": tanh(x)
      case "erf": erf(x)
      case "sin": wave(x, quarter: 0)
      case "cos": wave(x, quarter: 1)
      case "pow": pow(x, y ?? x)
      default: internalFailure("emission", "no device formula for \(name)")
      }
    return isSingle ? result.narrowed(to: ir.float) : result
  }

  /// Reciprocals of factorials, `1/high!` first.
  private func factorials(_ degrees: some Sequence<Int>) -> [Double] {
    degrees.map { degree in 1 / (1...max(degree, 1)).reduce(1.0) { $0 * Double($1) } }
  }

  private static let shift = 6_755_399_441_055_744.0  // 1.5 * 2^52: adding it rounds to a whole number

  /// `2 to the power n` of whole numbers in `-1022...1023`, given as `n + shift`.
  private func powerOfTwo(shifted n: Lanes) -> Lanes {
    let bits = n.cast(to: ir.i64)
    return bits.plusBits(bits.bits(1023)).shiftedLeft(52).cast(to: ir.double)
  }

  /// `x = n ln 2 + r`.
  private func reducedByLn2(_ x: Lanes) -> (n: Lanes, r: Lanes) {
    let n = x.times(1.442_695_040_888_963_4, plus: x.constant(Self.shift)) - Self.shift
    let high = n.times(-6.931_471_803_691_238e-1, plus: x)
    return (n, n.times(-1.908_214_929_270_587_7e-10, plus: high))
  }

  /// `value * 2^n`, in two steps, since 2^n itself may be no normal number.
  private func scaled(_ value: Lanes, by n: Lanes) -> Lanes {
    let half = n.times(0.5, plus: n.constant(Self.shift))
    let rest = (n - (half - Self.shift)) + Self.shift
    return value * powerOfTwo(shifted: half) * powerOfTwo(shifted: rest)
  }

  private func exp(_ x: Lanes) -> Lanes {
    let (n, r) = reducedByLn2(x.clamped(-760, 720))
    return scaled(r.polynomial(factorials((0...13).reversed())), by: n)
  }

  private func expm1(_ x: Lanes) -> Lanes {
    let near = x * x.polynomial(factorials((1...16).reversed()))
    return near.when(x.magnitude.isLess(0.5), else: exp(x) - 1)
  }

  private func log(_ x: Lanes) -> Lanes {
    let isSubnormal = x.isLess(0x1p-1022)
    let normal = (x * 0x1p54).when(isSubnormal, else: x)
    let bits = normal.cast(to: ir.i64)
    // The exponent that leaves a mantissa in sqrt(1/2) ..< sqrt(2).
    let exponent = bits.minusBits(bits.bits(0x3FE6_A09E_667F_3BCD)).shiftedRightSigned(52)
    let mantissa = bits.minusBits(exponent.shiftedLeft(52)).cast(to: ir.double)
    let n = exponent.toFloat(ir.double) - x.constant(54).when(isSubnormal, else: x.constant(0))
    // log m = 2 atanh((m - 1) / (m + 1))
    let f = (mantissa - 1) / (mantissa + 1)
    let square = f * f
    let tail = square.polynomial((1...10).reversed().map { 2 / Double(2 * $0 + 1) })
    let low = n.times(1.908_214_929_270_587_7e-10, plus: f * square * tail)
    let result = n.times(6.931_471_803_691_238e-1, plus: f.times(2, plus: low))
    let finite = x.when(x.isEqual(.infinity).or(x.isNaN), else: result)
    let positive = x.constant(-.infinity).when(x.isEqual(0), else: finite)
    return x.constant(.nan).when(x.isLess(0), else: positive)
  }

  private func log1p(_ x: Lanes) -> Lanes {
    let sum = x + 1
    // What the addition lost, to first order.
    let lost = (x - (sum - 1)) / sum
    return log(sum).when(sum.isEqual(0).or(x.isEqual(.infinity)), else: log(sum) + lost).withSign(of: x)
  }

  private func tanh(_ x: Lanes) -> Lanes {
    let e = expm1((x.magnitude * 2).clamped(0, 45))
    return (e / (e + 2)).withSign(of: x)
  }

  /// `2/sqrt(pi) exp(-t^2) t (1 + 2t^2/3 + (2t^2)^2/15 + ...)`: every term is positive.
  private func erf(_ x: Lanes) -> Lanes {
    let t = x.magnitude.clamped(0, 6)
    let square = t * t
    let sum = ir.loop(0..<150, carrying: [t.ref, t.ref]) { i, carried in
      let divisor = ir.spread(Lanes(i, ir).toFloat(ir.double) * 2 + 3, t.count)
      let term = Lanes(carried[0], ir) * (square * 2 / divisor)
      return [term.ref, (Lanes(carried[1], ir) + term).ref]
    }[1]
    let series = Lanes(sum, ir) * exp(-square) * 1.128_379_167_095_512_6
    let bounded = t.constant(1).when(t.isGreater(5.95), else: series)
    return x.when(x.isNaN, else: bounded.withSign(of: x))
  }

  /// `sin(x + quarter * pi/2)`, accurate up to about 2^30.
  private func wave(_ x: Lanes, quarter: Int) -> Lanes {
    let shifted = x.times(0.636_619_772_367_581_4, plus: x.constant(Self.shift))
    let n = shifted - Self.shift
    let first = n.times(-1.570_796_326_734_125_6, plus: x)
    let second = n.times(-6.077_100_506_303_966e-11, plus: first)
    let r = n.times(-2.022_266_248_795_951e-21, plus: second)
    let square = r * r
    let signs = { (count: Int) in (0..<count).reversed().map { $0 % 2 == 0 ? 1.0 : -1.0 } }
    let sine = r * square.polynomial(zip(factorials((0..<9).reversed().map { 2 * $0 + 1 }), signs(9)).map(*))
    let cosine = square.polynomial(zip(factorials((0..<10).reversed().map { 2 * $0 }), signs(10)).map(*))
    let place = shifted.cast(to: ir.i64)
    let turn = place.plusBits(place.bits(quarter))
    let isOdd = turn.and(turn.bits(1)).compareBits(LLVMIntNE, turn.bits(0))
    let isNegative = turn.and(turn.bits(2)).compareBits(LLVMIntNE, turn.bits(0))
    let value = cosine.when(isOdd, else: sine)
    let infinite = x.magnitude.isEqual(.infinity)
    return x.constant(.nan).when(infinite, else: (-value).when(isNegative, else: value))
  }

  private func pow(_ x: Lanes, _ y: Lanes) -> Lanes {
    let magnitude = exp(y * log(x.magnitude))
    let half = y * 0.5
    let isWhole = y.apply("llvm.floor").compare(LLVMRealOEQ, y)
    let isEven = half.apply("llvm.floor").compare(LLVMRealOEQ, half)
    let signed = (-magnitude).when(x.isLess(0).and(isWhole).and(not(isEven)), else: magnitude)
    let isUndefined = x.isLess(0).and(not(isWhole)).and(x.isGreater(-.infinity))
    let defined = x.constant(.nan).when(isUndefined, else: signed)
    return x.constant(1).when(y.isEqual(0).or(x.isEqual(1)), else: defined)
  }

  private func not(_ condition: Lanes) -> Lanes { Lanes(LLVMBuildNot(ir.ref, condition.ref, ""), ir) }
}

extension IRBuilder {
  fileprivate func spread(_ value: Lanes, _ lanes: Int) -> Lanes { Lanes(splat(value.ref, lanes), self) }
}
