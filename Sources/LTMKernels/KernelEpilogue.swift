import LTMIR

// Reductions of what a contraction gives, made by its own kernel.

extension KernelStatement {
  /// The axes of the domain that it reduces.
  package var epilogueAxes: [AxisID] { if case .epilogue(_, _, let over) = self { over } else { [] } }

  /// All its writes: those at points, and an epilogue reduction's.
  package var writes: [KernelStore] { if case .epilogue(let store, _, _) = self { [store] } else { stores } }

  /// Whether it writes what was computed before it, and binds nothing.
  package var isEpilogue: Bool {
    switch self {
    case .store, .epilogue: true
    case .reduce, .argReduce, .contract, .scratch, .loop, .line, .attention: false
    }
  }
}

extension Kernel {
  /// Whether it reduces what its contraction gives.
  package var epilogueReductions: Bool { body.contains { if case .epilogue = $0 { true } else { false } } }

  /// What is wrong with its epilogue reductions, each with its rule. Ids are in range.
  func epilogueViolations() -> [(rule: Int, message: String)] {
    var found: [(rule: Int, message: String)] = []
    for case .epilogue(let store, let combiner, let over) in body {
      let (name, dtype) = (self[store.buffer].name, dtype(store.value))
      if !contractsOnly { found.append((12, "\(name) is reduced in a kernel that is no contraction with its stores")) }
      if over.isEmpty || Set(over).count < over.count {
        found.append((12, "\(name) is reduced over no axis, or one twice"))
      }
      for axis in over {
        if axis.index >= domainRank { found.append((12, "\(name) is reduced over \(self[axis].name), an inner axis")) }
        if store.index.contains(where: { $0.terms.contains { $0.axis == axis } }) {
          found.append((12, "\(name) is reduced over \(self[axis].name), which its index names"))
        }
      }
      if self[store.buffer].access == .readWrite { found.append((12, "\(name) is reduced, and read")) }
      if (combiner == .and || combiner == .or) != (dtype == .bool) {
        found.append((11, "\(name) combines \(dtype) by \(combiner.rawValue)"))
      }
    }
    return found
  }

  private var contractsOnly: Bool {
    guard case .contraction = form else { return false }
    return body.dropFirst().allSatisfy(\.isEpilogue)
  }
}
