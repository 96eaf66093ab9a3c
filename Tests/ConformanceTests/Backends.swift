import DeviceEmulator
import LTM
import LTMGraphPasses
import LTMIR
import LTMLLVM
import LTMPTX
import LTMRuntime
import LTMSupport
import OpCases
import TestSupport
import Testing

/// What is held against the interpreter in f64. A new backend is one case and one line.
enum Subject: String, CaseIterable {
  /// LLVM's kernels, fused.
  case cpu
  /// LLVM's kernels, one for each value.
  case cpuUnfused
  /// The interpreter, each op rounded.
  case interpreter
  /// Device kernels, in an emulator of warps.
  case sm80
  /// XLA's compiler for processors, given StableHLO through PJRT: what stands for a TPU.
  case xla

  /// Those whose code generator is ours.
  static let ours: [Subject] = [.cpu, .cpuUnfused, .interpreter, .sm80]

  /// Those that are here.
  static let present = allCases.filter { $0.missing == nil }

  /// Why it cannot be checked; `nil` where it can.
  var missing: String? {
    switch self {
    case .cpu, .cpuUnfused, .interpreter, .sm80: nil
    case .xla:
      InstalledTools.cpuPlugin == nil ? "no PJRT plugin in .build/tools; scripts/tools.sh installs it" : nil
    }
  }

  /// Whether every dtype of every case takes little time.
  var isQuick: Bool {
    switch self {
    case .cpu, .interpreter, .sm80: true
    case .cpuUnfused, .xla: false
    }
  }

  func backend() throws -> any Backend {
    switch self {
    case .cpu: CPUBackend(pool: try Shared.pool.get(), compiler: try Shared.compiler.get())
    case .cpuUnfused: CPUBackend(pool: try Shared.pool.get(), compiler: try Shared.compiler.get(), fuses: false)
    case .interpreter: try Execution(target: .interpreter).backend
    case .sm80: EmulatedBackend(.sm80)
    case .xla: try Shared.xla.get()
    }
  }
}

/// What all compilations of the suite share. No cache on disk: the emitters of today are checked.
private enum Shared {
  static let compiler = Result { try KernelCompiler(cache: nil) }
  static let pool = Result { try ThreadPool(threads: 2) }
  static let xla = Result { try Execution(target: .tpu, pjrtPlugin: InstalledTools.cpuPlugin).backend }
}

/// The fused kernels on a pool of its own.
func processor(threads: Int) throws -> any Backend {
  CPUBackend(pool: try ThreadPool(threads: threads), compiler: try KernelCompiler(cache: nil))
}

/// A graph as the backends take it: decomposed, simplified, verified after each pass.
func lowered(_ graph: Graph) throws -> Graph {
  try PassPipeline.lowering.run(graph, stage: [.bound, .afterCasts])
}

/// Runs a lowered graph once: outputs by their own names, updated inputs included.
func run(_ graph: Graph, on backend: any Backend, _ inputs: [String: Tensor]) throws -> [String: Tensor] {
  let executable = try backend.compile(graph)
  for (name, tensor) in inputs { try executable.write(tensor, to: name) }
  try executable.run()
  var results: [String: Tensor] = [:]
  for output in graph.outputs { results[output.name] = try executable.read(output.updates ?? output.name) }
  return results
}

/// What is not checked here is reported as skipped, with the reason.
@Suite struct SubjectTests {
  @Test(.enabled(if: Subject.xla.missing == nil, "\(Subject.xla.missing ?? "")")) func xlaIsJudged() throws {
    #expect(Subject.present == Subject.allCases)
    _ = try Subject.xla.backend()
  }
}
