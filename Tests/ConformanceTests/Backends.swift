import DeviceEmulator
import LTM
import LTMGraphPasses
import LTMIR
import LTMLLVM
import LTMPTX
import LTMRuntime
import LTMSupport

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

  func backend() throws -> any Backend {
    switch self {
    case .cpu: CPUBackend(pool: try Shared.pool.get(), compiler: try Shared.compiler.get())
    case .cpuUnfused: CPUBackend(pool: try Shared.pool.get(), compiler: try Shared.compiler.get(), fuses: false)
    case .interpreter: try Execution(target: .interpreter).backend
    case .sm80: EmulatedBackend(.sm80)
    }
  }
}

/// What all compilations of the suite share. No cache on disk: the emitters of today are judged.
private enum Shared {
  static let compiler = Result { try KernelCompiler(cache: nil) }
  static let pool = Result { try ThreadPool(threads: 2) }
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
