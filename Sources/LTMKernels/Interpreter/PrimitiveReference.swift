import Foundation
import LTMIR

// What primitives mean, in doubles.

extension Combiner {
  /// One step of a reduction; NaN wins.
  package func apply(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .add: a + b
    case .multiply: a * b
    case .maximum: a.isNaN || b.isNaN ? .nan : max(a, b)
    case .minimum: a.isNaN || b.isNaN ? .nan : min(a, b)
    case .and: a != 0 && b != 0 ? 1 : 0
    case .or: a != 0 || b != 0 ? 1 : 0
    }
  }
}

extension Primitive {
  /// The number of operands.
  package var arity: Int {
    switch self {
    case .neg, .abs, .sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .isFinite, .not, .expm1, .log1p,
      .log2:
      1
    case .add, .sub, .mul, .div, .pow, .minimum, .maximum, .equal, .notEqual, .less, .lessEqual, .greater,
      .greaterEqual,
      .and, .or, .timesSigmoid, .timesNormalCDF, .timesGaussian, .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight,
      .after:
      2
    case .select: 3
    case .philox: 9
    }
  }

  /// Whether the result is a bool whatever the operands.
  package var isPredicate: Bool {
    switch self {
    case .isFinite, .not, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual, .and, .or: true
    case .neg, .abs, .sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .expm1, .log1p, .log2,
      .timesSigmoid, .timesNormalCDF, .timesGaussian, .add, .sub, .mul, .div, .pow, .minimum, .maximum, .select,
      .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight, .philox, .after:
      false
    }
  }

  /// The value in f64; integer division truncates, and by zero gives zero.
  package func apply(_ a: Double, _ b: Double, _ c: Double, integral: Bool = false) -> Double {
    switch self {
    case .neg: -a
    case .abs: Swift.abs(a)
    case .sqrt: a.squareRoot()
    case .exp: Foundation.exp(a)
    case .log: Foundation.log(a)
    case .sin: Foundation.sin(a)
    case .cos: Foundation.cos(a)
    case .tanh: Foundation.tanh(a)
    case .erf: Foundation.erf(a)
    case .expm1: Foundation.expm1(a)
    case .log1p: Foundation.log1p(a)
    case .log2: Foundation.log2(a)
    case .timesSigmoid: a.times(tail: sigmoid(b))
    case .timesNormalCDF: a.times(tail: normalCDF(b))
    case .timesGaussian: a.times(tail: gaussian(b))
    case .floor: a.rounded(.down)
    case .ceil: a.rounded(.up)
    case .round: a.rounded(.toNearestOrEven)
    case .isFinite: a.isFinite ? 1 : 0
    case .not: a == 0 ? 1 : 0
    case .add: a + b
    case .sub: a - b
    case .mul: a * b
    case .div: integral ? (b == 0 ? 0 : (a / b).rounded(.towardZero)) : a / b
    case .pow: Foundation.pow(a, b)
    case .minimum: Combiner.minimum.apply(a, b)
    case .maximum: Combiner.maximum.apply(a, b)
    case .equal: a == b ? 1 : 0
    case .notEqual: a != b ? 1 : 0
    case .less: a < b ? 1 : 0
    case .lessEqual: a <= b ? 1 : 0
    case .greater: a > b ? 1 : 0
    case .greaterEqual: a >= b ? 1 : 0
    case .and: a != 0 && b != 0 ? 1 : 0
    case .or: a != 0 || b != 0 ? 1 : 0
    case .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight: bits(a, b)
    case .select: a != 0 ? b : c
    case .philox: .nan
    case .after: a
    }
  }

  /// An operation on bits, in 64 of them.
  private func bits(_ a: Double, _ b: Double) -> Double {
    let (x, y) = (Int64(a), Int64(b))
    switch self {
    case .bitAnd: return Double(x & y)
    case .bitOr: return Double(x | y)
    case .bitXor: return Double(x ^ y)
    case .shiftLeft: return Double(y < 0 ? 0 : x << y)
    default: return Double(y < 0 ? x >> 63 : x >> y)
    }
  }

  /// The value of any number of operands.
  package func apply(_ x: [Double], integral: Bool = false) -> Double {
    if self == .philox { return Self.philox(x.map { UInt32(truncatingIfNeeded: Int64($0)) }) }
    return apply(x[0], x.count > 1 ? x[1] : 0, x.count > 2 ? x[2] : 0, integral: integral)
  }

  private static func philox(_ x: [UInt32]) -> Double {
    let words = Philox(key: SIMD2(x[4], x[5])).words(at: SIMD4(x[0], x[1], x[2], x[3]))
    return Double(Int32(bitPattern: (words[Int(x[6] % 4)] << x[7]) >> (32 - x[8])))
  }
}
