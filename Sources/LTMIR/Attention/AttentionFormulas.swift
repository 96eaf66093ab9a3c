// Attention by simpler ops: for targets that do not take it whole, and for its gradient rule.

/// The output, and the logarithms of the sums.
func attentionParts(_ b: inout GraphBuilder, _ node: Node) -> [ValueID] {
  let formula = AttentionFormula(b, node, from: 3)
  let s = formula.scores(&b).score
  let top = b.make(.max, [s], ["axes": .ints([3]), "keep": .bool(true)])
  let isEmpty = b.make(.equal, [top, b.fill(-.infinity, like: top)])
  let base = formula.form.hides ? b.select(isEmpty, b.fill(0, like: top), top) : top
  let e = b.exp(b.sub(s, b.spread(base, like: s)))
  var sum = b.sum(e, [3], keep: true)
  if formula.form.hides { sum = b.select(isEmpty, b.fill(1, like: sum), sum) }
  let inverse = b.div(b.fill(1, like: sum), sum)
  let weights = formula.kept(&b, b.mul(e, b.spread(inverse, like: e)))
  var logSum = b.add(base, b.make(.log, [sum]))
  if formula.form.hides { logSum = b.select(isEmpty, b.fill(.infinity, like: logSum), logSum) }
  let shape = Array(b.type(logSum).shape.dropLast())
  let output = formula.weighted(&b, weights, node.operands[2])
  return [b.passed(output, to: node.type.dtype), b.reshape(logSum, to: shape)]
}

/// The gradients of query, key and value, and of the scores where there is a bias.
func attentionGradientParts(_ b: inout GraphBuilder, _ node: Node) -> [ValueID] {
  let formula = AttentionFormula(b, node, from: 6)
  let (own, wide) = (node.type.dtype, node.type.dtype.arithmetic)
  let (s, slope) = formula.scores(&b)
  let logSum = b.broadcast(b.passed(node.operands[4], to: wide), to: b.type(s).shape, axes: [0, 1, 2])
  let weights = b.exp(b.sub(s, logSum))
  let products = formula.products(&b, node.operands[5], node.operands[2])
  let mean = b.sum(b.mul(b.passed(node.operands[3], to: wide), b.passed(node.operands[5], to: wide)), [3])
  let above = b.sub(formula.kept(&b, products), b.broadcast(mean, to: b.type(s).shape, axes: [0, 1, 2]))
  let ds = b.mul(weights, above)
  let dProduct = b.mul(ds, slope)
  let results = [
    formula.weighted(&b, dProduct, node.operands[1]), formula.summed(&b, dProduct, node.operands[0]),
    formula.summed(&b, formula.kept(&b, weights), node.operands[5]),
  ].map { b.passed($0, to: own) }
  return results + (formula.form.bias == nil ? [] : [ds])
}

/// The rule: the gradient op, and what a bias that was spread sums up.
func attentionGradients(_ b: inout GraphBuilder, _ node: Node, _ value: ValueID, _ g: ValueID) -> [ValueID?] {
  let types = node.operands.map { b.type($0) }
  let form = AttentionForm(proved: types, node.attributes)
  let logSum = b.result(1, of: value)
  let operands = Array(node.operands[..<3]) + [value, logSum, g] + node.operands[3...]
  let first = b.make(.attentionGradient, operands, node.attributes)
  var gradients: [ValueID?] = [first, b.result(1, of: first), b.result(2, of: first)]
  gradients += node.operands.indices.dropFirst(3).map { index in
    index == form.bias ? spreadSum(&b, b.result(3, of: first), to: types[index]) : nil
  }
  return zip(gradients, types).map { gradient, type in gradient.map { b.cast($0, to: type.dtype) } }
}

/// What flows back to an operand that was spread over the scores, whose gradient this is.
private func spreadSum(_ b: inout GraphBuilder, _ gradient: ValueID, to type: TensorType) -> ValueID {
  let (shape, missing) = (b.type(gradient).shape, 4 - type.rank)
  let axes = shape.indices.filter { $0 < missing || type.shape[$0 - missing] == 1 && shape[$0] != 1 }
  return b.reshape(b.sum(gradient, axes), to: type.shape)
}

/// The steps that both directions share.
struct AttentionFormula {
  let form: AttentionForm
  private let node: Node
  private let wide: DType

  init(_ b: GraphBuilder, _ node: Node, from first: Int) {
    self.node = node
    form = AttentionForm(proved: node.operands.map { b.type($0) }, node.attributes, from: first)
    wide = node.type.dtype.arithmetic
  }

  private var isShared: Bool { form.groups != 1 }

  /// `[batch, heads, ...]` with the heads that share a key head on an axis of their own; and back.
  private func grouped(_ b: inout GraphBuilder, _ value: ValueID) -> ValueID {
    if !isShared { return value }
    let shape = b.type(value).shape
    return b.reshape(value, to: [shape[0], form.keyHeads, form.groups] + shape[2...])
  }

  private func ungrouped(_ b: inout GraphBuilder, _ value: ValueID) -> ValueID {
    if !isShared { return value }
    let shape = b.type(value).shape
    return b.reshape(value, to: [shape[0], form.heads] + shape[3...])
  }

  /// Rounded to the operands' dtype: what a product reads.
  private func operand(_ b: inout GraphBuilder, _ value: ValueID, like other: ValueID) -> ValueID {
    b.cast(value, to: b.type(other).dtype)
  }

  /// `[B, H, T, W]` by `[B, Hk, S, W]`: each query row with each key row, wide.
  func products(_ b: inout GraphBuilder, _ rows: ValueID, _ lines: ValueID) -> ValueID {
    let last = isShared ? 4 : 3
    let left = grouped(&b, rows)
    return ungrouped(&b, b.contract(left, lines, batch: [0, 1], [last], [3], dtype: wide(of: rows, b)))
  }

  /// `[B, H, T, S]` by `[B, Hk, S, W]`: sums over keys.
  func weighted(_ b: inout GraphBuilder, _ weights: ValueID, _ lines: ValueID) -> ValueID {
    let last = isShared ? 4 : 3
    let left = grouped(&b, operand(&b, weights, like: lines))
    return ungrouped(&b, b.contract(left, lines, batch: [0, 1], [last], [2], dtype: wide(of: lines, b)))
  }

  /// `[B, H, T, S]` by `[B, H, T, W]`: sums over queries, and over the heads that share a key head.
  func summed(_ b: inout GraphBuilder, _ weights: ValueID, _ rows: ValueID) -> ValueID {
    let over = isShared ? [2, 3] : [2]
    let left = grouped(&b, operand(&b, weights, like: rows))
    return b.contract(left, grouped(&b, rows), batch: [0, 1], over, over, dtype: wide(of: rows, b))
  }

  private func wide(of value: ValueID, _ b: GraphBuilder) -> DType? { b.type(value).dtype == wide ? nil : wide }

  /// Weights times what dropout leaves of them.
  func kept(_ b: inout GraphBuilder, _ weights: ValueID) -> ValueID {
    guard form.threshold > 0, let key = form.key else { return weights }
    var drawing = node
    drawing.operands = [node.operands[key]]
    let bits = b.randomBits(drawing, form.scores, 24)
    let isKept = b.make(.greaterEqual, [bits, b.fill(form.threshold, like: bits)])
    return b.select(isKept, b.scale(weights, by: form.keptScale), b.fill(0, like: weights))
  }

  /// The scores, minus infinity where a key is hidden; and how they change with the products.
  func scores(_ b: inout GraphBuilder) -> (score: ValueID, slope: ValueID) {
    let raw = products(&b, node.operands[0], node.operands[1])
    let factor = b.broadcast(scale(&b), to: b.type(raw).shape)
    var (score, slope) = (b.mul(raw, factor), factor)
    if let cap = form.softCap {
      let t = b.make(.tanh, [b.scale(score, by: 1 / cap)])
      score = b.scale(t, by: cap)
      slope = b.mul(factor, b.sub(b.fill(1, like: t), b.mul(t, t)))
    }
    if let bias = form.bias {
      let type = b.type(node.operands[bias])
      let spread = b.broadcast(
        b.passed(node.operands[bias], to: wide), to: form.scores, axes: AttentionForm.axes(of: type))
      score = b.add(score, spread)
    }
    if let visible = visible(&b) { score = b.select(visible, score, b.fill(-.infinity, like: score)) }
    return (score, slope)
  }

  private func scale(_ b: inout GraphBuilder) -> ValueID {
    if let scale = form.scale { return b.constant(scale, TensorType(wide, [])) }
    if let depth = form.depth.constant { return b.constant(1 / Double(depth).squareRoot(), TensorType(wide, [])) }
    let root = b.make(.sqrt, [b.dimension(form.depth, wide)])
    return b.div(b.fill(1, like: root), root)
  }

  /// Which keys each query sees; `nil`: all.
  private func visible(_ b: inout GraphBuilder) -> ValueID? {
    var conditions: [ValueID] = []
    if form.isCausal || form.window != nil {
      let type = TensorType(.i32, form.scores)
      let key = b.index(3, type)
      var position = b.index(2, type)
      if let offset = form.offset {
        let axes = b.type(node.operands[offset]).rank == 0 ? [] : [0]
        position = b.add(position, b.broadcast(node.operands[offset], to: type.shape, axes: axes))
      }
      if form.isCausal { conditions.append(b.make(.lessEqual, [key, position])) }
      if let window = form.window {
        conditions.append(b.make(.greater, [key, b.offset(position, by: -Double(window))]))
        if !form.isCausal { conditions.append(b.make(.less, [key, b.offset(position, by: Double(window))])) }
      }
    }
    if let mask = form.mask {
      let type = b.type(node.operands[mask])
      conditions.append(b.broadcast(node.operands[mask], to: form.scores, axes: AttentionForm.axes(of: type)))
    }
    return conditions.dropFirst().reduce(conditions.first) { all, next in all.map { b.make(.and, [$0, next]) } }
  }
}

extension GraphBuilder {
  /// The index along an axis, for each element of a shape.
  fileprivate mutating func index(_ axis: Int, _ type: TensorType) -> ValueID {
    make(.iota, [], ["shape": .dims(type.shape), "axis": .int(axis), "dtype": .dtype(type.dtype)])
  }
}
