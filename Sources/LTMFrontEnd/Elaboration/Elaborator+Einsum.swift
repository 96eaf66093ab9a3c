import LTMIR
import LTMSupport
import LTMSyntax

// `einsum("bij,bjk->bik", a, b)`: products and sums of axes that have letters, as contractions of two operands at a time in the
// cheapest order.

/// An operand of an `einsum` with the letters of its axes, each once.
private struct Term {
  var value: Operand
  var letters: [Character]
}

extension Elaborator {
  func einsum(_ arguments: [Given], _ span: Span) -> Value {
    guard inGraph, let first = arguments.first, case .string(let text) = first.value.kind,
      arguments.allSatisfy({ $0.name == nil })
    else { return fail("'einsum' takes an equation and tensors: einsum(\"bij,bjk->bik\", a, b)", at: span) }
    let tensors = arguments.dropFirst().flatMap { argument in argument.value.items.map { ($0, argument.span) } }
    guard !tensors.isEmpty, let operands = operands(tensors) else {
      return tensors.isEmpty ? fail("'einsum' needs operands: einsum(\"ij->ji\", a)", at: span) : Value(.poison, span)
    }
    do {
      let equation = try EinsumEquation(text, ranks: operands.map { builder.type($0.id).rank })
      return einsum(equation, operands, first.span, span)
    } catch {
      return fail(error.message, at: first.span)
    }
  }

  private func einsum(_ equation: EinsumEquation, _ operands: [Operand], _ place: Span, _ span: Span) -> Value {
    guard let sizes = self.sizes(equation, operands, span) else { return Value(.poison, span) }
    var terms: [Term] = []
    for (index, operand) in operands.enumerated() {
      let others = equation.operands.indices.filter { $0 != index }.flatMap { equation.operands[$0] }
      let kept = Set(equation.result).union(others)
      guard let term = single(operand, equation.operands[index], sizes, keeping: kept, span) else {
        return Value(.poison, span)
      }
      terms.append(term)
    }
    let order = EinsumEquation.order(terms.map { Set($0.letters) }, keeping: Set(equation.result)) { letter in
      // What is not known yet is taken to be as large as a batch.
      sizes[letter]?.constant.map(Double.init) ?? 64
    }
    for (left, right) in order {
      let pair = (terms[left], terms[right])
      terms.remove(at: right)
      terms.remove(at: left)
      let needed = terms.reduce(into: Set(equation.result)) { $0.formUnion($1.letters) }
      guard let made = product(pair.0, pair.1, keeping: needed, span) else { return Value(.poison, span) }
      terms.append(made)
    }
    let permutation = equation.result.compactMap { terms[0].letters.firstIndex(of: $0) }
    if permutation == Array(permutation.indices) { return Value(.tensor(terms[0].value.id), span) }
    return apply(.transpose, [terms[0].value], ["permutation": .ints(permutation)], at: span)
  }

  /// The size of each letter; 1 spreads where `...` stands. `nil` after an error.
  private func sizes(_ equation: EinsumEquation, _ operands: [Operand], _ span: Span) -> [Character: Dim]? {
    var sizes: [Character: Dim] = [:]
    for (operand, letters) in zip(operands, equation.operands) {
      for (letter, size) in zip(letters, builder.type(operand.id).shape) {
        guard let known = sizes[letter], known != size else {
          sizes[letter] = size
          continue
        }
        if letter.isNumber, known == 1 || size == 1 {
          sizes[letter] = known == 1 ? size : known
          continue
        }
        fail(
          "the axis '\(letter)' is \(known) and \(size)", at: span,
          labels: operands.map { .init($0.span, "this is \(typeText($0.id))") }, about: [known, size])
        return nil
      }
    }
    return sizes
  }

  /// An operand with each letter once, and without those that only it has and the result has not.
  private func single(
    _ operand: Operand, _ given: [Character], _ sizes: [Character: Dim], keeping kept: Set<Character>, _ span: Span
  ) -> Term? {
    var term = Term(value: operand, letters: given)
    // A size of 1 that spreads is no axis of this operand.
    let shape = builder.type(operand.id).shape
    let spread = given.indices.filter { shape[$0] == 1 && sizes[given[$0]] != 1 }
    if !spread.isEmpty {
      let rest = given.indices.filter { !spread.contains($0) }
      guard let id = tensor(reshape(operand, to: rest.map { shape[$0] }, span)) else { return nil }
      term = Term(value: Operand(id, operand.span), letters: rest.map { given[$0] })
    }
    while let second = term.letters.indices.first(where: { term.letters[..<$0].contains(term.letters[$0]) }),
      let first = term.letters.firstIndex(of: term.letters[second])
    {
      guard let id = diagonal(term.value, first, second, span) else { return nil }
      term.value.id = id
      term.letters.remove(at: second)
    }
    return summed(term, keeping: kept, span)
  }

  /// The elements whose two axes agree, without the second of them.
  private func diagonal(_ x: Operand, _ first: Int, _ second: Int, _ span: Span) -> ValueID? {
    let type = builder.type(x.id)
    let numbers = [first, second].map { axis in
      Operand(
        builder.make(
          .iota, [], ["shape": .dims(type.shape), "axis": .int(axis), "dtype": .dtype(.i32)]), span)
    }
    guard let same = tensor(apply(.equal, numbers, [:], at: span)) else { return nil }
    let zero = Operand(builder.constant(0, type), span)
    guard let kept = tensor(apply(.where, [Operand(same, span), x, zero], [:], at: span)) else { return nil }
    return tensor(apply(.sum, [Operand(kept, x.span)], ["axes": .ints([second]), "keep": .bool(false)], at: span))
  }

  private func summed(_ term: Term, keeping kept: Set<Character>, _ span: Span) -> Term? {
    let axes = term.letters.indices.filter { !kept.contains(term.letters[$0]) }
    if axes.isEmpty { return term }
    guard let id = tensor(apply(.sum, [term.value], ["axes": .ints(axes), "keep": .bool(false)], at: span)) else {
      return nil
    }
    return Term(value: Operand(id, term.value.span), letters: term.letters.filter { kept.contains($0) })
  }

  /// The product of two, summed over what both have and nothing else needs.
  private func product(_ a: Term, _ b: Term, keeping needed: Set<Character>, _ span: Span) -> Term? {
    guard let left = summed(a, keeping: needed.union(b.letters), span),
      let right = summed(b, keeping: needed.union(a.letters), span)
    else { return nil }
    let shared = left.letters.filter { right.letters.contains($0) }
    let (batch, contracted) = (shared.filter { needed.contains($0) }, shared.filter { !needed.contains($0) })
    func places(_ letters: [Character], _ term: Term) -> Attribute {
      .ints(letters.compactMap { term.letters.firstIndex(of: $0) })
    }
    let value = apply(
      .contract, [left.value, right.value],
      [
        "lhs_batch": places(batch, left), "rhs_batch": places(batch, right),
        "lhs_contract": places(contracted, left), "rhs_contract": places(contracted, right),
      ], at: span)
    guard let id = tensor(value) else { return nil }
    let free = left.letters.filter { !shared.contains($0) } + right.letters.filter { !shared.contains($0) }
    return Term(value: Operand(id, span), letters: batch + free)
  }

  private func tensor(_ value: Value) -> ValueID? { if case .tensor(let id) = value.kind { id } else { nil } }
}
