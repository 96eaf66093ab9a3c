import Fuzzing
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMSupport
import Testing

@Suite struct TextTests {
  @Test("every kernel's text reads back as the kernel", arguments: samples, [true, false])
  func roundTrip(_ sample: SampleGraph, _ fuse: Bool) throws {
    for var kernel in try buildPlan(sample.graph, fuse: fuse).kernels {
      #expect(kernel.locations.isEmpty || kernel.origins.count == kernel.expressions.count)
      // Which expression came from where is no part of the text.
      kernel.origins = []
      let read = try parseKernels(SourceFile(path: "k", text: kernel.description))
      #expect(read == [kernel], "\(kernel)\n\(read.first?.description ?? "")")
      #expect(read.first?.identity == kernel.identity)
    }
  }

  @Test("names and places are no part of the identity")
  func identity() throws {
    let one =
      "kernel @a(%0 x: f32[4] read, %1 y: f32[4] write) {\n  at a.ltm:1:2\n  domain m: 4\n  y[m] = exp(x[m])\n}\n"
    let other = "kernel @b(%0 in: f32[4] read, %1 out: f32[4] write) {\n  domain n: 4\n  out[n] = exp(in[n])\n}\n"
    let kernels = try parseKernels(SourceFile(path: "k", text: one + other))
    #expect(kernels.map(\.locations.count) == [1, 0])
    #expect(kernels[0].identity == kernels[1].identity)
    #expect(kernels[0].description == one)
  }

  @Test("mutated text is an error or a kernel, never a crash", arguments: 0..<8)
  func mutations(_ seed: Int) throws {
    let sample = samples[seed % samples.count]
    let text = try Array(buildPlan(sample.graph).kernels.map(\.description).joined().utf8)
    var state = UInt64(seed + 1)
    func next(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    var errors = 0
    for _ in 0..<fuzzRounds(100) {
      var mutated = text
      for _ in 0..<3 { mutated[next(mutated.count)] = text[next(text.count)] }
      do {
        for kernel in try parseKernels(SourceFile(path: "k", text: String(decoding: mutated, as: UTF8.self))) {
          _ = kernel.verify()
        }
      } catch { errors += 1 }
    }
    #expect(errors > 0)
  }
}
