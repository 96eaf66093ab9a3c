import LTMIR

// Attention and rotary positions, by their definition: where only the values are asked for, the scores are one op of the language.

extension OperatorTable {
  static let attention: [String: OperatorRow] = [
    "Attention": OperatorRow(since: 23) { call throws in try call.attention() },
    "RotaryEmbedding": .one(since: 23) { call throws in try call.rotary() },
  ]
}

extension NodeCall {
  /// `[batch, heads, length, width]` of `[batch, length, heads * width]`.
  private func heads(_ x: Value, _ count: String) throws -> Value {
    guard x.rank == 3 else { return x }
    guard let heads = int(count), let width = x.shape[2].dividedExactly(by: Dim(heads)) else {
      throw ImportProblem("'\(count)' does not divide \(shapeText(x.shape))")
    }
    return try transpose(try reshape(x, [x.shape[0], x.shape[1], Dim(heads), width]), [0, 2, 1, 3])
  }

  fileprivate func attention() throws -> [Value] {
    guard optional(6) == nil, int("left_window_size", -1) < 0, int("right_window_size", -1) < 0 else {
      throw ImportProblem("lengths known in data and windows are not imported")
    }
    let given = try input(0)
    let q = try heads(given, "q_num_heads")
    var (k, v) = (try heads(try input(1), "kv_num_heads"), try heads(try input(2), "kv_num_heads"))
    guard q.rank == 4, k.rank == 4, v.rank == 4 else { throw ImportProblem("its operands have other ranks") }
    guard optional(3)?.rank ?? 1 >= 1, optional(4)?.rank ?? 4 == 4, optional(5)?.rank ?? 4 == 4 else {
      throw ImportProblem("its operands have other ranks")
    }
    let past = optional(4)?.shape[2] ?? 0
    if let key = optional(4), let value = optional(5) {
      k = try apply(.concat, [key, k], ["axis": .int(2)])
      v = try apply(.concat, [value, v], ["axis": .int(2)])
    }
    (k, v) = (named(k), named(v))
    let (weights, asked) = try weights(named(q), k, past)
    var result = try grouped(weights, v)
    if given.rank == 3 {
      let width = try product([result.shape[1], result.shape[3]])
      result = try reshape(try transpose(result, [0, 2, 1, 3]), [result.shape[0], result.shape[2], width])
    }
    return [result, k, v, asked]
  }

  /// The softmax of the scores, and whichever stage is asked for beside the result.
  private func weights(_ q: Value, _ k: Value, _ past: Dim) throws -> (weights: Value, asked: Value) {
    guard let width = q.shape[3].constant else { throw ImportProblem("the width of its heads is not known") }
    let scale = float("scale", 1 / Double(width).squareRoot())
    var scores = named(try grouped(try mul(q, scale), try transpose(k, [0, 1, 3, 2])))
    let mode = int("qk_matmul_output_mode", 0)
    var asked = scores
    let cap = float("softcap", 0)
    if cap > 0 {
      scores = named(try mul(try unary(.tanh, try div(scores, cap)), cap))
      if mode == 1 { asked = scores }
    }
    let bias = try scoreBias(q.shape[2], k.shape[2], past, like: scores)
    if let bias { scores = named(try add(scores, bias)) }
    if mode == 2 { asked = scores }
    var weights = try apply(.softmax, [scores], ["axis": .int(3)])
    if let bias {
      // A query that sees no key gives zeros.
      let best = try apply(.max, [bias], ["axes": .ints([bias.rank - 1]), "keep": .bool(true)])
      weights = try choose(try compare(.equal, best, -.infinity), number(0, like: weights), weights)
    }
    weights = named(weights)
    return (weights, mode == 3 ? weights : asked)
  }

  private func scoreBias(_ queries: Dim, _ keys: Dim, _ past: Dim, like scores: Value) throws -> Value? {
    var bias: Value?
    if let mask = optional(3) {
      var additive =
        mask.dtype == .bool
        ? try choose(mask, number(0, like: scores), number(-.infinity, like: scores)) : mask
      if let less = keys.subtracting(mask.shape[mask.rank - 1])?.constant, less > 0 {
        additive = try apply(
          .pad, [additive],
          ["axis": .int(mask.rank - 1), "low": .int(0), "high": .int(less), "value": .float(-.infinity)])
      }
      bias = additive
    }
    guard flag("is_causal") else { return bias.map(named) }
    let rows = try iota([queries, keys], axis: 0)
    let columns = try iota([queries, keys], axis: 1)
    let last = past == 0 ? rows : try add(rows, Value(sizes: [past], shape: []).settled)
    let seen = try apply(.lessEqual, [columns, last])
    let causal = try choose(seen, number(0, like: scores), number(-.infinity, like: scores))
    return named(try bias.map { try add($0, causal) } ?? causal)
  }

  /// The product of heads with as many, or with fewer that are shared.
  private func grouped(_ a: Value, _ b: Value) throws -> Value {
    guard let many = a.shape[1].constant, let few = b.shape[1].constant, many != few else { return try matmul(a, b) }
    guard few > 0, many % few == 0 else { throw ImportProblem("\(many) heads do not share \(few)") }
    let split = try reshape(a, [a.shape[0], Dim(few), Dim(many / few), a.shape[2], a.shape[3]])
    let shared = try reshape(b, [b.shape[0], Dim(few), 1, b.shape[2], b.shape[3]])
    let result = try matmul(split, shared)
    return try reshape(result, [a.shape[0], Dim(many), a.shape[2], b.shape[3]])
  }

  fileprivate func rotary() throws -> Value {
    let given = try input(0)
    let isFlat = given.rank == 3
    let x = isFlat ? try heads(given, "num_heads") : given
    guard x.rank == 4 else { throw ImportProblem("its operand is \(shapeText(given.shape))") }
    let asked = int("rotary_embedding_dim", 0)
    guard let width = x.shape[3].constant, asked <= width else {
      throw ImportProblem("the width of its heads is not known")
    }
    let part = asked <= 0 ? width : asked
    let turned = named(try slice(x, axis: 3, from: 0, to: Dim(part)))
    func cache(_ index: Int) throws -> Value {
      let table = try input(index)
      let rows = try optional(3).map { try apply(.gather, [table, $0], ["axis": .int(0)]) } ?? table
      guard rows.rank >= 1 else { throw ImportProblem("its tables are scalars") }
      return named(try reshape(rows, [rows.shape[0], 1] + rows.shape.dropFirst()))
    }
    let (cos, sin) = (try cache(1), try cache(2))
    let (a, b) = try halves(turned, part)
    let real = try sub(try mul(cos, a), try mul(sin, b))
    let imaginary = try add(try mul(sin, a), try mul(cos, b))
    var result: Value
    if flag("interleaved") {
      let pairs = try [real, imaginary].map { try reshape($0, $0.shape + [1]) }
      result = try reshape(try apply(.concat, pairs, ["axis": .int(4)]), turned.shape)
    } else {
      result = try apply(.concat, [real, imaginary], ["axis": .int(3)])
    }
    if part < width {
      result = try apply(.concat, [result, try slice(x, axis: 3, from: Dim(part), to: Dim(width))], ["axis": .int(3)])
    }
    return isFlat ? try reshape(try transpose(result, [0, 2, 1, 3]), given.shape) : result
  }

  private func halves(_ x: Value, _ width: Int) throws -> (Value, Value) {
    guard flag("interleaved") else {
      let half = Dim(width / 2)
      return (named(try slice(x, axis: 3, from: 0, to: half)), named(try slice(x, axis: 3, from: half, to: Dim(width))))
    }
    let pairs = try reshape(x, x.shape.dropLast() + [Dim(width / 2), 2])
    let parts = try (0..<2).map { try slice(pairs, axis: 4, from: Dim($0), to: Dim($0 + 1)) }
    let shape = Array(pairs.shape.dropLast())
    return (named(try reshape(parts[0], shape)), named(try reshape(parts[1], shape)))
  }
}
