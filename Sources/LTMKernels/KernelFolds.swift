import LTMIR

// Reductions of what a contraction gives, made by its own kernel.

extension KernelStatement {
  /// The axes of the domain that it folds.
  package var foldedAxes: [AxisID] { if case .fold(_, _, let over) = self { over } else { [] } }

  /// All its writes: those at points, and a fold's.
  package var writes: [KernelStore] { if case .fold(let store, _, _) = self { [store] } else { stores } }

  /// Whether it writes what was computed before it, and binds nothing.
  package var isEpilogue: Bool {
    switch self {
    case .store, .fold: true
    case .reduce, .argReduce, .contract, .scratch, .loop: false
    }
  }
}

extension Kernel {
  /// Whether it reduces what its contraction gives.
  package var folds: Bool { body.contains { if case .fold = $0 { true } else { false } } }

  /// What is wrong with its folds, each with its rule. Ids are in range.
  func foldViolations() -> [(rule: Int, message: String)] {
    var found: [(rule: Int, message: String)] = []
    for case .fold(let store, let combiner, let over) in body {
      let (name, dtype) = (self[store.buffer].name, dtype(store.value))
      if !contractsOnly { found.append((12, "\(name) is folded in a kernel that is no contraction with its stores")) }
      if over.isEmpty || Set(over).count < over.count {
        found.append((12, "\(name) is folded over no axis, or one twice"))
      }
      for axis in over {
        if axis.index >= domainRank { found.append((12, "\(name) is folded over \(self[axis].name), an inner axis")) }
        if store.index.contains(where: { $0.terms.contains { $0.axis == axis } }) {
          found.append((12, "\(name) is folded over \(self[axis].name), which its index names"))
        }
      }
      if self[store.buffer].access == .readWrite { found.append((12, "\(name) is folded, and read")) }
      if (combiner == .and || combiner == .or) != (dtype == .bool) {
        found.append((11, "\(name) combines \(dtype) by \(combiner.rawValue)"))
      }
    }
    return found
  }

  private var contractsOnly: Bool {
    guard case .contract? = body.first else { return false }
    return body.dropFirst().allSatisfy(\.isEpilogue)
  }
}
