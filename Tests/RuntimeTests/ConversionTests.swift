import Foundation
import LTMIR
import LTMRuntime
import Testing

/// Which numbers a dtype takes as they are, which rounded, and which not at all.
@Suite struct ConversionTests {
  /// The numbers of a dtype, another dtype, and the index of the first that is lost.
  static let cases: [([Double], DType, DType, Int?)] = [
    ([1, 0x1p40], .i64, .i32, 1), ([-0x1p31, 0x1p31 - 1], .i64, .i32, nil), ([0, 0x1p31], .i64, .i32, 1),
    ([255, 256], .i32, .u8, 1), ([-1], .i32, .u8, 0), ([0, 1, 2], .u8, .bool, 2), ([1.5], .f32, .i32, 0),
    ([0x1p63], .f64, .i64, 0), ([-0x1p63], .f64, .i64, nil), ([.nan], .f64, .i32, 0), ([.infinity], .f32, .i64, 0),
    ([1e300], .f64, .f32, 0), ([1, 70000], .f32, .f16, 1), ([65519], .f32, .f16, nil), ([65520], .f32, .f16, 0),
    ([.infinity, .nan], .f32, .f16, nil), ([0.1], .f64, .f32, nil), ([3.4e38], .f32, .bf16, 0),
    ([16_777_217], .i32, .f32, nil), ([70000], .i32, .f16, 0),
  ]

  @Test(arguments: cases) func losesNothingInSilence(_ values: [Double], _ from: DType, _ to: DType, _ lost: Int?)
    throws
  {
    let tensor = try #require(Tensor(values, shape: [values.count], dtype: from))
    #expect(convert(tensor, to: to).lost == lost)
  }

  @Test func integersAreShownWithAllTheirDigits() throws {
    let bytes = [Int64(1), 9_007_199_254_740_993].withUnsafeBytes { Array($0) }
    let tensor = try #require(Tensor(dtype: .i64, shape: [2], bytes: bytes))
    #expect(elementText(tensor, 1) == "9007199254740993")
    #expect(elementText(tensor, 2) == "a value")
  }

  @Test(arguments: [DType.f16, .bf16, .f32, .f64]) func theFirstNonFiniteIsFound(_ dtype: DType) throws {
    for bad in [Double.nan, .infinity, -.infinity] {
      for index in [0, 1023, 1024, 2999] {
        var values = [Double](repeating: -1, count: 3000)
        values[index] = bad
        let tensor = try #require(Tensor(values, shape: [3000], dtype: dtype))
        #expect(firstNonFinite(tensor) == index)
        #expect(tensor.withUnsafeBytes { hasNaN($0, dtype) } == bad.isNaN)
      }
    }
    #expect(firstNonFinite(try #require(Tensor(zeros: [2048], dtype: dtype))) == nil)
  }
}
