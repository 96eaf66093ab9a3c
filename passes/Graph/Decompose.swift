import LTMIR

extension GraphPass {
  /// Composite ops become simpler ones, by their rows, until only what kernels are made of is left. Runs after casts and
  /// gradients are placed: both depend on composites being whole.
  package static let decompose = GraphPass("decompose", "replaces composite ops by simpler ones") { (graph) in
    graph.decomposed(keepsWhole: false)
  }

  /// The same, without the ops that some targets take whole; the others decompose them when they begin.
  package static let decomposeForTargets = GraphPass("decompose", "replaces composite ops by simpler ones") { (graph) in
    graph.decomposed(keepsWhole: true)
  }
}
