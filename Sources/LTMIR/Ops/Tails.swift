import Foundation

// Rows: products with the sigmoid and with the normal distribution. Nothing cancels in their tails, and an infinite factor
// meets a tail of 0 as 0. Activations and their gradients are made of them; none has a name in the language.

extension OpDefinition {
  static let timesSigmoid = binary(
    "`a / (1 + exp(-b))`; 0 where the sigmoid is 0", .floats, isCallable: false,
    gradient: .binary(
      { b, x in b.make(.timesSigmoid, [x[3], x[1]]) },
      { b, x in b.make(.timesSigmoid, [b.make(.timesSigmoid, [b.mul(x[3], x[0]), x[1]]), b.neg(x[1])]) }),
    lowering: .primitive(.timesSigmoid), { $0.times(tail: LTMIR.sigmoid($1)) })

  static let timesNormalCDF = binary(
    "`a` times the normal distribution's cumulative function at `b`; 0 where that is 0", .floats, isCallable: false,
    gradient: .binary(
      { b, x in b.make(.timesNormalCDF, [x[3], x[1]]) },
      { b, x in
        b.scale(b.make(.timesGaussian, [b.mul(x[3], x[0]), x[1]]), by: 1 / (2 * Double.pi).squareRoot())
      }), lowering: .primitive(.timesNormalCDF), { $0.times(tail: normalCDF($1)) })

  static let timesGaussian = binary(
    "`a * exp(-b * b / 2)`; 0 where the exponential is 0", .floats, isCallable: false,
    gradient: .binary(
      { b, x in b.make(.timesGaussian, [x[3], x[1]]) },
      { b, x in b.neg(b.mul(x[1], b.make(.timesGaussian, [b.mul(x[3], x[0]), x[1]]))) }),
    lowering: .primitive(.timesGaussian), { $0.times(tail: gaussian($1)) })
}

/// `1 / (1 + exp(-x))`
package func sigmoid(_ x: Double) -> Double {
  let e = Foundation.exp(-Swift.abs(x))
  return (x < 0 ? e : 1) / (1 + e)
}

/// `exp(-x^2 / 2)`
package func gaussian(_ x: Double) -> Double {
  let square = x * x
  // What rounding the square lost is lost from the exponent.
  let lost = square.isFinite ? (-square).addingProduct(x, x) : 0
  return Foundation.exp(-square / 2) * (1 - lost / 2)
}

/// The normal distribution's cumulative function.
package func normalCDF(_ x: Double) -> Double {
  let (factor, rest) = (0.707_106_781_186_547_6, -4.833_646_656_726_457e-17)
  let t = -x * factor
  guard t.isFinite else { return erfc(t) / 2 }
  // What rounding t lost moves erfc by its slope.
  let lost = (-t).addingProduct(-x, factor) - x * rest
  return (erfc(t) - lost * 2 / Double.pi.squareRoot() * Foundation.exp(-t * t)) / 2
}

extension Double {
  /// The product with a function that vanishes in its tail: 0 there, of an infinity too.
  package func times(tail: Double) -> Double {
    tail == 0 && !isNaN ? Double(signOf: self, magnitudeOf: 0) : self * tail
  }
}
