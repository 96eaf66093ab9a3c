import LTMIR
import LTMKernels
import LTMLLVM
import Testing

private func isTiled(_ kernel: Kernel, _ profile: TargetProfile = .host) -> Bool {
  if case .contraction = schedule(kernel, profile).strategy { true } else { false }
}

/// This machine with what a narrower one has: six rows a tile, lines read in place.
private let narrow: KernelCompiler? = {
  let profile = TargetProfile.named("x86-64-v3")
  let runs = TargetProfile.host.architecture == .x86_64 && TargetProfile.host.vectorBytes >= 32
  return runs ? profile.flatMap { try? KernelCompiler(profile: $0, cache: nil) } : nil
}()

@Suite struct EpilogueTests {
  private func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .f64: 1e-11
    case .f16: 2e-3
    case .bf16: 1.6e-2
    case .float, .f32, .i32, .i64, .u8, .bool: 1e-4
    }
  }

  /// Whole tiles, edges either way, a single row tile and several, a transposed result, several blocks of depth; and what no
  /// tile is made of.
  @Test(
    arguments: [
      (48, 64, 32), (7, 17, 33), (33, 100, 257), (13, 530, 20), (32, 37, 130), (1500, 40, 12), (25, 50, 3000),
      (520, 530, 8), (30, 200, 129), (1, 64, 64), (3, 17, 5), (6, 16, 1),
    ],
    [DType.f32, .f16, .bf16, .f64])
  func agreeWithTheJudge(_ size: (Int, Int, Int), _ dtype: DType) throws {
    for (left, right) in [(false, true), (true, false)] {
      let kernel = reducingKernel(m: size.0, n: size.1, k: size.2, dtype, left: left, right: right)
      try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype))
      if let narrow { try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype), by: narrow) }
    }
  }

  @Test("a result that nothing else reads is not stored", arguments: [(40, 70, 30), (3, 70, 30), (1000, 20, 9)])
  func withoutStore(_ size: (Int, Int, Int)) throws {
    let kernel = reducingKernel(m: size.0, n: size.1, k: size.2, .f32, stores: false)
    #expect(isTiled(kernel) == (size.0 >= 4))
    try expectInterpreted(kernel, contents(kernel), tolerance: 1e-4)
  }

  @Test(arguments: [(3, 20, 40, 9), (2, 400, 70, 30), (5, 3, 20, 8)], [DType.f32, .f16, .f64])
  func batches(_ size: (Int, Int, Int, Int), _ dtype: DType) throws {
    let kernel = reducingKernel(m: size.1, n: size.2, k: size.3, dtype, right: true, batch: size.0)
    try expectInterpreted(kernel, contents(kernel), tolerance: tolerance(dtype))
  }

  @Test("shapes take the ways that they are chosen for") func shapes() throws {
    #expect(isTiled(reducingKernel(m: 48, n: 64, k: 32, .f32)))
    let deep = schedule(reducingKernel(m: 25, n: 50, k: 3000, .f32, right: false), .host)
    let transposed = schedule(reducingKernel(m: 30, n: 200, k: 129, .f16, right: true), .host)
    guard case .contraction(let blocks) = deep.strategy, case .contraction(let lines) = transposed.strategy else {
      return #expect(Bool(false), "not tiled")
    }
    #expect(!blocks.isSinglePass && lines.isTransposed == (TargetProfile.host.architecture == .x86_64))
    #expect(deep.conclusions == 1 && deep.phases.last == deep.taskCount - 1..<deep.taskCount)
    let small = schedule(reducingKernel(m: 3, n: 64, k: 32, .f32), .host)
    #expect(small.name == "rows" && small.preparations == 4 && small.conclusions == 0)
  }

  @Test(
    "tasks in any order give the same bits", arguments: [(300, 700, 90), (1500, 40, 12), (2, 50, 60), (40, 70, 3000)],
    [DType.f32, .bf16])
  func sameBits(_ size: (Int, Int, Int), _ dtype: DType) throws {
    let kernel = reducingKernel(m: size.0, n: size.1, k: size.2, dtype)
    let data = contents(kernel)
    let results = try TaskOrder.allCases.map { try launch(kernel, data, order: $0) }
    #expect(results.allSatisfy { $0 == results[0] })
  }

  /// The last element alone is no number: a product beyond the dtype, or two that cancel.
  @Test(
    arguments: [(48, 64, 32), (33, 101, 40), (700, 35, 12), (30, 200, 129), (25, 50, 3000), (3, 17, 5)],
    [DType.f32, .f16, .bf16, .f64])
  func oneElementShows(_ size: (Int, Int, Int), _ dtype: DType) throws {
    let (m, n, k) = size
    let large: Double =
      switch dtype {
      case .f16: 60_000
      case .f64: 1e200
      default: 1e30
      }
    for right in [false, true] {
      let kernel = reducingKernel(m: m, n: n, k: k, dtype, right: right, epilogue: false)
      let finite = try #require(kernel.buffers.firstIndex { $0.dtype == .bool })
      func isFinite(_ factors: [Double]) throws -> Bool {
        var data = contents(kernel).map { $0.map { min(max($0, -1), 1) } }
        for (step, factor) in factors.enumerated() {
          data[0][(m - 1) * k + k - 1 - step] = large
          data[1][right ? (n - 1) * k + k - 1 - step : (k - 1 - step) * n + n - 1] = factor
        }
        return try launch(kernel, data)[finite].doubles == [1]
      }
      #expect(try isFinite([]))
      #expect(try !isFinite([large]), "an infinity")
      #expect(try !isFinite([.nan]), "a NaN")
    }
  }

  @Test("an update in place is reduced before it replaces what it reads", arguments: [20, 3])
  func inPlace(_ m: Int) throws {
    var maker = KernelMaker("update", domain: [m, 40], inner: [12])
    let (x, w) = (maker.buffer(.f32, [m, 12]), maker.buffer(.f32, [12, 40]))
    let (y, sums) = (maker.buffer(.f32, [m, 40], .readWrite), maker.buffer(.f32, [40], .write))
    let product = maker.contract(over: [2], maker.load(x, [0, 2]), maker.load(w, [2, 1]))
    let old = maker.load(y, [0, 1])
    maker.store(y, [0, 1], maker.apply(.sub, [old, product]))
    maker.epilogue(sums, [1], .add, over: [0], maker.apply(.mul, [old, product]))
    try expectInterpreted(maker.kernel, contents(maker.kernel), tolerance: 1e-4)
  }

  @Test("every profile compiles them", arguments: TargetProfile.named, [DType.f32, .f16, .bf16, .f64])
  func profiles(_ profile: TargetProfile, _ dtype: DType) throws {
    for (m, n) in [(40, 70), (30, 200), (3, 5), (5, 12)] {
      let kernel = reducingKernel(m: m, n: n, k: 130, dtype, right: true)
      #expect(try !emit(kernel, as: .object, profile: profile).isEmpty)
    }
  }
}
