import Foundation
import LTMIR
import Testing

/// How far a result may be from the exact one.
enum Tolerance: Sendable {
  /// Equal; zeros of either sign, and NaN with NaN.
  case exact
  /// One rounding to the result's dtype, and the error that steps in the accumulator's dtype make, relative to the
  /// largest element.
  case rounding(steps: Double)
  /// So many units of the result's dtype, relative to the largest element: values between were rounded too.
  case units(Double)

  func bound(_ exact: Double, _ dtype: DType, scale: Double) -> Double {
    guard dtype.isFloating else { return 0 }
    switch self {
    case .exact: return 0
    case .rounding(let steps):
      let once = dtype.isHalf ? 1.01 * dtype.unit * abs(exact) + dtype.smallest : 0
      return once + steps * dtype.accumulator.unit * scale
    case .units(let count): return count * dtype.unit * scale + dtype.smallest
    }
  }
}

extension DType {
  /// Half the distance from 1 to the next number.
  var unit: Double {
    switch self {
    case .f16: 0x1p-11
    case .bf16: 0x1p-8
    case .f32, .float: 0x1p-24
    case .f64: 0x1p-53
    case .i32, .i64, .u8, .bool: 0
    }
  }

  /// The smallest number above zero that a result may be off by.
  var smallest: Double {
    switch self {
    case .f16: 0x1p-24
    case .bf16, .f32, .float: 0x1p-133
    case .f64, .i32, .i64, .u8, .bool: 0
    }
  }
}

/// Describes the first element beyond the tolerance; `nil` where all agree.
func difference(_ found: Tensor, _ exact: Reference, _ tolerance: Tolerance) -> String? {
  let values = found.doubles
  guard found.shape == exact.shape, values.count == exact.data.count else {
    return "has shape \(found.shape), not \(exact.shape)"
  }
  let scale = max(1, exact.data.lazy.filter(\.isFinite).map(abs).max() ?? 0)
  for (index, (value, wanted)) in zip(values, exact.data).enumerated() {
    if value == wanted || value.isNaN && wanted.isNaN { continue }
    let bound = tolerance.bound(wanted, found.dtype, scale: scale)
    if abs(value - wanted) <= bound { continue }
    // What the exact result rounds to, infinities included.
    if value == found.dtype.round(wanted) { continue }
    let count = zip(values, exact.data).filter { $0 != $1 }.count
    return "[\(index)] of \(found.dtype)\(found.shape) is \(value), not \(wanted); \(bound) allowed, \(count) differ"
  }
  return nil
}

/// Compares every output of a graph with the exact ones.
func expectAgreement(
  _ found: [String: Tensor], _ exact: [String: Reference], _ context: @autoclosure () -> String,
  _ location: SourceLocation = #_sourceLocation, tolerance: (String) -> Tolerance
) {
  for (name, reference) in exact.sorted(by: { $0.key < $1.key }) {
    guard let tensor = found[name] else {
      Issue.record("\(context()): no output \(name)", sourceLocation: location)
      continue
    }
    if let text = difference(tensor, reference, tolerance(name)) {
      Issue.record("\(context()): \(name)\(text)", sourceLocation: location)
    }
  }
}
