import LTMIR
import LTMKernels
import LTMLLVM
import Testing

@Suite struct ArithmeticTests {
  @Test("a kernel is held against the peak of its own instructions")
  func arithmetic() throws {
    let cases: [(DType, String, Arithmetic)] = [
      (.bf16, "x86-64-v3", .f32), (.bf16, "znver4", .bf16), (.bf16, "sapphirerapids", .tiles), (.f16, "znver4", .f32),
      (.f64, "znver4", .f64), (.f32, "sapphirerapids", .f32), (.bf16, "neoverse-v1", .bf16),
    ]
    for (dtype, name, expected) in cases {
      var profile = try #require(TargetProfile.named(name))
      profile.usesTiles = profile.hasTiles
      let kernel = linearKernel(m: 64, n: 64, k: 64, dtype: dtype)
      #expect(schedule(kernel, profile).arithmetic(of: kernel) == expected, "\(dtype) \(name)")
    }
    for (dtype, expected) in [(DType.f64, Arithmetic.f64), (.bf16, .f32), (.i64, .f32)] {
      let kernel = binaryKernel(.add, dtype, 100)
      #expect(schedule(kernel, .host).arithmetic(of: kernel) == expected)
    }
  }
}
