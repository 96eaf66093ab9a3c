import LTMIR
import TestSupport
import Testing

/// What all suites compare with: a comparison that misses something makes them all blind.
@Suite struct ComparisonTests {
  /// A number, one that differs from it, and how far they may be apart.
  static let differing: [(found: Double, wanted: Double)] = [
    (.nan, 1), (1, .nan), (.nan, .infinity), (.infinity, .nan), (.nan, 0), (0, .nan), (.infinity, 1), (1, .infinity),
    (-.infinity, 1), (1, -.infinity), (.infinity, -.infinity), (-.infinity, .infinity), (0, -0.0), (-0.0, 0),
    (.infinity, .greatestFiniteMagnitude), (.greatestFiniteMagnitude, .infinity), (2, 1), (-1, 1), (1, -1),
  ]

  private static let tolerances: [Tolerance] = [
    .exact, .relative(0.25), .ofLargest(0.25), .relative(0.25, least: 0), .exact.orRounded(to: .f64),
  ]

  @Test("whatever differs is seen in any position, at any tolerance, whatever comes before it", arguments: differing)
  func everyPosition(_ pair: (found: Double, wanted: Double)) {
    for count in 1...4 {
      for index in 0..<count {
        for other in [1.0, .nan, .infinity, -0.0] {
          var (found, wanted) = ([Double](repeating: other, count: count), [Double](repeating: other, count: count))
          (found[index], wanted[index]) = pair
          for tolerance in Self.tolerances {
            let text = difference(found, wanted, tolerance)
            #expect(
              text?.hasPrefix("[\(index)] is \(pair.found), not \(pair.wanted); ") == true, "\(text ?? "nothing")")
          }
        }
      }
    }
  }

  @Test(
    "what is the same is the same",
    arguments: [0, -0.0, 1, .nan, -.nan, .infinity, -.infinity, .leastNonzeroMagnitude] as [Double])
  func same(_ number: Double) {
    for tolerance in Self.tolerances { #expect(difference([1, number], [1, number], tolerance) == nil) }
  }

  @Test("lengths, shapes and dtypes are compared") func kinds() throws {
    #expect(difference([1.0], [Double]()) == "has 1 elements, not 0")
    #expect(difference([Double](), [1.0]) == "has 0 elements, not 1")
    #expect(difference([1.0, 2], [1.0]) == "has 2 elements, not 1")
    let (row, column) = (Reference(shape: [1, 2], data: [1, 2]), Reference(shape: [2, 1], data: [1, 2]))
    #expect(difference(row, column) == "has shape [1, 2], not [2, 1]")
    #expect(difference(row, [1.0, 2]) == nil && difference([1.0, 2], column) == nil)
    let (wide, half) = (Tensor([1, 2], shape: [2, 1], dtype: .f32), Tensor([1, 2], shape: [2, 1], dtype: .f16))
    #expect(difference(try #require(wide), try #require(half)) == "is f32, not f16")
    #expect(difference(try #require(wide), column) == nil)
    #expect(difference(try #require(wide), row) == "has shape [2, 1], not [1, 2]")
  }

  @Test("a distance is measured as the tolerance says") func distances() {
    #expect(difference([1.25, 0.25, 10], [1, 0.5, 8], .relative(0.25)) == nil)
    #expect(difference(10.01, 8, .relative(0.25)) == "[0] is 10.01, not 8.0; 2.0 is allowed, and 1 of 1 differ")
    #expect(difference(0.26, 0, .relative(0.25)) != nil && difference(-0.25, 0, .relative(0.25)) == nil)
    #expect(difference(0.3, 0.2, .relative(0.25, least: 0)) != nil)
    #expect(
      difference([3, 8], [1.0, 8], .ofLargest(0.25)) == nil
        && difference([3.01, 8], [1.0, 8], .ofLargest(0.25)) != nil)
    // What is no number has no say in what the largest is.
    #expect(difference([3, .infinity], [1, .infinity], .ofLargest(0.25)) != nil)
    #expect(difference(1.0, 2, Tolerance { _, _ in .nan }) != nil)
    #expect(difference(Double.infinity, 2, Tolerance { _, _ in .infinity }) != nil)
  }

  @Test("what a tolerance lets pass, and no more") func exceptions() {
    #expect(difference([0, -0.0], [-0.0, 0], .exact.ignoringSignsOfZero) == nil)
    #expect(
      difference(1, -1, .exact.ignoringSignsOfZero) != nil
        && difference(Double.nan, 0, .exact.ignoringSignsOfZero) != nil)
    let half = Tolerance.exact.orRounded(to: .f16)
    #expect(difference([.infinity, 1], [70_000, 1.0001], half) == nil)
    #expect(difference(-Double.infinity, 70_000, half) != nil && difference(Double.infinity, 60_000, half) != nil)
    #expect(difference(-0.0, 1e-9, half) != nil)
  }

  @Test("a difference is an issue that says where, what and how far") func issue() {
    withKnownIssue {
      expectClose([1.0, .nan, 3], [1.0, 2, 3.5], .relative(0.125), "a case: ")
    } matching: { issue in
      "\(issue)".contains("a case: [1] is nan, not 2.0; 0.25 is allowed, and 2 of 3 differ")
    }
  }

  @Test("vectors are compared by their lengths") func vectors() {
    #expect(relativeDistance([3, 4], [3, 0]) == 4.0 / 3 && relativeDistance([0], [0]) == 0)
    #expect(relativeDistance([1], [0]) == .infinity)
    #expect(relativeDistance([1], [1, 2]).isNaN && relativeDistance([.nan, 1], [2, 1]).isNaN)
    #expect(relativeDistance([1, .nan], [1, 2]).isNaN && relativeDistance([.infinity], [.infinity]).isNaN)
    withKnownIssue {
      expectNear([1, .nan], [1, 2], 0.5, "nan: ")
    } matching: {
      "\($0)".contains("nan: ")
    }
    withKnownIssue { expectNear([1], [1, 2], .infinity) }
    expectNear([1, 2.1], [1, 2], 0.1)
  }
}
