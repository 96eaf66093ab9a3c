/// The element types of tensors.
public enum DType: String, Sendable, CaseIterable, Hashable, CustomStringConvertible {
  /// A float whose precision the opt level has yet to decide. No graph past `insert-casts` holds one.
  case float
  case f16, bf16, f32, f64
  case i32, i64, u8
  case bool

  /// The dtype's name in `.ltm` and in the IR.
  public var description: String { rawValue }
}

/// What an element type is: one row of the table that all else is told from.
public struct DTypeFormat: Sendable, Hashable {
  /// What the bits mean.
  public enum Numbers: Sendable, Hashable {
    /// A sign, an exponent and a mantissa as IEEE 754 has them, with infinities and NaN.
    case float(exponent: Int, mantissa: Int)
    /// An integer.
    case signed, unsigned
    /// 0 or 1.
    case truth
  }
  /// Bits of one element in memory.
  public let bits: Int
  /// What they mean.
  public let numbers: Numbers
  /// The scalar dtype that a load widens it to. A store rounds a float to nearest even, and saturates an integer.
  public let loaded: DType
  /// The dtype that sums of it accumulate in.
  public let accumulator: DType

  init(_ bits: Int, _ numbers: Numbers, loaded: DType, accumulator: DType? = nil) {
    self.bits = bits
    self.numbers = numbers
    self.loaded = loaded
    self.accumulator = accumulator ?? loaded
  }
}

extension DType {
  /// The dtype's row. `float` counts as f32.
  public var format: DTypeFormat {
    switch self {
    case .f16: DTypeFormat(16, .float(exponent: 5, mantissa: 10), loaded: .f32)
    case .bf16: DTypeFormat(16, .float(exponent: 8, mantissa: 7), loaded: .f32)
    case .f32, .float: DTypeFormat(32, .float(exponent: 8, mantissa: 23), loaded: .f32)
    case .f64: DTypeFormat(64, .float(exponent: 11, mantissa: 52), loaded: .f64)
    case .i32: DTypeFormat(32, .signed, loaded: .i32)
    case .i64: DTypeFormat(64, .signed, loaded: .i64)
    case .u8: DTypeFormat(8, .unsigned, loaded: .i32)
    case .bool: DTypeFormat(8, .truth, loaded: .bool, accumulator: .i32)
    }
  }

  /// Bytes of one element in memory; a bool is one byte.
  public var byteCount: Int { format.bits / 8 }

  /// Whether values are floating point, `float` included.
  public var isFloating: Bool { if case .float = format.numbers { true } else { false } }

  /// Whether this is one of the 16-bit floats.
  public var isHalf: Bool { format.bits == 16 && isFloating }

  /// The scalar dtype that a load of this one gives.
  package var loaded: DType { format.loaded }

  /// The dtype that reductions and contractions over this one accumulate in, and that scalar arithmetic runs in.
  public var accumulator: DType { format.accumulator }

  /// The widest of two floats: f16 with bf16 is f32.
  public static func widest(_ a: DType, _ b: DType) -> DType {
    if a == b { return a }
    if a == .f64 || b == .f64 { return .f64 }
    return .f32
  }
}

extension DTypeFormat {
  /// Bits of a float's exponent and mantissa; `nil` for what is no float.
  package var float: (exponent: Int, mantissa: Int)? {
    if case .float(let exponent, let mantissa) = numbers { (exponent, mantissa) } else { nil }
  }

  /// The bits that are all set in infinities and NaN, and in no number; 0 for what is no float.
  package var exponentMask: UInt64 { float.map { ((1 << UInt64($0.exponent)) - 1) << UInt64($0.mantissa) } ?? 0 }

  /// The bits of an infinity, or of the NaN that operations give.
  package func bits(ofNonFinite value: Double) -> UInt64 {
    guard let float else { return 0 }
    if value.isNaN { return exponentMask | 1 << UInt64(float.mantissa - 1) }
    return exponentMask | (value < 0 ? 1 << UInt64(bits - 1) : 0)
  }

  /// The exponent of the smallest normal number.
  package var leastExponent: Int { float.map { 2 - 1 << ($0.exponent - 1) } ?? 0 }

  /// The smallest positive number of a float, subnormals included; 1 for what is no float.
  package var leastPositive: Double { float.map { power(leastExponent - $0.mantissa) } ?? 1 }

  /// The least and the greatest number; of 64 bits the greatest that a double holds.
  package var range: ClosedRange<Double> {
    switch numbers {
    case .float(let exponent, let mantissa):
      let greatest = (2 - power(-mantissa)) * power(1 << (exponent - 1) - 1)
      return -greatest...greatest
    case .signed: return -power(bits - 1)...below(power(bits - 1))
    case .unsigned: return 0...below(power(bits))
    case .truth: return 0...1
    }
  }

  /// The least and the greatest integer that an Int64 holds too.
  package var integers: ClosedRange<Int64> {
    switch numbers {
    case .signed: bits == 64 ? Int64.min...Int64.max : -(1 << Int64(bits - 1))...1 << Int64(bits - 1) - 1
    case .unsigned: 0...(bits == 64 ? Int64.max : 1 << Int64(bits) - 1)
    case .truth: 0...1
    case .float: Int64.min...Int64.max
    }
  }

  private func power(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent, significand: 1) }
  private func below(_ value: Double) -> Double { Swift.min(value - 1, value.nextDown) }
}
