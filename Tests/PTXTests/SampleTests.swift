import Foundation
import LTM
import LTMKernels
import LTMPTX
import TestSupport
import Testing

/// Every kernel of every sample, forward and whole training steps, as NVIDIA's assembler and disassembler see it: at every precision and
/// level with `LTM_WHOLE=1`, else at one of each kind of half.
@Suite("samples on GPUs")
struct SampleTests {
  static let levels: [(Precision, OptLevel)] =
    [(.thirtyTwo, .O0), (.sixteen, .O2), (.bf16, .O1)]
    + (isWhole ? [(.sixtyFour, .O0), (.sixteen, .O1), (.sixteen, .O3), (.bf16, .O2), (.bf16, .O3)] : [])

  static let plans: Result<[Plan], any Error> = Result {
    let folder = root.appending(path: "samples").path
    let samples = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".ltm") }.sorted()
    return try samples.flatMap { sample in
      try levels.flatMap { precision, level in
        let model = try Model(contentsOf: "\(folder)/\(sample)")
        let policy = try PrecisionPolicy(precision, level: level)
        return try [("forward", false), (nil, true)].map { entry, isStep in
          try Compilation(model: model, policy: policy, entry: entry, isTrainingStep: isStep).plan(
            epilogueReductions: false)
        }
      }
    }
  }

  /// Each kernel once.
  static func kernels(_ architecture: DeviceArchitecture) throws -> [Kernel] {
    var known = Set<String>()
    return try plans.get().flatMap { launchPlan($0, architecture).plan.kernels }
      .filter { known.insert($0.identity).inserted }
  }

  @Test(
    "are assembled, contractions without spills and on tensor cores",
    .enabled(if: CUDATools.noAssembler == nil, "\(CUDATools.noAssembler ?? "")"), arguments: DeviceArchitecture.allCases
  )
  func assemble(architecture: DeviceArchitecture) throws {
    let kernels = try Self.kernels(architecture)
    let ptx = try emitDevice(kernels, as: .ptx, architecture)
    #expect(!ptx.contains(".extern .func"), "a device has no library to call")
    if architecture == .sm70 { expectVolta(ptx, kernels) }
    let assembler = try #require(CUDATools.assembler)
    let assembled = try assembler.assemble(ptx, architecture: architecture.rawValue)
    #expect(!assembled.report.contains("serialized"), "products wait for each other")
    let report = Assembled.parse(assembled.report)
    #expect(report.count == kernels.count && kernels.count > 60)
    // NVIDIA's disassemblers of today know no Volta.
    let code =
      architecture == .sm70 || CUDATools.noDisassembler != nil ? [:] : try CUDATools.disassemble(assembled.code)
    for (kernel, symbol) in zip(kernels, deviceSymbols(kernels)) {
      let found = try #require(report[symbol], "\(symbol) is missing")
      let schedule = deviceSchedule(kernel, architecture).summary
      guard schedule.hasPrefix("contraction") else { continue }
      #expect(found.spilledBytes == 0, "\(symbol) spills")
      if !code.isEmpty { expectProducts(try #require(code[symbol]), schedule, symbol) }
    }
  }

  /// The products of halves are made by tensor cores, in the loop that moves operands where a depth has one.
  private func expectProducts(_ text: String, _ schedule: String, _ symbol: String) {
    guard !schedule.contains(" fma.") else { return }
    let type = schedule.contains(".bf16 ") ? ".BF16" : " "
    let product = schedule.contains(" wgmma.") ? /HGMMA\.64x\d+x16\.F32(\.BF16| )/ : /HMMA\.16816\.F32(\.BF16| )/
    let products = text.matches(of: product)
    #expect(!products.isEmpty && products.allSatisfy { $0.1 == type }, "\(symbol), \(schedule): no \(product)")
    let pipelines = CUDATools.loops(text).filter { $0.contains("LDSM") || $0.contains("LDGDEPBAR") }
    #expect(pipelines.allSatisfy { $0.contains(product) }, "\(symbol), \(schedule): a main loop without \(product)")
  }

  /// Halves go through its tensor cores, all else through none, and nothing past the registers.
  private func expectVolta(_ ptx: String, _ kernels: [Kernel]) {
    for missing in ["ldmatrix", "cp.async", "bf16.bf16", "m16n8k16"] { #expect(!ptx.contains(missing), "\(missing)") }
    let entries = ptx.components(separatedBy: ".visible .entry ").dropFirst()
    var products = 0
    for (kernel, entry) in zip(kernels, entries) {
      let isHalf = deviceSchedule(kernel, .sm70).summary.contains(" mma.m8n8k4.f16 ")
      products += isHalf ? 1 : 0
      #expect(entry.contains("mma.sync.aligned.m8n8k4") == isHalf, "\(kernel.name)")
    }
    #expect(products > 0 && entries.count == kernels.count)
  }

  @Test("launch every kernel within a GPU's limits", arguments: DeviceArchitecture.allCases)
  func launches(architecture: DeviceArchitecture) throws {
    for plan in try Self.plans.get() {
      let launches = launchPlan(plan, architecture)
      #expect(launches.problem == nil && launches.launched.count == launches.plan.launches.count)
      #expect(launches.plan.verify() == [])
      for (launch, entry) in launches.launched {
        #expect(1...1024 ~= entry.schedule.block && entry.schedule.block % 32 == 0)
        #expect(1...Int(Int32.max) ~= entry.schedule.grid)
        #expect(launch.arguments.count == entry.readOnly.count)
        // What is only read is read past the coherent caches, so nothing may write it.
        #expect(Set(launch.arguments).count == launch.arguments.count, "\(entry.symbol) has a buffer twice")
      }
    }
  }
}
