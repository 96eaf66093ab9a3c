import LTMIR

/// The scalar expressions of a kernel under construction, each once: equal computations get one id.
package struct ExpressionPool: Sendable {
  /// What a kernel takes over when it is complete.
  package private(set) var expressions: [ScalarExpr] = []
  /// For each expression, the `origin` under which it was first added.
  package private(set) var origins: [Int?] = []
  /// What expressions are added for: a number that whoever fills the pool gives a meaning.
  package var origin: Int?
  private var known: [Key: ScalarID] = [:]

  /// Constants by their bits: `-0.0` is not `0.0`, and a NaN equals itself.
  private enum Key: Hashable, Sendable {
    case constant(UInt64, DType)
    case other(ScalarExpr)
  }

  package init() {}

  /// The id of an expression, which is added when it is new.
  package mutating func add(_ expression: ScalarExpr) -> ScalarID {
    let key: Key =
      if case .constant(let value, let dtype) = expression { .constant(value.bitPattern, dtype) } else {
        .other(expression)
      }
    if let id = known[key] { return id }
    let id = ScalarID(expressions.count)
    expressions.append(expression)
    origins.append(origin)
    known[key] = id
    return id
  }
}

extension ScalarExpr {
  /// The expressions it is made from.
  package var operands: [ScalarID] {
    switch self {
    case .constant, .axis, .local, .scratch: []
    case .load(_, let index, _, _):
      index.compactMap { if case .loaded(let id) = $0 { id } else { nil } }
    case .apply(_, let operands, _): operands
    case .convert(let operand, _), .round(let operand, _): [operand]
    }
  }

  /// The same computation on other operands.
  package func mapOperands(_ map: (ScalarID) -> ScalarID) -> ScalarExpr {
    switch self {
    case .constant, .axis, .local, .scratch: self
    case .load(let buffer, let index, let guards, let otherwise):
      .load(
        buffer, index.map { if case .loaded(let id) = $0 { .loaded(map(id)) } else { $0 } }, guards: guards,
        otherwise: otherwise)
    case .apply(let primitive, let operands, let dtype): .apply(primitive, operands.map(map), dtype)
    case .convert(let operand, let dtype): .convert(map(operand), dtype)
    case .round(let operand, let dtype): .round(map(operand), dtype)
    }
  }
}

extension KernelStatement {
  /// The expressions it evaluates.
  package var roots: [ScalarID] {
    switch self {
    case .reduce(_, _, _, let value), .argReduce(_, _, _, let value), .scratch(_, _, let value): [value]
    case .contract(_, _, let lhs, let rhs): [lhs, rhs]
    case .loop(_, let stores): stores.flatMap(\.roots)
    case .store(let store), .epilogue(let store, _, _), .line(let store, _, _, _): store.roots
    case .attention(let attention): attention.parts.map(\.value) + attention.stores.flatMap(\.roots)
    }
  }

  /// The inner axes it runs over.
  package var innerAxes: [AxisID] {
    switch self {
    case .reduce(_, _, let over, _), .contract(_, let over, _, _), .loop(let over, _): over
    case .argReduce(_, _, let over, _), .scratch(_, let over, _): [over]
    case .line(_, _, let over, let to): over == to ? [over] : [over, to]
    case .attention(let attention): [attention.keys, attention.depth, attention.width]
    case .store, .epilogue: []
    }
  }

  /// What it binds.
  package var definition: LocalID? {
    switch self {
    case .reduce(let local, _, _, _), .argReduce(let local, _, _, _), .contract(let local, _, _, _),
      .scratch(let local, _, _):
      local
    case .attention(let attention): attention.product
    case .loop, .store, .epilogue, .line: nil
    }
  }

  /// The writes it makes at points.
  package var stores: [KernelStore] {
    switch self {
    case .loop(_, let stores): stores
    case .store(let store), .line(let store, _, _, _): [store]
    case .attention(let attention): attention.stores
    case .reduce, .argReduce, .contract, .scratch, .epilogue: []
    }
  }

  /// The same statement on other expressions.
  package func mapRoots(_ map: (ScalarID) -> ScalarID) -> KernelStatement {
    func mapped(_ store: KernelStore) -> KernelStore {
      var mapped = store
      mapped.value = map(store.value)
      if let by = store.shift?.by { mapped.shift?.by = map(by) }
      return mapped
    }
    return switch self {
    case .reduce(let local, let combiner, let over, let value): .reduce(local, combiner, over: over, value: map(value))
    case .argReduce(let local, let combiner, let over, let value):
      .argReduce(local, combiner, over: over, value: map(value))
    case .contract(let local, let over, let lhs, let rhs): .contract(local, over: over, lhs: map(lhs), rhs: map(rhs))
    case .scratch(let local, let over, let value): .scratch(local, over: over, value: map(value))
    case .loop(let over, let stores): .loop(over: over, stores: stores.map(mapped))
    case .store(let store): .store(mapped(store))
    case .epilogue(let store, let combiner, let over): .epilogue(mapped(store), combiner, over: over)
    case .line(let store, let op, let over, let to): .line(mapped(store), op, over: over, to: to)
    case .attention(let attention): .attention(attention.mapping(map))
    }
  }
}

extension Kernel {
  /// The same kernel with each expression once, in the order of first use, and no unused ones: the form in which equal
  /// kernels are equal.
  package func canonicalised() -> Kernel {
    var pool = ExpressionPool()
    var moved: [ScalarID: ScalarID] = [:]
    // Operands stand before users, so an explicit stack replaces recursion.
    func place(_ root: ScalarID) -> ScalarID {
      var stack = [root]
      while let top = stack.last {
        let pending = moved[top] == nil ? self[top].operands.filter { moved[$0] == nil } : []
        if pending.isEmpty {
          if moved[top] == nil {
            // What a rewrite added has none.
            pool.origin = origins.indices.contains(top.index) ? origins[top.index] : nil
            moved[top] = pool.add(self[top].mapOperands { moved[$0] ?? $0 })
          }
          stack.removeLast()
        } else {
          stack += pending.reversed()
        }
      }
      return moved[root] ?? root
    }
    var kernel = self
    kernel.body = body.map { $0.mapRoots(place) }
    kernel.expressions = pool.expressions
    kernel.origins = origins.isEmpty ? [] : pool.origins
    return kernel
  }

  /// Whether each expression depends on an axis outside the domain, be it through a scratch.
  package func dependsOnInnerAxis() -> [Bool] {
    var inner = [Bool](repeating: false, count: expressions.count)
    for (id, expression) in expressions.enumerated() {
      let own: Bool =
        switch expression {
        case .axis(let axis): axis.index >= domainRank
        case .scratch: true
        case .load(_, let index, let guards, _):
          index.contains {
            if case .affine(let form) = $0 { form.terms.contains { $0.axis.index >= domainRank } } else { false }
          }
            || guards.contains { $0.form.terms.contains { $0.axis.index >= domainRank } }
        case .constant, .local, .apply, .convert, .round: false
        }
      inner[id] = own || expression.operands.contains { inner[$0.index] }
    }
    return inner
  }
}
