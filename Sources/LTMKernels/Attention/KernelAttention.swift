import LTMIR

// Attention in one kernel. At each point of the domain, a query, the softmax over the keys of its scores weighs the values;
// no score is ever stored. Its text form:
//
//     domain b: 1, h: 2, g: 2, i: 5
//     axis j: 5, d: 4, e: 4
//     attention %s: f32 j, d, e {
//       query q[b, 2*h+g, i, d]
//       key k[b, h, j, d]
//       value v[b, h, j, e]
//       score select(less_equal(index(j), index(i)), mul(%s, 0.5), -inf)
//       y[b, 2*h+g, i, e] = output
//       l[b, 2*h+g, i] = log_sum
//     }
//
// `%s` is the product of query and key, summed over the depth. The domain's last axis are the queries; the one before it,
// heads that share their keys. Going back, `output`, `gradient`, `log_sum` and `slope` are read beside them.

/// What an attention kernel computes.
package struct KernelAttention: Hashable, Sendable {
  /// What it writes.
  package enum Result: String, Hashable, Sendable, CaseIterable {
    /// Of queries and width; of queries: the logarithm of the sum of exponentials, infinite where all keys are hidden.
    case output, logSum = "log_sum"
    /// Of queries and depth, keys and depth, keys and width, queries and keys. Keys' are sums over the heads that share them.
    case queryGradient = "query_gradient", keyGradient = "key_gradient", valueGradient = "value_gradient"
    case scoreGradient = "score_gradient"
  }

  /// What going back reads.
  package struct Backward: Hashable, Sendable {
    /// Of queries and width: what the forward kernel gave, and its gradient.
    package var output: ScalarID, gradient: ScalarID
    /// Of queries: what the forward kernel gave.
    package var logSum: ScalarID
    /// How a score changes with the product.
    package var slope: ScalarID

    package init(output: ScalarID, gradient: ScalarID, logSum: ScalarID, slope: ScalarID) {
      (self.output, self.gradient, self.logSum, self.slope) = (output, gradient, logSum, slope)
    }
  }

  /// Inner axes.
  package var keys: AxisID, depth: AxisID, width: AxisID
  /// Bound for the scalar bodies below.
  package var product: LocalID
  /// Loads, or short scalar bodies over loads.
  package var query: ScalarID, key: ScalarID, value: ScalarID
  /// The score of a query and a key, minus infinity where the key is hidden.
  package var score: ScalarID
  /// What a weight is multiplied by; `nil`: 1.
  package var kept: ScalarID?
  /// `nil`: forward.
  package var backward: Backward?
  /// The stores, each of a local that stands for what is written.
  package var results: [Result: KernelStore]

  package init(
    keys: AxisID, depth: AxisID, width: AxisID, product: LocalID, query: ScalarID, key: ScalarID, value: ScalarID,
    score: ScalarID, kept: ScalarID? = nil, backward: Backward? = nil, results: [Result: KernelStore] = [:]
  ) {
    (self.keys, self.depth, self.width, self.product) = (keys, depth, width, product)
    (self.query, self.key, self.value, self.score) = (query, key, value, score)
    (self.kept, self.backward, self.results) = (kept, backward, results)
  }

  /// In a fixed order.
  package var stores: [KernelStore] { Result.allCases.compactMap { results[$0] } }

  /// What it reads, under the words of the text form.
  package var parts: [(name: String, value: ScalarID)] {
    var parts = [("query", query), ("key", key), ("value", value), ("score", score)]
    if let kept { parts.append(("kept", kept)) }
    if let backward {
      parts += [
        ("output", backward.output), ("gradient", backward.gradient), ("log_sum", backward.logSum),
        ("slope", backward.slope),
      ]
    }
    return parts
  }

  /// The scalar bodies of a query and a key.
  package var bodies: [ScalarID] { [score] + [kept, backward?.slope].compactMap(\.self) }

  func mapping(_ map: (ScalarID) -> ScalarID) -> KernelAttention {
    var result = self
    (result.query, result.key, result.value, result.score) = (map(query), map(key), map(value), map(score))
    result.kept = kept.map(map)
    result.backward = backward.map {
      Backward(
        output: map($0.output), gradient: map($0.gradient), logSum: map($0.logSum), slope: map($0.slope))
    }
    // In a fixed order, so that equal kernels become equal ones.
    for kind in Result.allCases { if let store = results[kind] { result.results[kind]?.value = map(store.value) } }
    return result
  }
}

extension Kernel {
  /// The domain's last axis, the queries, and the one before it, heads that share keys.
  package var queryAxis: AxisID { AxisID(domainRank - 1) }
  package var groupAxis: AxisID { AxisID(domainRank - 2) }

  /// The axes over whose points an attention writes a result.
  func axes(of result: KernelAttention.Result, _ attention: KernelAttention) -> [AxisID] {
    let domain = (0..<domainRank).map { AxisID($0) }
    let shared = domain.dropLast(2)
    return switch result {
    case .output: domain + [attention.width]
    case .logSum: domain
    case .queryGradient: domain + [attention.depth]
    case .keyGradient: shared + [attention.keys, attention.depth]
    case .valueGradient: shared + [attention.keys, attention.width]
    case .scoreGradient: domain + [attention.keys]
    }
  }

  /// The axes over whose points a store of an attention writes.
  func attentionAxes(of store: KernelStore, in statement: KernelStatement) -> [AxisID]? {
    guard case .attention(let attention) = statement else { return nil }
    return attention.results.first { $0.value == store }.map { axes(of: $0.key, attention) }
  }

  /// The locals that an attention binds.
  func bound(by attention: KernelAttention) -> [LocalID] {
    [attention.product]
      + attention.stores.compactMap { if case .local(let local) = self[$0.value] { local } else { nil } }
  }

  /// What is wrong with its attention, each with its rule. Ids are in range.
  func attentionViolations() -> [(rule: Int, message: String)] {
    var found: [(rule: Int, message: String)] = []
    func require(_ condition: Bool, _ message: String) { if !condition { found.append((14, message)) } }
    for case .attention(let attention) in body {
      require(body.count == 1, "an attention stands in a kernel that does more")
      guard domainRank >= 2 else {
        require(false, "an attention has a domain of heads that share keys, and queries")
        continue
      }
      let domain = Set(0..<domainRank)
      let shared = domain.subtracting([queryAxis.index, groupAxis.index])
      func part(_ value: ScalarID, _ name: String, _ axes: Set<Int>) {
        require(axesUsed(by: reachable(from: [value])).isSubset(of: axes), "\(name) depends on another axis")
        require(dtype(value) == self[attention.product].dtype, "\(name) is \(dtype(value))")
      }
      part(attention.query, "the query", domain.union([attention.depth.index]))
      part(attention.key, "the key", shared.union([attention.keys.index, attention.depth.index]))
      part(attention.value, "the value", shared.union([attention.keys.index, attention.width.index]))
      for body in attention.bodies { part(body, "a score", domain.union([attention.keys.index])) }
      if let backward = attention.backward {
        part(backward.output, "the output", domain.union([attention.width.index]))
        part(backward.gradient, "the gradient", domain.union([attention.width.index]))
        part(backward.logSum, "the logarithm of the sum", domain)
      }
      let isForward = { (result: KernelAttention.Result) in result == .output || result == .logSum }
      require(
        attention.results.keys.allSatisfy { isForward($0) == (attention.backward == nil) },
        "an attention writes what goes the other way")
      require(self[attention.product].dtype.isFloating, "an attention in \(self[attention.product].dtype)")
      for store in attention.stores {
        require(
          self[store.buffer].access != .readWrite, "\(self[store.buffer].name) is written by an attention, and read")
      }
    }
    return found
  }
}
