// Rounding of doubles to the narrower floats, in one step, to nearest even. Written with integers so that the reference interpreter does
// not depend on the conversions it checks.

extension DType {
  /// The value of this dtype nearest to `value`, as a double. Integers truncate toward zero and saturate; a NaN is 0.
  public func round(_ value: Double) -> Double {
    switch self {
    case .float, .f64: value
    case .f32: Double(Float(value))
    case .f16: roundToNearestEven(value, precision: 11, minExponent: -14, maxFinite: 65504)
    case .bf16: roundToNearestEven(value, precision: 8, minExponent: -126, maxFinite: 0x1.FEp127)
    case .i32: saturate(value, -2_147_483_648, 2_147_483_647)
    case .i64: saturate(value, -0x1p63, 0x1.FFFFFFFFFFFFFp62)
    case .u8: saturate(value, 0, 255)
    case .bool: value != 0 ? 1 : 0
    }
  }

  /// Whether the dtype has a number: a float, if only rounded, all but those past its largest; an integer none but its own.
  public func holds(_ number: Double) -> Bool {
    switch self {
    case .float, .f16, .bf16, .f32, .f64: !number.isFinite || round(number).isFinite
    case .i32, .i64, .u8, .bool: round(number) == number
    }
  }

  /// The largest finite value of a float; infinity for `float`.
  public var greatestFinite: Double {
    switch self {
    case .f16: 65504
    case .bf16: 0x1.FEp127
    case .f32: Double(Float.greatestFiniteMagnitude)
    case .f64, .float: Double.greatestFiniteMagnitude
    case .i32: 2_147_483_647
    case .i64: 0x1.FFFFFFFFFFFFFp62
    case .u8: 255
    case .bool: 1
    }
  }
}

private func saturate(_ value: Double, _ low: Double, _ high: Double) -> Double {
  // Adding 0 takes the sign from a zero: integers have one.
  value.isNaN ? 0 : max(low, min(high, value.rounded(.towardZero))) + 0
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
