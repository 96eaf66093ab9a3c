import LTMLLVM
import LTMRuntime
import LTMSupport

/// A target with its resources, shared by everything compiled for it.
public struct Execution: Sendable {
  /// Where entries run.
  public let target: Target
  /// The number of threads. Results do not depend on it.
  public let threads: Int
  package let backend: any Backend

  /// The one given, or one with the defaults.
  init(reusing execution: Execution?) throws(LTMError) {
    if let execution { self = execution } else { try self.init() }
  }

  /// Starts the threads of a target; `nil` means one for each core.
  public init(target: Target = .cpu, threads: Int? = nil) throws(LTMError) {
    self.target = target
    let count = threads ?? ThreadPool.coreCount
    switch target {
    case .cpu:
      let pool = try reporting { try ThreadPool(threads: count) }
      backend = CPUBackend(pool: pool, compiler: try reporting { try KernelCompiler() })
      self.threads = pool.threads
    case .interpreter:
      backend = InterpreterBackend()
      self.threads = 1
    }
  }
}
