internal import CLLVM
import LTMIR
import LTMKernels

// Random bits of a vector's lanes. Neighbours have a counter in common, each a word of its own or two: where a whole number
// of such groups lies in the vector, a counter is computed once for all of its lanes.
extension Evaluator {
  func philox(_ operands: [ScalarID]) -> Lanes {
    let (counter, key) = (Array(operands[0..<4]), Array(operands[4..<6]))
    let word =
      if let group = group(operands) { grouped(group, counter, key) } else { single(counter, key, operands[6]) }
    let (skip, bits) = (spread(known(operands[7].index).lanes, word.count), known(operands[8].index).lanes)
    return ir.bits(of: word, skip: skip, bits: spread(bits, word.count))
  }

  /// Each lane by itself.
  private func single(_ counter: [ScalarID], _ key: [ScalarID], _ number: ScalarID) -> Lanes {
    let (values, number) = (counter.map { known($0.index).lanes }, known(number.index).lanes)
    let lanes = max(values.map(\.count).max() ?? 1, number.count)
    let words = words(counter + key) { values.map { spread($0, lanes) } }
    return ir.chosen(words.map { spread($0, lanes) }, spread(number, lanes))
  }

  /// The words of counters, by the expressions of counter and key; those that an earlier expression has are not computed again.
  private func words(_ id: [ScalarID], _ values: () -> [Lanes]) -> [Lanes] {
    for scope in drawn.reversed() { if let words = scope[id] { return words } }
    let (counters, keys) = (values(), id[4..<6].map { known($0.index).lanes })
    let lanes = max(counters[0].count, keys.map(\.count).max() ?? 1)
    let words = ir.philox(counter: counters.map { spread($0, lanes) }, key: keys)
    drawn[drawn.count - 1][id] = words
    return words
  }

  // MARK: Groups

  /// Lanes that share counters.
  private struct Group {
    /// The place of the first lane.
    let form: LinearForm
    /// How many lanes share a counter, how many words each has, and which of them is asked for.
    let size: Int, words: Int, word: Int
  }

  /// How lanes share counters; `nil` where they do not, or where that is not known.
  private func group(_ operands: [ScalarID]) -> Group? {
    guard let vector, vector.isAligned, let draw = kernel.kernel.draw(operands), vector.lanes % draw.size == 0 else {
      return nil
    }
    var form = LinearForm(axes: kernel.kernel.axes.count)
    form.add(draw.place, times: 1)
    let others = form.strides.enumerated().filter { $0.offset != vector.axis }.map(\.element)
    guard form.strides[vector.axis] == 1, (others + [form.offset]).allSatisfy({ $0 % draw.size == 0 }),
      operands[1..<6].allSatisfy({ !kernel.dependencies[$0.index].contains(vector.axis) })
    else { return nil }
    return Group(form: form, size: draw.size, words: 4 / draw.size, word: draw.word)
  }

  private func grouped(_ group: Group, _ counter: [ScalarID], _ key: [ScalarID]) -> Lanes {
    let count = (vector?.lanes ?? 1) / group.size
    // A group's words are not those of single lanes.
    let words = words(counter + key + [counter[0]]) {
      let first = Lanes(offset(group.form), ir).truncated(to: ir.i32).shiftedRight(group.size == 4 ? 2 : 1)
      let counters = spread(first, count).plusBits(Lanes(ir.constants(Array(0..<count), ir.i32), ir))
      return [counters] + counter.dropFirst().map { spread(known($0.index).lanes, count) }
    }
    let rows = (0..<group.size).map { words[$0 * group.words + group.word].ref }
    return Lanes(ir.alternating(rows), ir)
  }
}

extension IRBuilder {
  /// The lanes of some values in turn: the first of each, then the second of each. Two values, or four.
  fileprivate func alternating(_ rows: [LLVMValueRef]) -> LLVMValueRef {
    if rows.count == 1 { return rows[0] }
    let half = rows.count / 2
    let even = alternating((0..<half).map { rows[2 * $0] })
    let odd = alternating((0..<half).map { rows[2 * $0 + 1] })
    let lanes = lanes(of: LLVMTypeOf(even))
    if lanes == 1 {
      let first = insert(even, into: LLVMGetPoison(vector(LLVMTypeOf(even), 2)), lane: 0)
      return insert(odd, into: first, lane: 1)
    }
    return shuffle(even, odd, (0..<2 * lanes).map { $0 % 2 == 0 ? $0 / 2 : lanes + $0 / 2 })
  }
}

extension Kernel {
  /// How a `philox` of an element's own place draws: the place, how many elements share a counter, and the number of the word
  /// among those of the element.
  fileprivate func draw(_ operands: [ScalarID]) -> (place: Affine, size: Int, word: Int)? {
    guard case .apply(.div, let parts, .i32) = self[operands[0]], let size = number(parts[1]), size == 2 || size == 4,
      let place = affine(parts[0])
    else { return nil }
    // The rest times the words of an element, and the number of one of them.
    var (number, word) = (operands[6], 0)
    if case .apply(.add, let sum, .i32) = self[number], let added = self.number(sum[1]) {
      (number, word) = (sum[0], added)
    }
    if size == 2 {
      guard case .apply(.mul, let product, .i32) = self[number], self.number(product[1]) == 2 else { return nil }
      number = product[0]
    }
    guard case .apply(.sub, let rest, .i32) = self[number], rest[0] == parts[0],
      case .apply(.mul, let whole, .i32) = self[rest[1]], whole[0] == operands[0], self.number(whole[1]) == size,
      (0..<4 / size).contains(word)
    else { return nil }
    return (place, size, word)
  }

  private func number(_ id: ScalarID) -> Int? {
    if case .constant(let value, .i32) = self[id] { Int(exactly: value) } else { nil }
  }

  /// An index form that was written out.
  private func affine(_ id: ScalarID) -> Affine? {
    switch self[id] {
    case .axis(let axis): Affine(axis: axis)
    case .constant(let value, .i32): Int(exactly: value).map { Affine(constant: $0) }
    case .apply(.add, let operands, .i32):
      affine(operands[0]).flatMap { a in affine(operands[1]).flatMap { a.adding($0) } }
    case .apply(.mul, let operands, .i32):
      number(operands[1]).flatMap { factor in affine(operands[0]).flatMap { $0.scaled(by: factor) } }
    case .constant, .load, .local, .scratch, .apply, .convert, .round: nil
    }
  }
}
