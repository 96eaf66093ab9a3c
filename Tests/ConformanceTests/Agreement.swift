import Foundation
import LTMIR
import TestSupport
import Testing

/// How far a result may be from the exact one.
enum Accuracy: Sendable {
  case exact
  /// One rounding to the result's dtype, and the error that steps in the accumulator's dtype make, relative to the
  /// largest element.
  case rounding(steps: Double)
  /// So many units of the result's dtype, relative to the largest element: values between were rounded too.
  case units(Double)

  /// What the exact result rounds to is right too, infinities included. Which zero a minimum of zeros or a sum of none gives
  /// is the machine's choice.
  func tolerance(_ dtype: DType) -> Tolerance { distance(dtype).ignoringSignsOfZero }

  private func distance(_ dtype: DType) -> Tolerance {
    switch self {
    case .rounding(let steps) where dtype.isFloating:
      Tolerance { wanted, largest in
        let once = dtype.isHalf ? 1.01 * dtype.unit * abs(wanted) + dtype.smallest : 0
        return once + steps * dtype.accumulator.unit * max(1, largest)
      }.orRounded(to: dtype)
    case .units(let count) where dtype.isFloating:
      Tolerance { _, largest in count * dtype.unit * max(1, largest) + dtype.smallest }.orRounded(to: dtype)
    case .exact, .rounding, .units: .exact.orRounded(to: dtype)
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

/// Compares every output of a graph with the exact ones.
func expectAgreement(
  _ found: [String: Tensor], _ exact: [String: Reference], _ context: @autoclosure () -> String,
  _ location: SourceLocation = #_sourceLocation, accuracy: (String) -> Accuracy
) {
  for (name, reference) in exact.sorted(by: { $0.key < $1.key }) {
    guard let tensor = found[name] else {
      Issue.record("\(context()): no output \(name)", sourceLocation: location)
      continue
    }
    expectClose(
      tensor, reference, accuracy(name).tolerance(tensor.dtype),
      "\(context()): \(name) of \(tensor.dtype)\(tensor.shape) ",
      sourceLocation: location)
  }
}
