import LTMIR
import LTMKernels

// The statements of a kernel: what reductions and contractions bind, and the stores at its end.

extension KernelSpace {
  /// The space that nodes share: that of the contraction among them, or of the reductions, or the shape of all.
  init(_ lowered: LoweredGraph, _ members: [Int]) throws(EmissionFailure) {
    var reductions: [(shape: [Int], axes: [Int])] = []
    var owner: Int?
    for node in members {
      switch lowered.kinds[node] {
      case .reduce(_, let axes): reductions.append((lowered.shapes[lowered.nodes[node].operands[0].index], axes))
      case .argReduce(_, let axis): reductions.append((lowered.shapes[lowered.nodes[node].operands[0].index], [axis]))
      case .line(_, let axis):
        guard members.count == 1 else { throw .notFusible(.line) }
        reductions.append((lowered.shapes[lowered.nodes[node].operands[0].index], [axis]))
      case .writeAt:
        guard members.count == 1 else { throw .notFusible(.part) }
        self.init(domain: lowered.shapes[lowered.nodes[node].operands[1].index])
        return
      case .attention:
        self.init(domain: attentionDomain(node, lowered))
        return
      case .contract, .scatterAdd:
        guard owner == nil else { throw .notFusible(.secondProduct) }
        owner = node
      case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
        .window, .concat, .gather, .foldKey, .randomBits:
        continue
      case .body, .result, .collective: throw .notFusible(.body)
      }
    }
    guard owner == nil || reductions.isEmpty else { throw .notFusible(.secondProduct) }
    guard let first = reductions.first else {
      let widest = members.max { lowered.shapes[$0].count < lowered.shapes[$1].count }
      self.init(domain: (owner ?? widest).map { lowered.shapes[$0] } ?? [])
      return
    }
    self.init(domain: first.shape.indices.filter { !first.axes.contains($0) }.map { first.shape[$0] })
    for reduction in reductions { _ = try inner(reduction.shape, reduction.axes) }
  }
}

/// Batch, key heads, heads that share one, queries.
private func attentionDomain(_ node: Int, _ lowered: LoweredGraph) -> [Int] {
  let (query, key) = (lowered.nodes[node].operands[0].index, lowered.nodes[node].operands[1].index)
  let (q, k) = (lowered.shapes[query], lowered.shapes[key])
  return [q[0], k[1], q[1] / k[1], q[2]]
}

extension KernelBuilder {
  /// Appends the statement of a reduction, a contraction or a scatter, and gives what it binds.
  mutating func bindLocal(_ node: Int) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    switch lowered.kinds[node] {
    case .reduce(let combiner, let axes):
      let inner = space.inners[try space.inner(lowered.shapes[operands[0]], axes)]
      let value = try value(operands[0], at: inner.place)
      let local = addLocal(node, dtype: lowered.nodes[node].type.dtype.loaded)
      body.append(.reduce(local, combiner, over: inner.axes, value: try accumulating(value, local)))
      return pool.add(.local(local))
    case .argReduce(let combiner, let axis):
      let inner = space.inners[try space.inner(lowered.shapes[operands[0]], [axis])]
      guard inner.axes.count == 1 else { throw .notFusible(.rows) }
      var value = try value(operands[0], at: inner.place)
      // Values that are equal as they are stored are equal here.
      let type = lowered.nodes[operands[0]].type.dtype
      if type.isHalf { value = rounded(value, to: type) }
      let local = addLocal(node, dtype: .i32)
      body.append(.argReduce(local, combiner, over: inner.axes[0], value: value))
      return pool.add(.local(local))
    case .contract(let axes): return try contraction(node, axes)
    case .scatterAdd(let axis): return try scatter(node, axis)
    case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
      .window, .concat, .gather, .writeAt, .line, .attention, .body, .result, .collective, .foldKey, .randomBits:
      throw .notFusible(.domain)
    }
  }

  /// The statement of lines, which writes what it computes.
  mutating func addLines(_ node: Int, _ op: LineOp) throws(EmissionFailure) {
    let operand = lowered.nodes[node].operands[0].index
    let inner = space.inners[0]
    var value = try value(operand, at: inner.place)
    let type = lowered.nodes[operand].type.dtype
    switch op {
    case .prefix:
      let wanted = lowered.nodes[node].type.dtype.loaded
      if dtype(value) != wanted { value = pool.add(.convert(value, wanted)) }
    // Values that are equal as they are stored are equal here.
    case .order: if type.isHalf { value = rounded(value, to: type) }
    }
    var (index, to) = (inner.place.index, inner.axes[0])
    let shape = lowered.shapes[node]
    if shape != inner.shape {
      to = space.addAxis(shape[inner.reduced[0]])
      index[inner.reduced[0]] = .affine(Affine(axis: to))
    }
    guard let forms = Place(shape: shape, index: index).affine else { throw .notFusible(.index) }
    body.append(.line(KernelStore(addBuffer(node, shape, .write(node)), forms, value), op, over: inner.axes[0], to: to))
  }

  /// The store of a part, where the rest of the value lies already.
  mutating func addPartialWrite(_ node: Int, _ axis: Int, wraps: Bool) throws(EmissionFailure) {
    let operands = lowered.nodes[node].operands.map(\.index)
    guard fusion.isCompute[operands[0]] || fusion.isInput(operands[0]) else { throw .needsBuffer(operands[0]) }
    let own = space.domainPlace
    guard let index = own.affine else { throw .notFusible(.index) }
    let value = try value(operands[1], at: own)
    let starts = lowered.shapes[operands[2]]
    let start = try self.value(operands[2], at: Place(shape: starts, index: Array(own.index.prefix(starts.count))))
    let buffer = addBuffer(node, lowered.shapes[node], .write(node))
    buffers[buffer.index].access = .readWrite
    let shift = KernelStore.Shift(dimension: axis, by: start, wraps: wraps)
    body.append(.store(KernelStore(buffer, index, narrowing(value, node), shift: shift)))
  }

  /// Sums of bools and bytes count in i32.
  private mutating func accumulating(_ value: ScalarID, _ local: LocalID) throws(EmissionFailure) -> ScalarID {
    let wanted = locals[local.index].dtype
    return dtype(value) == wanted ? value : pool.add(.convert(value, wanted))
  }

  private mutating func contraction(_ node: Int, _ axes: ContractionAxes) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    let shapes = operands.map { lowered.shapes[$0] }
    guard lowered.shapes[node] == space.domain else { throw .notFusible(.domain) }
    let inner = axes.lhsContract.map { space.addAxis(shapes[0][$0]) }
    var index = shapes.map { [KernelIndex](repeating: .affine(.zero), count: $0.count) }
    let batch = axes.lhsBatch.count
    let free = axes.lhsFree.count
    for (axis, dims) in zip(axes.lhsBatch, axes.rhsBatch).enumerated() {
      index[0][dims.0] = .affine(Affine(axis: AxisID(axis)))
      index[1][dims.1] = .affine(Affine(axis: AxisID(axis)))
    }
    for (axis, dim) in axes.lhsFree.enumerated() { index[0][dim] = .affine(Affine(axis: AxisID(batch + axis))) }
    for (axis, dim) in axes.rhsFree.enumerated() { index[1][dim] = .affine(Affine(axis: AxisID(batch + free + axis))) }
    for (axis, dims) in zip(inner, zip(axes.lhsContract, axes.rhsContract)) {
      index[0][dims.0] = .affine(Affine(axis: axis))
      index[1][dims.1] = .affine(Affine(axis: axis))
    }
    let lhs = try value(operands[0], at: Place(shape: shapes[0], index: index[0]))
    let rhs = try value(operands[1], at: Place(shape: shapes[1], index: index[1]))
    let local = addLocal(node, dtype: lowered.nodes[node].type.dtype.loaded)
    body.append(.contract(local, over: inner, lhs: try accumulating(lhs, local), rhs: try accumulating(rhs, local)))
    return pool.add(.local(local))
  }

  /// For each destination, the sum of the updates that go there, in index order: no two points write one element.
  private mutating func scatter(_ node: Int, _ axis: Int) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    let indices = lowered.shapes[operands[1]]
    guard lowered.shapes[node] == space.domain else { throw .notFusible(.domain) }
    let inner = indices.map { space.addAxis($0) }
    let innerIndex = inner.map { KernelIndex.affine(Affine(axis: $0)) }
    let row = try value(operands[1], at: Place(shape: indices, index: innerIndex))
    let dtype = dtype(row)
    func number(_ value: Int, _ emitter: inout KernelBuilder) -> ScalarID {
      emitter.pool.add(.constant(Double(value), dtype))
    }
    let low = pool.add(.apply(.maximum, [row, number(0, &self)], dtype))
    let clamped = pool.add(.apply(.minimum, [low, number(space.domain[axis] - 1, &self)], dtype))
    var destination = pool.add(.axis(AxisID(axis)))
    if dtype != .i32 { destination = pool.add(.convert(destination, dtype)) }
    let isHere = pool.add(.apply(.equal, [clamped, destination], .bool))
    let own = space.domainPlace
    let updateIndex = Array(own.index[..<axis]) + innerIndex + Array(own.index[(axis + 1)...])
    let update = try value(operands[2], at: Place(shape: lowered.shapes[operands[2]], index: updateIndex))
    let sumDType = lowered.nodes[node].type.dtype.loaded
    let picked = pool.add(.apply(.select, [isHere, update, pool.add(.constant(0, sumDType))], sumDType))
    let local = addLocal(node, dtype: sumDType)
    body.append(.reduce(local, .add, over: inner, value: picked))
    let data = try value(operands[0], at: own)
    return pool.add(.apply(.add, [data, pool.add(.local(local))], sumDType))
  }

  // MARK: Stores

  mutating func addStores(inPlace: [Int: Int], refused: inout Set<Int>) throws(EmissionFailure) {
    var atPoint: [KernelStore] = []
    var inLoops: [[KernelStore]] = space.inners.map { _ in [] }
    for node in stored {
      let level = try space.level(count: lowered.counts[node])
      let place = space.place(level)
      guard let own = place.affine, let flat = place.flat(space.axes) else { throw .notFusible(.index) }
      var target: BufferID?
      if let input = inPlace[node], let known = readers[input]?.first {
        if readers[input]?.count == 1, readsOnly(known, at: flat) { target = known } else { refused.insert(node) }
      }
      let shape = target.map { buffers[$0.index].shape } ?? place.shape
      guard let index = shape == place.shape ? own : unflatten(flat, shape: shape, axes: space.axes) else {
        throw .notFusible(.index)
      }
      if let target { buffers[target.index].access = .readWrite }
      let store = KernelStore(
        target ?? addBuffer(node, shape, .write(node)), index, narrowing(try memberValue(node), node))
      switch level {
      case .domain: atPoint.append(store)
      case .full(let inner): inLoops[inner].append(store)
      }
    }
    for stores in inLoops + [atPoint] {
      for late in writtenBeforeRead(stores) {
        refused.formUnion(inPlace.filter { readers[$0.value]?.first == late }.keys)
      }
    }
    for (inner, stores) in zip(space.inners, inLoops) where !stores.isEmpty {
      body.append(.loop(over: inner.axes, stores: stores))
    }
    body += atPoint.map { .store($0) }
  }

  /// The buffers whose old value a store needs that stands after the one that replaces it, and none before.
  private func writtenBeforeRead(_ stores: [KernelStore]) -> [BufferID] {
    var read: Set<ScalarID> = []
    var written: Set<BufferID> = []
    var late: [BufferID] = []
    for store in stores {
      var pending = [store.value]
      while let next = pending.popLast() {
        guard read.insert(next).inserted else { continue }
        if case .load(let buffer, _, _, _) = pool.expressions[next.index], written.contains(buffer) {
          late.append(buffer)
        }
        pending += pool.expressions[next.index].operands
      }
      written.insert(store.buffer)
    }
    return late
  }

  /// Whether every load of a buffer is of the element at that position.
  private func readsOnly(_ buffer: BufferID, at flat: Affine) -> Bool {
    pool.expressions.allSatisfy { expression in
      guard case .load(buffer, let index, let guards, _) = expression else { return true }
      return guards.isEmpty && Place(shape: buffers[buffer.index].shape, index: index).flat(space.axes) == flat
    }
  }

  /// The store itself rounds to its buffer's dtype, unless an epilogue reduction takes the rounded value too.
  private mutating func narrowing(_ value: ScalarID, _ node: Int) -> ScalarID {
    let stored = lowered.nodes[node].type.dtype
    if stored.isHalf, reduced.contains(where: { fusion.reads[$0].contains(node) }) { return rounded(value, to: stored) }
    guard case .round(let inner, lowered.nodes[node].type.dtype) = pool.expressions[value.index], dtype(inner) == .f32
    else {
      return value
    }
    return inner
  }
}
