import CTiles
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// This machine, were it to have AMX beside its own vectors.
private let tiled: TargetProfile? = {
  let host = TargetProfile.host
  let profile = TargetProfile(
    name: "tiles", triple: host.triple, cpu: host.cpu, features: host.features + ",+amx-tile,+amx-bf16")
  return profile.hasTiles ? profile : nil
}()

/// AMX, on this processor or by a handler that computes its instructions where the processor refuses them.
@Suite(.enabled(if: tiled != nil, "AMX belongs to x86-64 with AVX2"))
struct TileTests {
  /// Whole tiles; rows, columns and depth that end within one; several blocks of depth; few rows, one column tile.
  static let sizes = [
    (32, 32, 32), (40, 70, 98), (5, 33, 64), (33, 100, 258), (64, 48, 784), (20, 16, 34), (70, 40, 2146),
    (40, 50, 65), (33, 36, 2111), (6, 20, 7),
  ]

  @Test(arguments: sizes) func productsAreTheJudges(_ size: (m: Int, n: Int, k: Int)) throws {
    for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
      try check(
        linearKernel(
          m: size.m, n: size.n, k: size.k, dtype: .bf16, transposedLeft: left, transposedRight: right, epilogue: false),
        tiles: true)
    }
  }

  @Test func batchesAndEpilogues() throws {
    try check(linearKernel(m: 40, n: 50, k: 66, dtype: .bf16, batch: 3), tiles: true)
    try check(linearKernel(m: 300, n: 64, k: 96, dtype: .bf16, transposedLeft: true, batch: 2), tiles: true)
  }

  @Test(arguments: [(40, 70, 98), (300, 64, 96), (70, 40, 2146)]) func epilogueReductions(
    _ size: (m: Int, n: Int, k: Int)
  ) throws {
    var maker = KernelMaker("epilogueReductions", domain: [])
    maker.kernel = linearKernel(m: size.m, n: size.n, k: size.k, dtype: .bf16)
    guard let value = maker.kernel.body.last?.roots.first else { return }
    let (sums, finite) = (maker.buffer(.bf16, [size.n], .write), maker.buffer(.bool, [], .write))
    maker.epilogue(sums, [1], .add, over: [0], maker.apply(.add, [value, maker.constant(1)]))
    maker.epilogue(finite, [], .and, over: [0, 1], maker.apply(.isFinite, [value]))
    try check(maker.kernel, tiles: true)
  }

  @Test("halves of the other format are not tiles'")
  func othersAreWidened() throws {
    try check(linearKernel(m: 40, n: 50, k: 64, dtype: .f16), tiles: false)
  }

  @Test func sapphireRapidsKeepsTilesInRegisters() throws {
    let profile = try #require(TargetProfile.named("sapphirerapids"))
    let kernel = linearKernel(m: 64, n: 128, k: 64, dtype: .bf16)
    func text(_ profile: TargetProfile) throws -> String {
      String(decoding: try emit(kernel, as: .assembly, profile: profile), as: UTF8.self)
    }
    let tile = try #require(try text(profile.jitted).components(afterLabel: "linear.tile:"))
    let lines = tile.split(separator: "\n")
    #expect(lines.filter { $0.contains("tdpbf16ps") }.count == 4)
    #expect(lines.filter { $0.contains("tileloadd") }.count == 4 && !tile.contains("Spill"))
    // A C program has not asked for tiles: its object has none.
    #expect(try !text(profile).contains("tdpbf16ps"))
  }

  /// Every order of tasks gives the same bits, near the sums in f64 of what the buffers hold.
  private func check(_ kernel: Kernel, tiles: Bool) throws {
    try #require(ltm_tiles_emulate() == 0)
    let before = ltm_tiles_computed()
    let compiler = try KernelCompiler(profile: #require(tiled), cache: nil)
    let compiled = try #require(try compiler.compile([kernel]).first)
    guard case .contraction(let numbers) = compiled.schedule.strategy else {
      return #expect(Bool(false), "\(compiled.schedule)")
    }
    #expect((numbers.tile.multiply == .tileBF16) == tiles)
    let data = zip(kernel.buffers, contents(kernel)).map { buffer, values in values.map(buffer.dtype.round) }
    let results = try TaskOrder.allCases.map { try launch(compiled, kernel, data, order: $0) }
    #expect(results.allSatisfy { $0 == results[0] })
    let interpreted = interpreted(kernel, data)
    for written in kernel.buffers.indices where kernel.buffers[written].access == .write {
      expectClose(
        results[0][written].doubles, interpreted[written], .relative(8e-3), "\(kernel.buffers.map(\.shape)): ")
    }
    if tiles, !TargetProfile.host.hasTiles { #expect(ltm_tiles_computed() > before) }
  }
}
