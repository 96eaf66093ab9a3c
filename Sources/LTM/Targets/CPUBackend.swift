import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import LTMMPI
import LTMRuntime
import LTMSupport

/// Runs graphs as kernels that LLVM compiles for this machine, on a pool of threads.
package struct CPUBackend: Backend {
  package let pool: ThreadPool
  let compiler: KernelCompiler
  /// Whether values share kernels; without, each has one of its own: what fusion is compared with.
  let fuses: Bool
  /// Whether sums are the same bits however many rows are computed together.
  private(set) var keepsOrder = false
  let clock: PhaseClock
  /// The other processes that share each batch, where there are some.
  let ranks: RankThread?

  package init(
    pool: ThreadPool, compiler: KernelCompiler, fuses: Bool = true, clock: PhaseClock = PhaseClock(),
    ranks: RankThread? = nil
  ) {
    self.pool = pool
    self.compiler = compiler
    self.fuses = fuses
    self.clock = clock
    self.ranks = ranks
  }

  package var ordered: (any Backend)? {
    var backend = self
    backend.keepsOrder = true
    return backend
  }

  package func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    let plan = try clock.time("kernels") { () throws(LTMError) in
      try reporting { try buildPlan(graph, fuse: fuses, keepsOrder: keepsOrder, takesAttention: !keepsOrder) }
    }
    let kernels = try clock.time("machine code") { () throws(LTMError) in
      try reporting { try compiler.compile(plan.kernels, keepsOrder: keepsOrder) }
    }
    return try clock.time("memory") { () throws(LTMError) in
      try CPUExecutable(CPUProgram(graph, plan, kernels, pool, ranks, in: storage))
    }
  }
}
