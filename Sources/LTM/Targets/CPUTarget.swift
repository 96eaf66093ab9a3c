import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import LTMMPI
import LTMRuntime
import LTMSupport

extension CPUBackend: TargetBackend {
  static var stages: [Stage] { Stage.allCases }

  init(_ request: TargetRequest) throws(LTMError) {
    let pool = try reporting { try ThreadPool(threads: request.threads ?? ThreadPool.coreCount) }
    let compiler = try request.clock.time("LLVM") { () throws(LTMError) in try reporting { try KernelCompiler() } }
    self.init(pool: pool, compiler: compiler, clock: request.clock, ranks: request.ranks)
  }

  var threads: Int { pool.threads }

  static func status(_ request: TargetRequest) -> TargetStatus {
    let profile = TargetProfile.host
    let known = ["avx2", "fma", "f16c", "avx512f", "avx512bf16", "avx512fp16", "amx-bf16", "neon", "fullfp16", "bf16"]
    let all = Set(profile.features.split(separator: ",").filter { $0.hasPrefix("+") }.map { String($0.dropFirst()) })
    let features = known.filter(all.contains)
    return TargetStatus(
      target: .cpu, runs: true,
      found: [
        "\(profile.cpu), \(profile.vectorBytes * 8)-bit vectors: \(features.joined(separator: " "))",
        "\(ThreadPool.coreCount) threads; --threads takes fewer or more",
      ] + ranks(), missing: [])
  }

  /// What starts and joins several processes here.
  private static func ranks() -> [String] {
    let libraries = installedMPILibraries()
    return libraries.isEmpty
      ? ["ranks: no MPI library; with Open MPI or MPICH installed, 'mpirun -np 4 ltm train' runs four processes"]
      : libraries.map { "ranks: \($0)" }
  }

  static func choices(of compilation: Compilation, architecture: String?) throws(LTMError) -> TargetChoices {
    TargetChoices(cpu: try compilation.plan())
  }

  static func dump(_ graph: Graph, architecture: String?) throws(LTMError) -> [(name: String, text: String)] {
    let plan = try reporting { try buildPlan(graph) }
    return [
      ("kernels.txt", plan.description), ("kernels.ll", try text(of: plan, as: .llvmIR)),
      ("kernels.s", try text(of: plan, as: .assembly)),
    ]
  }

  /// The kernels as they run here, in a form that is text.
  static func text(of plan: Plan, as form: EmittedForm, lines folder: String? = nil) throws(LTMError) -> String {
    try reporting {
      try plan.kernels.map {
        String(decoding: try LTMLLVM.emit($0, as: form, profile: .host.jitted, lines: folder), as: UTF8.self)
      }.joined(separator: "\n")
    }
  }
}

extension TargetChoices {
  fileprivate init(cpu plan: Plan) {
    let profile = TargetProfile.host.jitted
    self.init(
      title:
        "target cpu: \(profile.cpu), \(profile.vectorBytes * 8)-bit vectors; \(plan.launches.count) launches, arena "
        + "\(plan.arenaBytes) bytes",
      columns: ["kernel", "strategy", "tasks", "lines"],
      rows: plan.launches.map { launch in
        let kernel = plan.kernels[launch.kernel]
        let schedule = schedule(kernel, profile)
        return [
          kernel.name + (launch.runs == 1 ? "" : " x \(launch.runs)"), schedule.name, "\(schedule.taskCount)",
          lines(of: kernel),
        ]
      })
  }
}
