import Foundation
import LTM
import LTMKernels
import LTMPTX
import Testing

/// Every kernel of every sample, forward and whole training steps, in every precision.
@Suite("samples on GPUs")
struct SampleTests {
  static let levels: [(Precision, OptLevel)] = [
    (.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.sixteen, .O3), (.bf16, .O1), (.bf16, .O2),
  ]

  /// The samples' plans, by level.
  static let plans: Result<[(level: OptLevel, plan: Plan)], any Error> = Result {
    let folder = root.appending(path: "samples").path
    let samples = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".ltm") }.sorted()
    return try samples.flatMap { sample in
      try levels.flatMap { precision, level in
        let model = try Model(contentsOf: "\(folder)/\(sample)")
        let policy = try PrecisionPolicy(precision, level: level)
        return try [("forward", false), (nil, true)].map { entry, isStep in
          (level, try Compilation(model: model, policy: policy, entry: entry, isTrainingStep: isStep).plan())
        }
      }
    }
  }

  /// Each kernel once. Hopper's differ from Ampere's in few instructions, which O2 shows.
  static func kernels(_ architecture: DeviceArchitecture) throws -> [Kernel] {
    let isOwn = architecture == .sm70 || architecture == .sm80
    var known = Set<String>()
    return try plans.get().filter { isOwn || $0.level == .O2 }
      .flatMap { launchPlan($0.plan, architecture).plan.kernels }
      .filter { known.insert($0.identity).inserted }
  }

  @Test(
    "are assembled, contractions without spills", .enabled(if: Tools.noAssembler == nil, "\(Tools.noAssembler ?? "")"),
    arguments: DeviceArchitecture.allCases)
  func assemble(architecture: DeviceArchitecture) throws {
    let kernels = try Self.kernels(architecture)
    let ptx = try emitDevice(kernels, as: .ptx, architecture)
    #expect(!ptx.contains(".extern .func"), "a device has no library to call")
    let assembler = try #require(Tools.assembler)
    let report = Assembled.parse(try assembler.assemble(ptx, architecture: architecture.rawValue).report)
    #expect(report.count == kernels.count && kernels.count > 60)
    for (kernel, symbol) in zip(kernels, deviceSymbols(kernels)) {
      let assembled = try #require(report[symbol], "\(symbol) is missing")
      let isContraction = deviceSchedule(kernel, architecture).summary.hasPrefix("contraction")
      if isContraction { #expect(assembled.spilledBytes == 0, "\(symbol) spills") }
    }
  }

  @Test("launch every kernel within a GPU's limits", arguments: DeviceArchitecture.allCases)
  func launches(architecture: DeviceArchitecture) throws {
    for (_, plan) in try Self.plans.get() {
      let launches = launchPlan(plan, architecture)
      #expect(launches.problem == nil && launches.launched.count == launches.plan.launches.count)
      #expect(launches.plan.verify() == [])
      for (launch, entry) in launches.launched {
        #expect(1...1024 ~= entry.schedule.block && entry.schedule.block % 32 == 0)
        #expect(1...Int(Int32.max) ~= entry.schedule.grid)
        #expect(launch.arguments.count == entry.readOnly.count)
      }
    }
  }
}
