import LTMIR

// Products of matrices.

extension OperatorTable {
  static let contractions: [String: OperatorRow] = [
    "MatMul": .one { call throws in try call.matmul(try call.input(0), try call.input(1)) },
    "Gemm": .one { call throws in try call.gemm() },
    "Einsum": .one { call throws in try call.einsum() },
  ]
}

extension NodeCall {
  /// NumPy's product: a vector is a row on the left, a column on the right.
  func matmul(_ a: Value, _ b: Value) throws -> Value {
    if !a.dtype.isFloating {
      return try cast(try matmul(try cast(a, .double), try cast(b, .double)), a.element)
    }
    guard a.rank >= 1, b.rank >= 1 else { throw ImportProblem("its operands are scalars") }
    let left = a.rank == 1 ? try reshape(a, [1, a.shape[0]]) : a
    let right = b.rank == 1 ? try reshape(b, [b.shape[0], 1]) : b
    guard left.shape[left.rank - 1] == right.shape[right.rank - 2] else {
      throw ImportProblem("\(shapeText(a.shape)) times \(shapeText(b.shape)) has no meaning")
    }
    let leading = try builder.joinedShape([Array(left.shape.dropLast(2)), Array(right.shape.dropLast(2))])
    let shape = leading + [left.shape[left.rank - 2], right.shape[right.rank - 1]]
    var result = try product(left, right, shape)
    if a.rank == 1 || b.rank == 1 {
      var kept = shape
      if b.rank == 1 { kept.removeLast() }
      if a.rank == 1 { kept.remove(at: kept.count - (b.rank == 1 ? 1 : 2)) }
      result = try reshape(result, kept)
    }
    return result
  }

  private func product(_ a: Value, _ b: Value, _ shape: [Dim]) throws -> Value {
    let flat = try apply(.matmul, [try pair(a, 2), try pair(b, 2)])
    let operands = try builder.all([a, b])
    return Value(TensorType(flat.dtype, shape), a.element, .expression(.call("matmul", operands, [])))
  }

  /// A value of the same dtype and last dimensions, for the type alone.
  private func pair(_ x: Value, _ rank: Int) throws -> Value {
    Value(TensorType(x.dtype, Array(x.shape.suffix(rank))), x.element, .expression(.word("_")))
  }

  /// The product of a weight plus a bias: a linear layer, whose weight lies as PyTorch's does. `nil` where it is none.
  func linear(_ product: Value, _ bias: Value) throws -> Value? {
    guard let (x, weight) = builder.product(product), case .constant(let constant) = bias.content,
      constant.count == weight.shape[1], constant.shape.last == constant.count, constant.shape.count <= product.rank,
      !constant.isComputed, bias.dtype == product.dtype
    else { return nil }
    let row = constant.shape.count == 1 ? bias : Value(constant.with(shape: [constant.count]))
    let operands = try builder.all([Value(builder.transposed(weight)), row])
    return Value(product.type, product.element, .expression(.call("linear", [x] + operands, [])))
  }

  fileprivate func gemm() throws -> Value {
    let (a, b) = (try input(0), try input(1))
    let (alpha, beta) = (float("alpha", 1), float("beta", 1))
    guard a.rank == 2, b.rank == 2 else { throw ImportProblem("its operands are no matrices") }
    let left = flag("transA") ? try transpose(a, [1, 0]) : a
    let matrix: Value? =
      if case .constant(let constant) = b.content, !flag("transB"), !constant.isComputed {
        Value(builder.transposed(constant))
      } else {
        flag("transB") ? b : nil
      }
    if let b = matrix, alpha == 1, left.dtype.isFloating {
      let bias = optional(2)
      if beta == 1, let bias, bias.rank == 1, bias.shape[0] == b.shape[0] {
        return try apply(.linear, [left, b, bias])
      }
      if bias == nil { return try apply(.linear, [left, b]) }
    }
    var result = try matmul(left, flag("transB") ? try transpose(b, [1, 0]) : b)
    if alpha != 1 { result = try mul(result, alpha) }
    guard let c = optional(2) else { return result }
    return try add(result, beta == 1 ? c : try mul(c, beta))
  }

  // MARK: Einsum

  fileprivate func einsum() throws -> Value {
    let equation = string("equation", "").filter { $0 != " " }
    let sides = equation.components("->")
    let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map { Array($0) }
    guard !equation.contains("."), terms.count == inputs.count, (1...2).contains(terms.count) else {
      throw ImportProblem("the equation '\(equation.shownSafely)' is not imported")
    }
    let letters = terms.flatMap { $0 }
    let once = Set(letters).filter { letter in letters.filter { $0 == letter }.count == 1 }.sorted()
    let result = sides.count > 1 ? Array(sides[1]) : once
    var factors: [Value] = []
    let order = result + Set(letters).subtracting(result).sorted()
    for (index, term) in terms.enumerated() {
      factors.append(try aligned(try input(index), term, order))
    }
    let product = try combined(.mul, factors)
    let axes = Array(result.count..<order.count)
    return axes.isEmpty
      ? product
      : try apply(.sum, [product], ["axes": .ints(axes), "keep": .bool(false)], element: product.element)
  }

  /// An operand with its axes in the order of all letters, 1 where it has none.
  private func aligned(_ x: Value, _ term: [Character], _ order: [Character]) throws -> Value {
    guard x.rank == term.count, Set(term).count == term.count else {
      throw ImportProblem("the term '\(String(term).shownSafely)' of its equation is not imported")
    }
    let present = order.filter(term.contains)
    let sorted = try transpose(x, present.compactMap { term.firstIndex(of: $0) })
    var rest = sorted.shape[...]
    return try reshape(sorted, order.map { term.contains($0) ? rest.popFirst() ?? 1 : 1 })
  }
}

extension String {
  /// The parts around a separator.
  fileprivate func components(_ separator: String) -> [String] {
    guard let range = firstRange(of: separator) else { return [self] }
    return [String(self[..<range.lowerBound]), String(self[range.upperBound...])]
  }
}
