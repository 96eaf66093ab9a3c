import LTMIR
import LTMKernels

// Attention as one kernel: its operands as loads, what it does to a score as a scalar body.

/// The scalars of one query and one key.
private struct ScoreBodies {
  var score: ScalarID
  var slope: ScalarID
  var kept: ScalarID?
}

extension KernelBuilder {
  /// The statement of an attention, or of its gradient, whose further results are among the members.
  mutating func addAttention(_ node: Int, isBackward: Bool) throws(EmissionFailure) {
    let operands = lowered.nodes[node].operands.map(\.index)
    let types = operands.map { lowered.nodes[$0].type }
    let form = AttentionForm(proved: types, lowered.nodes[node].attributes, from: isBackward ? 6 : 3)
    let axes = AttentionAxes(&space, lowered.shapes[operands[1]], lowered.shapes[operands[2]])
    let wide = lowered.nodes[node].type.dtype.loaded
    locals.append(KernelLocal(name: "s", dtype: wide))
    let product = LocalID(locals.count - 1)
    func operand(_ number: Int, _ place: Place) throws(EmissionFailure) -> ScalarID {
      let value = try self.value(operands[number], at: place)
      return dtype(value) == wide ? value : pool.add(.convert(value, wide))
    }
    let bodies = try scores(form, node, operands, axes, pool.add(.local(product)), wide)
    var attention = KernelAttention(
      keys: axes.keys, depth: axes.depth, width: axes.width, product: product,
      query: try operand(0, axes.rows(axes.depth)), key: try operand(1, axes.lines(axes.depth)),
      value: try operand(2, axes.lines(axes.width)), score: bodies.score, kept: bodies.kept)
    if isBackward {
      attention.backward = .init(
        output: try operand(3, axes.rows(axes.width)), gradient: try operand(5, axes.rows(axes.width)),
        logSum: try operand(4, axes.rows(nil)), slope: bodies.slope)
    }
    attention.results = try attentionStores(isBackward, axes, wide)
    body.append(.attention(attention))
  }

  /// What the members write, each under a local of its own.
  private mutating func attentionStores(
    _ isBackward: Bool, _ axes: AttentionAxes, _ wide: DType
  ) throws(EmissionFailure) -> [KernelAttention.Result: KernelStore] {
    let kinds: [KernelAttention.Result] =
      isBackward ? [.queryGradient, .keyGradient, .valueGradient, .scoreGradient] : [.output, .logSum]
    var results: [KernelAttention.Result: KernelStore] = [:]
    for member in members where stored.contains(member) {
      let number = if case .result(let index) = lowered.kinds[member] { index } else { 0 }
      guard kinds.indices.contains(number), results[kinds[number]] == nil,
        let index = axes.place(of: kinds[number]).affine
      else { throw .notFusible(.attention) }
      let shape = axes.place(of: kinds[number]).shape
      locals.append(KernelLocal(name: kinds[number].rawValue, dtype: wide))
      let value = pool.add(.local(LocalID(locals.count - 1)))
      results[kinds[number]] = KernelStore(addBuffer(member, shape, .write(member)), index, value)
    }
    return results
  }

  // MARK: Scores

  private mutating func scores(
    _ form: AttentionForm, _ node: Int, _ operands: [Int], _ axes: AttentionAxes, _ product: ScalarID, _ wide: DType
  ) throws(EmissionFailure) -> ScoreBodies {
    let factor = number(form.scale ?? 1 / Double(lowered.shapes[operands[0]][3]).squareRoot(), wide)
    var score = apply(.mul, [product, factor], wide)
    var slope = factor
    if let cap = form.softCap {
      let t = apply(.tanh, [apply(.mul, [score, number(1 / cap, wide)], wide)], wide)
      score = apply(.mul, [t, number(cap, wide)], wide)
      let rest = apply(.sub, [number(1, wide), apply(.mul, [t, t], wide)], wide)
      slope = apply(.mul, [rest, factor], wide)
    }
    if let bias = form.bias {
      let value = try self.value(operands[bias], at: axes.spread(lowered.shapes[operands[bias]]))
      score = apply(.add, [score, dtype(value) == wide ? value : pool.add(.convert(value, wide))], wide)
    }
    if let visible = try visible(form, operands, axes) {
      score = apply(.select, [visible, score, number(-.infinity, wide)], wide)
    }
    return ScoreBodies(score: score, slope: slope, kept: try kept(form, node, operands, axes, wide))
  }

  /// Which keys a query sees; `nil`: all.
  private mutating func visible(
    _ form: AttentionForm, _ operands: [Int], _ axes: AttentionAxes
  ) throws(EmissionFailure) -> ScalarID? {
    var conditions: [ScalarID] = []
    if form.isCausal || form.window != nil {
      let key = pool.add(.axis(axes.keys))
      var position = pool.add(.axis(axes.queries))
      if let offset = form.offset {
        let shape = lowered.shapes[operands[offset]]
        let place = Place(shape: shape, index: shape.map { _ in .affine(Affine(axis: axes.batch)) })
        position = apply(.add, [position, try value(operands[offset], at: place)], .i32)
      }
      if form.isCausal { conditions.append(apply(.lessEqual, [key, position], .bool)) }
      if let window = form.window {
        let width = number(Double(window), .i32)
        conditions.append(apply(.greater, [key, apply(.sub, [position, width], .i32)], .bool))
        if !form.isCausal { conditions.append(apply(.less, [key, apply(.add, [position, width], .i32)], .bool)) }
      }
    }
    if let mask = form.mask {
      conditions.append(try value(operands[mask], at: axes.spread(lowered.shapes[operands[mask]])))
    }
    guard var all = conditions.first else { return nil }
    for condition in conditions.dropFirst() { all = apply(.and, [all, condition], .bool) }
    return all
  }

  /// What a weight is multiplied by: drawn by the place of its score.
  private mutating func kept(
    _ form: AttentionForm, _ node: Int, _ operands: [Int], _ axes: AttentionAxes, _ wide: DType
  ) throws(EmissionFailure) -> ScalarID? {
    guard form.threshold > 0, let key = form.key else { return nil }
    let attributes = lowered.nodes[node].attributes
    let bits = try randomBits(
      RandomForm(drawing: 24, attributes, rank: 4), key: operands[key], at: axes.scores, node)
    let isKept = apply(.greaterEqual, [bits, number(form.threshold, .i32)], .bool)
    return apply(.select, [isKept, number(form.keptScale, wide), number(0, wide)], wide)
  }

  private mutating func apply(_ primitive: Primitive, _ operands: [ScalarID], _ dtype: DType) -> ScalarID {
    pool.add(.apply(primitive, operands, dtype))
  }

  private mutating func number(_ value: Double, _ dtype: DType) -> ScalarID {
    pool.add(.constant(dtype.round(value), dtype))
  }
}

/// The axes of an attention's kernel, and where its operands' elements are.
private struct AttentionAxes {
  let batch = AxisID(0), head = AxisID(1), group = AxisID(2), queries = AxisID(3)
  let keys: AxisID, depth: AxisID, width: AxisID
  private let axes: [KernelAxis]

  /// In a space whose domain is batch, key heads, heads that share one, queries.
  init(_ space: inout KernelSpace, _ key: [Int], _ value: [Int]) {
    (keys, depth, width) = (space.addAxis(key[2]), space.addAxis(key[3]), space.addAxis(value[3]))
    axes = space.axes
  }

  private func extent(_ axis: AxisID) -> Int { axes[axis.index].extent }

  private var queryHead: Affine {
    Affine([Affine.Term(head, extent(group)), Affine.Term(group, 1)])
  }

  private func place(_ parts: [(Int, Affine)]) -> Place {
    Place(shape: parts.map(\.0), index: parts.map { .affine($0.1) })
  }

  private func part(_ axis: AxisID) -> (Int, Affine) { (extent(axis), Affine(axis: axis)) }
  private var heads: (Int, Affine) { (extent(head) * extent(group), queryHead) }

  /// `[batch, heads, queries]`, and an inner axis.
  func rows(_ last: AxisID?) -> Place {
    place([part(batch), heads, part(queries)] + (last.map { [part($0)] } ?? []))
  }

  /// `[batch, key heads, keys]` and an inner axis.
  func lines(_ last: AxisID) -> Place { place([part(batch), part(head), part(keys), part(last)]) }

  var scores: Place { rows(keys) }

  /// The element of what spreads over the scores, of this shape.
  func spread(_ shape: [Int]) -> Place {
    let index = scores.index.suffix(shape.count)
    return Place(shape: shape, index: zip(shape, index).map { $0 == 1 ? .affine(.zero) : $1 })
  }

  func place(of result: KernelAttention.Result) -> Place {
    switch result {
    case .output: rows(width)
    case .logSum: rows(nil)
    case .queryGradient: rows(depth)
    case .keyGradient: lines(depth)
    case .valueGradient: lines(width)
    case .scoreGradient: scores
    }
  }
}
