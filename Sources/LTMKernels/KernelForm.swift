import LTMIR

/// What a kernel is at heart, by which targets choose how it runs.
package enum KernelForm: Hashable, Sendable {
  /// Reductions, row scratches and stores, or stores alone.
  case loops
  /// One contraction, and what is done with its result.
  case contraction(LocalID, over: [AxisID], lhs: ScalarID, rhs: ScalarID)
  /// An attention.
  case attention(KernelAttention)
  /// Whole lines along an axis.
  case line(KernelStore, LineOp, over: AxisID, to: AxisID)
}

extension Kernel {
  /// Its form. Statements that a contraction or a line cannot have beside it are refused by the verifier.
  package var form: KernelForm {
    switch body.first {
    case .contract(let local, let over, let lhs, let rhs)?: .contraction(local, over: over, lhs: lhs, rhs: rhs)
    case .line(let store, let op, let over, let to)?: .line(store, op, over: over, to: to)
    case .attention(let attention)?: .attention(attention)
    case .reduce, .argReduce, .scratch, .loop, .store, .epilogue, nil: .loops
    }
  }

  /// What is wrong with its lines, each with its rule. Ids are in range.
  func lineViolations() -> [(rule: Int, message: String)] {
    var found: [(rule: Int, message: String)] = []
    for case .line(let store, let op, let over, let to) in body {
      let (name, dtype) = (self[store.buffer].name, dtype(store.value))
      if body.count > 1 { found.append((13, "\(name) is written by lines in a kernel that does more")) }
      if self[store.buffer].access == .readWrite { found.append((13, "\(name) is written by lines, and read")) }
      switch op {
      case .prefix(let combiner, _):
        if combiner != .add || dtype == .bool {
          found.append((13, "\(name) combines \(dtype) by \(combiner.rawValue), and prefixes are sums of numbers"))
        }
        let readsHalf = reachable(from: [store.value]).contains { index in
          if case .load(let buffer, _, _, _) = expressions[index] { self[buffer].dtype.isHalf } else { false }
        }
        if readsHalf, dtype != .f32, dtype != .f64 {
          found.append((11, "half operands accumulate in \(dtype)"))
        }
        if to != over { found.append((13, "\(name) has the first of prefixes, which are all of them")) }
      case .order:
        if self[to].extent > self[over].extent {
          found.append((13, "\(name) has \(self[to].extent) of \(self[over].extent) elements"))
        }
      }
    }
    return found
  }
}

extension KernelStatement {
  /// The scalar dtype that it writes, given that of a value.
  func written(_ value: DType) -> DType { if case .line(_, .order, _, _) = self { .i32 } else { value } }
}

extension KernelStatement {
  /// The inner axes that its stores go over.
  var storedAxes: [AxisID] { if case .line(_, _, _, let to) = self { [to] } else { innerAxes } }
}

extension LineOp {
  /// The words of the text form.
  var words: String {
    switch self {
    case .prefix(let combiner, let isReversed): "prefix \(combiner.rawValue)\(isReversed ? " reversed" : "")"
    case .order(let isDescending): "order \(isDescending ? "descending" : "ascending")"
    }
  }

  /// The line that a line of values becomes; `round` is what a sum is rounded by.
  func apply(_ values: [Double], round: (Double) -> Double) -> [Double] {
    switch self {
    case .prefix(let combiner, let isReversed):
      var sum = combiner.identity
      let sums = (isReversed ? values.reversed() : values).map { value in
        sum = combiner.apply(sum, value)
        return round(sum)
      }
      return isReversed ? sums.reversed() : sums
    case .order(let isDescending):
      return values.indices.sorted { i, j in
        let (a, b) = isDescending ? (values[j], values[i]) : (values[i], values[j])
        if a.isNaN != b.isNaN { return b.isNaN }
        return a == b || a.isNaN ? i < j : a < b
      }.map(Double.init)
    }
  }
}
