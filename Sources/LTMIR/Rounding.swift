// Rounding of doubles to the narrower floats, in one step, to nearest even. Written with integers so that the reference interpreter does
// not depend on the conversions it checks.

extension DType {
  /// The value of this dtype nearest to `value`, as a double. Integers truncate toward zero and saturate; a NaN is 0.
  public func round(_ value: Double) -> Double {
    switch format.numbers {
    case .float(let exponent, let mantissa):
      if mantissa == 23 { return self == .float ? value : Double(Float(value)) }
      if mantissa == 52 { return value }
      return roundToNearestEven(
        value, precision: mantissa + 1, minExponent: 2 - 1 << (exponent - 1), maxFinite: greatestFinite)
    case .signed, .unsigned: return saturate(value, format.range)
    case .truth: return value != 0 ? 1 : 0
    }
  }

  /// Whether the dtype has a number: a float, if only rounded, all but those past its largest; an integer none but its own.
  public func holds(_ number: Double) -> Bool {
    isFloating ? !number.isFinite || round(number).isFinite : round(number) == number
  }

  /// The largest finite value; of `float` that of f64.
  public var greatestFinite: Double { (self == .float ? DType.f64 : self).format.range.upperBound }
}

private func saturate(_ value: Double, _ range: ClosedRange<Double>) -> Double {
  // Adding 0 takes the sign from a zero: integers have one.
  value.isNaN ? 0 : max(range.lowerBound, min(range.upperBound, value.rounded(.towardZero))) + 0
}

/// Rounds to `precision` significant bits, fewer below `2^minExponent`; beyond `maxFinite` by half an ulp is infinity.
private func roundToNearestEven(_ value: Double, precision: Int, minExponent: Int, maxFinite: Double) -> Double {
  guard value.isFinite, value != 0 else { return value }
  let exponent = max(Int(value.exponent), minExponent)
  // Scaled so that one ulp of the target is 1; both scalings are exact.
  let ulp = Double(sign: .plus, exponent: exponent - precision + 1, significand: 1)
  let rounded = (value / ulp).rounded(.toNearestOrEven) * ulp
  return abs(rounded) > maxFinite ? (value < 0 ? -.infinity : .infinity) : rounded
}

/// The bits of an f16 nearest to `value`.
public func float16Bits(_ value: Double) -> UInt16 {
  let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
  if value.isNaN { return sign | 0x7E00 }
  let magnitude = abs(DType.f16.round(value))
  if magnitude.isInfinite { return sign | 0x7C00 }
  if magnitude < 0x1p-14 { return sign | UInt16(magnitude * 0x1p24) }
  let exponent = Int(magnitude.exponent)
  return sign | UInt16((exponent + 15) << 10)
    | UInt16((magnitude / Double(sign: .plus, exponent: exponent, significand: 1) - 1) * 1024)
}

/// The value of an f16's bits.
public func float16Value(_ bits: UInt16) -> Double {
  let sign: Double = bits & 0x8000 != 0 ? -1 : 1
  let fraction = Double(bits & 0x3FF)
  switch (bits >> 10) & 0x1F {
  case 0: return sign * fraction * 0x1p-24
  case 31: return fraction == 0 ? sign * .infinity : .nan
  case let exponent:
    return sign * (1 + fraction / 1024) * Double(sign: .plus, exponent: Int(exponent) - 15, significand: 1)
  }
}

/// The bits of a bf16 nearest to `value`, in one rounding from the double.
public func bfloat16Bits(_ value: Double) -> UInt16 {
  if value.isNaN { return 0x7FC0 }
  return UInt16(Float(DType.bf16.round(value)).bitPattern >> 16)
}

/// The value of a bf16's bits.
public func bfloat16Value(_ bits: UInt16) -> Double { Double(Float(bitPattern: UInt32(bits) << 16)) }
