import LTMIR
import LTMKernels
import LTMLLVM
import Testing

@Suite struct SmokeTests {
  @Test(arguments: [DType.f32, .f16, .bf16, .f64], [1, 7, 8, 31, 100, 40_001])
  func addsVectors(_ dtype: DType, _ count: Int) throws {
    let kernel = binaryKernel(.add, dtype, count)
    try expectInterpreted(kernel, contents(kernel), tolerance: 1e-6)
  }

  @Test(arguments: [DType.f32, .f16, .bf16, .f64], [(1, 1), (3, 10), (5, 64), (4, 1000)])
  func softmaxOfRows(_ dtype: DType, _ shape: (Int, Int)) throws {
    let kernel = softmaxKernel(rows: shape.0, columns: shape.1, dtype: dtype)
    try expectInterpreted(kernel, contents(kernel), tolerance: dtype == .bf16 ? 4e-3 : dtype == .f16 ? 5e-4 : 1e-6)
  }

  @Test(arguments: [DType.f32, .f16, .bf16, .f64], [(5, 3, 1), (64, 128, 64), (65, 130, 301), (7, 17, 33)])
  func linear(_ dtype: DType, _ size: (Int, Int, Int)) throws {
    for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
      let kernel = linearKernel(
        m: size.0, n: size.1, k: size.2, dtype: dtype, transposedLeft: left, transposedRight: right)
      try expectInterpreted(kernel, contents(kernel), tolerance: dtype == .bf16 ? 1e-2 : dtype == .f16 ? 1e-3 : 1e-4)
    }
  }
}
