import LTMIR
import Testing

/// Numbers that can be compared with others: a list, a tensor, a result of the reference interpreter, one number.
package protocol ComparedNumbers {
  var comparedNumbers: [Double] { get }
  /// `nil` where there is none; two that are known must be the same.
  var comparedShape: [Int]? { get }
  /// `nil` where there is none; two that are known must be the same.
  var comparedDType: DType? { get }
}

extension ComparedNumbers {
  package var comparedShape: [Int]? { nil }
  package var comparedDType: DType? { nil }
}

extension Double: ComparedNumbers {
  package var comparedNumbers: [Double] { [self] }
}

extension [Double]: ComparedNumbers {
  package var comparedNumbers: [Double] { self }
}

extension Reference: ComparedNumbers {
  package var comparedNumbers: [Double] { data }
  package var comparedShape: [Int]? { shape }
}

extension Tensor: ComparedNumbers {
  package var comparedNumbers: [Double] { doubles }
  package var comparedShape: [Int]? { shape }
  package var comparedDType: DType? { dtype }
}

/// The first difference of two lists of numbers, in words; `nil` where there is none.
///
/// Counts, shapes and dtypes are compared, then every element: a NaN is a NaN's equal alone, an infinity its own, a zero the
/// zero of its sign, and between finite numbers the tolerance decides.
package func difference(
  _ found: some ComparedNumbers, _ wanted: some ComparedNumbers, _ tolerance: Tolerance = .exact
) -> String? {
  if let ours = found.comparedShape, let theirs = wanted.comparedShape, ours != theirs {
    return "has shape \(ours), not \(theirs)"
  }
  if let ours = found.comparedDType, let theirs = wanted.comparedDType, ours != theirs {
    return "is \(ours), not \(theirs)"
  }
  let (values, expected) = (found.comparedNumbers, wanted.comparedNumbers)
  guard values.count == expected.count else { return "has \(values.count) elements, not \(expected.count)" }
  let largest = expected.lazy.filter(\.isFinite).map(\.magnitude).max() ?? 0
  let wrong = values.indices.filter { !tolerance.accepts(values[$0], for: expected[$0], largest: largest) }
  guard let index = wrong.first else { return nil }
  return
    "[\(index)] is \(values[index]), not \(expected[index]); \(tolerance.bound(expected[index], largest)) is allowed, "
    + "and \(wrong.count) of \(values.count) differ"
}

/// Fails where two lists of numbers differ; the message names the first place, both numbers and the tolerance.
package func expectClose(
  _ found: some ComparedNumbers, _ wanted: some ComparedNumbers, _ tolerance: Tolerance = .exact,
  _ context: @autoclosure () -> String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  guard let text = difference(found, wanted, tolerance) else { return }
  Issue.record("\(context())\(text)", sourceLocation: sourceLocation)
}

/// Fails where the distance of two vectors is more than so much of the second's length.
package func expectNear(
  _ found: [Double], _ wanted: [Double], _ bound: Double, _ context: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let distance = relativeDistance(found, wanted)
  guard !(distance <= bound) else { return }
  Issue.record("\(context()) is off by \(distance) of its length; \(bound) is allowed", sourceLocation: sourceLocation)
}

/// The distance of two vectors, of the second's length; NaN where their counts differ, or one is not finite.
package func relativeDistance(_ found: [Double], _ wanted: [Double]) -> Double {
  guard found.count == wanted.count else { return .nan }
  let squares = zip(found, wanted).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  return squares == 0 ? 0 : (squares / wanted.reduce(0) { $0 + $1 * $1 }).squareRoot()
}
