import LTMIR
import LTMKernels
import LTMLLVM
import Testing

/// A kernel's assembly for a named profile.
private func assembly(_ kernel: Kernel, _ profile: String) throws -> String {
  let profile = try #require(TargetProfile.named(profile))
  return String(decoding: try emit(kernel, as: .assembly, profile: profile), as: UTF8.self)
}

@Suite struct ProfileTests {
  @Test func avx2ContractionUsesFMAOnYMM() throws {
    let text = try assembly(linearKernel(m: 64, n: 64, k: 64, dtype: .f32), "x86-64-v3")
    #expect(text.contains("vfmadd231ps") && text.contains("%ymm") && !text.contains("%zmm"))
  }

  @Test func avx512ContractionUsesZMM() throws {
    let text = try assembly(linearKernel(m: 64, n: 64, k: 64, dtype: .f32), "x86-64-v4")
    let fused = text.split(separator: "\n").filter { $0.contains("vfmadd231ps") && $0.contains("%zmm") }
    #expect(fused.count >= 24)
  }

  @Test func neonContractionUsesFMLA() throws {
    let text = try assembly(linearKernel(m: 64, n: 64, k: 64, dtype: .f32), "aarch64")
    #expect(text.contains("fmla"))
  }

  @Test(
    arguments: ["x86-64-v3", "x86-64-v4", "znver4", "sapphirerapids", "aarch64", "neoverse-v1"],
    [DType.f16, .bf16, .f32])
  func registerTilesDoNotSpill(_ profile: String, _ dtype: DType) throws {
    let text = try assembly(linearKernel(m: 64, n: 128, k: 64, dtype: dtype), profile)
    let tile = try #require(text.components(afterLabel: "linear.tile:"))
    // Saved callee registers of AArch64 apart, a tile keeps its sums in registers.
    #expect(!tile.contains("Spill") || profile == "aarch64" || profile == "neoverse-v1", "\(profile) spills")
  }

  @Test(arguments: [("znver4", "vdpbf16ps", 24), ("sapphirerapids", "vdpbf16ps", 24), ("neoverse-v1", "bfdot", 24)])
  func bf16IsMultipliedInPairs(_ profile: String, _ instruction: String, _ sums: Int) throws {
    let text = try assembly(linearKernel(m: 64, n: 128, k: 64, dtype: .bf16), profile)
    let tile = try #require(text.components(afterLabel: "linear.tile:"))
    #expect(tile.split(separator: "\n").filter { $0.contains(instruction) }.count >= sums)
    #expect(!tile.contains("vfmadd") && !tile.contains("fmla"))
    // An odd depth ends in half a pair; values that are not bf16 are widened.
    #expect(try assembly(linearKernel(m: 64, n: 128, k: 63, dtype: .bf16), profile).contains(instruction))
    #expect(try !assembly(linearKernel(m: 64, n: 128, k: 64, dtype: .f16), profile).contains(instruction))
    #expect(try !assembly(linearKernel(m: 64, n: 128, k: 64, dtype: .bf16), "x86-64-v3").contains(instruction))
  }

  /// Processors whose AVX-512 lacks a part: nothing of it may be selected, since LLVM would end the process.
  @Test(arguments: [DType.f16, .bf16])
  func withoutDQ(_ dtype: DType) throws {
    let profile = TargetProfile(
      name: "no dq", triple: "x86_64-unknown-linux-gnu", cpu: "x86-64-v3",
      features: "+avx2,+fma,+f16c,+avx512f,+avx512bf16,-avx512dq")
    for kernel in [unaryKernel(.exp, dtype, 100), softmaxKernel(rows: 4, columns: 70, dtype: dtype)] {
      let text = String(decoding: try emit(kernel, as: .assembly, profile: profile), as: UTF8.self)
      #expect(text.contains("%zmm") && !text.contains("vfpclass") && !text.contains("vreduce"))
    }
  }

  @Test func operandsThatTilesShareArePackedFirst() throws {
    let large = schedule(linearKernel(m: 1200, n: 512, k: 512, dtype: .f16), .host)
    guard case .contraction(let tiles) = large.strategy else { return #expect(Bool(false), "\(large)") }
    #expect(tiles.operands == .columnsFirst(rows: .packed(.once), columns: .packed(.once)) && tiles.isSinglePass)
    #expect(large.phases.count == 2 && large.phases[0].lowerBound == 0)
    #expect(large.phases[0].upperBound == large.phases[1].lowerBound && large.phases[1].upperBound == large.taskCount)
    #expect(large.workspaceBytes >= (1200 * 512 + 512 * 512) * 4)
    let small = schedule(linearKernel(m: 32, n: 64, k: 64, dtype: .f32), .host)
    #expect(small.phases == [0..<1] && small.workspaceBytes == 0)
    // Columns that one tile of rows needs are packed by the tasks.
    let flat = schedule(linearKernel(m: 64, n: 1024, k: 1024, dtype: .f16), .host)
    guard case .contraction(let narrow) = flat.strategy else { return #expect(Bool(false), "\(flat)") }
    #expect(narrow.operands.rows == .once && narrow.operands.columns != .once)
    let empty = schedule(binaryKernel(.add, .f32, 0), .host)
    #expect(empty.phases.isEmpty)
  }

  @Test func linesAlongTheDepthAreNotPackedAsRows() throws {
    func tiles(
      _ m: Int, _ dtype: DType, n: Int = 100, k: Int = 300, left: Bool = false, right: Bool = false,
      _ name: String = "x86-64-v3"
    ) throws -> Schedule.Tiles {
      let kernel = linearKernel(m: m, n: n, k: k, dtype: dtype, transposedLeft: left, transposedRight: right)
      let schedule = schedule(kernel, try #require(TargetProfile.named(name)))
      guard case .contraction(let tiles) = schedule.strategy else { throw Failure(text: "\(schedule)") }
      return tiles
    }
    let plain = try tiles(400, .f32)
    #expect(plain.operands.lines == .unpacked(stride: 300) && !plain.isTransposed)
    #expect(try tiles(400, .f16).operands.lines == nil && tiles(400, .f32, left: true).operands.lines == nil)
    // Few rows, and columns that lie along the depth.
    let few = try tiles(32, .f32, right: true)
    #expect(few.operands.lines == .unpacked(stride: 300) && few.isTransposed)
    #expect(try tiles(32, .bf16, right: true).operands.lines == .copied && !tiles(18, .f32, right: true).isTransposed)
    #expect(try !tiles(400, .f32, right: true).isTransposed && !tiles(32, .f16).isTransposed)
    // Pairs of bf16 are read as they are, an odd depth's too.
    #expect(try tiles(400, .bf16, n: 200, k: 301, "znver4").operands.lines == .unpacked(stride: 301))
    #expect(
      try tiles(400, .bf16, n: 200, k: 301).operands.lines == nil && tiles(40, .bf16, "znver4").operands.lines == nil)
    // Whole pages apart.
    #expect(
      try tiles(400, .f32, k: 1024).operands.lines == nil
        && tiles(64, .f32, k: 1024).operands.lines == .unpacked(stride: 1024))
    // More lines than registers for their addresses, and than a set of the first cache has room for.
    #expect(try tiles(400, .f32, "x86-64-v4").operands.lines == nil)
    #expect(try tiles(500, .f32, n: 400, k: 500, "x86-64-v4").operands.lines == .unpacked(stride: 500))
    #expect(try tiles(512, .f32, n: 1024, k: 500, "x86-64-v4").operands.lines == nil)
    #expect(try tiles(32, .f32, right: true, "x86-64-v4").operands.lines == .unpacked(stride: 300))
    #expect(try tiles(32, .f32, k: 1024, right: true, "x86-64-v4").operands.lines == .copied)
  }

  /// Weights are held twice up to 32 MB, those of all batches together.
  @Test(arguments: [(nil, true), (4, true), (16, false)])
  func largeWeightsAreNotKept(_ batch: Int?, _ isKept: Bool) {
    var kernel = linearKernel(m: 32, n: 1024, k: 1024, dtype: .f32, batch: batch)
    kernel.buffers[1].access = .constant
    let schedule = schedule(kernel, .host.jitted)
    #expect(schedule.prepackPhases.isEmpty != isKept)
    #expect(schedule.workspaceBytes < 64 << 20)
  }

  private struct Failure: Error { let text: String }

  @Test(arguments: [(1 << 21, false), (1 << 22, true)])
  func largeResultsGoPastTheCaches(_ count: Int, _ streams: Bool) throws {
    var profile = try #require(TargetProfile.named("x86-64-v3"))
    let kernel = binaryKernel(.add, .f32, count)
    let plain = String(decoding: try emit(kernel, as: .assembly, profile: profile), as: UTF8.self)
    // A C program's buffers need not be aligned.
    #expect(!plain.contains("vmovntps"))
    profile.streamsStores = true
    let text = String(decoding: try emit(kernel, as: .assembly, profile: profile), as: UTF8.self)
    #expect(text.contains("vmovntps") == streams)
    #expect(text.contains("sfence") == streams)
  }

  /// Rows of an odd length: no vector but the first row's may go past the caches, which wants them aligned.
  @Test func unalignedLargeResultsAreStored() throws {
    var maker = KernelMaker("odd", domain: [1025, 4099])
    let x = maker.buffer(.f32, [1025])
    let y = maker.buffer(.f32, [1025, 4099], .write)
    maker.store(y, [0, 1], maker.load(x, [0]))
    let x0 = (0..<1025).map(Double.init)
    let result = try launch(maker.kernel, [x0, [Double](repeating: 0, count: 1025 * 4099)])[1].doubles
    #expect(result.indices.allSatisfy { result[$0] == Double($0 / 4099) })
  }

  @Test func formulasForF16AreShorter() throws {
    let exact = try assembly(unaryKernel(.exp, .f16, 4096, result: .f32), "x86-64-v3")
    let short = try assembly(unaryKernel(.exp, .f16, 4096), "x86-64-v3")
    #expect(short.split(separator: "\n").count < exact.split(separator: "\n").count)
  }

  @Test func costCountsOperandsOnceAndWorkAtEveryPoint() {
    let product = KernelCost(linearKernel(m: 8, n: 16, k: 32, dtype: .f16))
    #expect(product.bytes == Double(2 * (8 * 32 + 16 * 32 + 16 + 8 * 16)))
    #expect(product.flops >= Double(2 * 8 * 16 * 32 + 8 * 16))
    #expect(product.flops <= Double(2 * 8 * 16 * 32 + 4 * 8 * 16))
    let sum = KernelCost(binaryKernel(.add, .f32, 100))
    #expect(sum.bytes == 1200)
    #expect(sum.flops == 100)
  }

  @Test(arguments: [
    ("x86-64-v3", "vcvtph2ps", "vcvtps2ph"), ("x86-64-v4", "vcvtph2ps", "vcvtps2ph"), ("aarch64", "fcvtl", "fcvtn"),
  ])
  func halvesAreConvertedByInstructions(_ profile: String, _ widen: String, _ narrow: String) throws {
    let text = try assembly(binaryKernel(.add, .f16, 1000), profile)
    #expect(text.contains(widen) && text.contains(narrow) && !text.contains("call"))
  }

  @Test func bf16IsNarrowedByInstructionWhereThereIsOne() throws {
    let with = try assembly(binaryKernel(.add, .bf16, 1000), "znver4")
    #expect(with.contains("vcvtneps2bf16"))
    let without = try assembly(binaryKernel(.add, .bf16, 1000), "x86-64-v3")
    #expect(!without.contains("vcvtneps2bf16") && !without.contains("call"))
  }

  @Test(arguments: ["exp", "log", "tanh", "erf", "expm1", "log1p"], ["x86-64-v3", "x86-64-v4", "aarch64"])
  func polynomialsCallNothing(_ name: String, _ profile: String) throws {
    let primitive = try #require(Primitive(rawValue: name))
    let text = try assembly(unaryKernel(primitive, .f16, 1000), profile)
    #expect(!text.contains("call") && !text.contains("\tbl\t"))
  }

  @Test func everyFormIsEmitted() throws {
    let kernel = softmaxKernel(rows: 4, columns: 100, dtype: .f16)
    for form in EmittedForm.allCases {
      let text = try emit(kernel, as: form, profile: .host)
      #expect(!text.isEmpty, "\(form)")
    }
    let text = String(decoding: try emit(kernel, as: .llvmIR, profile: .host), as: UTF8.self)
    #expect(text.contains("define void @softmax(ptr %0, i64 %1, i64 %2, ptr %3)"))
  }

  @Test func schedulesDependOnShapesAlone() throws {
    let large = schedule(linearKernel(m: 512, n: 512, k: 512, dtype: .f32), .host)
    guard case .contraction = large.strategy else { return #expect(Bool(false), "\(large)") }
    #expect(large.taskCount >= 4)
    guard
      case .product = schedule(linearKernel(m: 1, n: 512, k: 512, dtype: .f16, transposedRight: true), .host).strategy,
      case .rows = schedule(linearKernel(m: 1, n: 512, k: 512, dtype: .f32, transposedRight: true), .host).strategy,
      case .axpy = schedule(linearKernel(m: 1, n: 512, k: 512, dtype: .f32), .host).strategy,
      case .axpy = schedule(linearKernel(m: 3, n: 512, k: 512, dtype: .bf16), .host).strategy,
      case .product = schedule(linearKernel(m: 3, n: 512, k: 512, dtype: .f32, transposedRight: true), .host).strategy,
      case .columns = schedule(reduceKernel(.add, m: 100, n: 64, dtype: .f32, overRows: true, result: .f32), .host)
        .strategy,
      case .rows = schedule(reduceKernel(.add, m: 100, n: 64, dtype: .f32, overRows: false, result: .f32), .host)
        .strategy,
      case .pointwise = schedule(binaryKernel(.add, .f16, 100), .host).strategy
    else { return #expect(Bool(false), "a strategy changed") }
  }
}

extension String {
  /// The text after a label, up to the end of its function.
  func components(afterLabel label: String) -> String? {
    guard let start = range(of: label) else { return nil }
    let rest = self[start.upperBound...]
    return String(rest.range(of: ".size").map { rest[..<$0.lowerBound] } ?? rest)
  }

  private func range(of text: String) -> Range<String.Index>? { firstRange(of: text) }
}

extension Substring {
  fileprivate func range(of text: String) -> Range<String.Index>? { firstRange(of: text) }
}
