import LTMIR
import LTMKernels

extension MemoryUse {
  /// What a plan of kernels takes: the one count, which `explain` reports and training allocates.
  init(_ graph: Graph, _ plan: Plan) {
    addInputs(of: graph)
    activations = plan.activationBytes
    arena = plan.arenaBytes
  }

  /// The bytes with the names that `explain` gives them.
  var totals: [(name: String, value: Int)] {
    [
      ("weight_bytes", weights), ("activation_bytes", activations), ("master_bytes", masters),
      ("optimizer_bytes", optimizerState), ("layer_state_bytes", layerState), ("arena_bytes", arena),
    ] + (caches > 0 ? [("cache_bytes", caches)] : [])
  }
}
