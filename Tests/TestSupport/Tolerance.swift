import LTMIR

/// How far a finite number may be from the finite one that is wanted. What has no distance, a NaN, an infinity or the sign of a
/// zero, is right or wrong whatever the tolerance.
package struct Tolerance: Sendable {
  private let distance: @Sendable (_ wanted: Double, _ largest: Double) -> Double
  private var rounding: DType?
  private var anyZero = false

  /// A distance for each wanted number, given the largest magnitude among all that are finite.
  package init(_ distance: @escaping @Sendable (_ wanted: Double, _ largest: Double) -> Double) {
    self.distance = distance
  }

  package static let exact = Tolerance { _, _ in 0 }

  /// So much, whatever the number.
  package static func absolute(_ bound: Double) -> Tolerance { Tolerance { _, _ in bound } }

  /// So much of the wanted number, and of 1 where that is larger.
  package static func relative(_ bound: Double, least: Double = 1) -> Tolerance {
    Tolerance { wanted, _ in bound * max(least, abs(wanted)) }
  }

  /// So much of the largest wanted number, and of `least` where that is larger.
  package static func ofLargest(_ bound: Double, least: Double = 1) -> Tolerance {
    Tolerance { _, largest in bound * max(least, largest) }
  }

  /// What a dtype rounds the wanted number to is right too: an infinity beyond its range.
  package func orRounded(to dtype: DType) -> Tolerance {
    var other = self
    other.rounding = dtype
    return other
  }

  /// Either zero will do: where a sum's order, or a compiler that is not ours, decides its sign.
  package var ignoringSignsOfZero: Tolerance {
    var other = self
    other.anyZero = true
    return other
  }

  func bound(_ wanted: Double, _ largest: Double) -> Double { wanted.isFinite ? distance(wanted, largest) : 0 }

  func accepts(_ found: Double, for wanted: Double, largest: Double) -> Bool {
    if isSame(found, wanted) { return true }
    if let rounding, isSame(found, rounding.round(wanted)) { return true }
    // Two zeros, whose distance says nothing.
    if found == wanted { return false }
    return found.isFinite && wanted.isFinite && abs(found - wanted) <= distance(wanted, largest)
  }

  private func isSame(_ a: Double, _ b: Double) -> Bool {
    if a.isNaN || b.isNaN { return a.isNaN && b.isNaN }
    return a == b && (a != 0 || anyZero || a.sign == b.sign)
  }
}
