import LTMIR
import LTMKernels

// Random numbers: a function of the key, which is read, and of the element's place.

extension KernelBuilder {
  /// Some bits of a word of the counter that an element shares with its neighbours.
  mutating func randomBits(_ node: Int, _ form: RandomForm, at place: Place) throws(EmissionFailure) -> ScalarID {
    try randomBits(form, key: lowered.nodes[node].operands[0].index, at: place, node)
  }

  /// The same for a node that draws with a key among its operands.
  mutating func randomBits(
    _ form: RandomForm, key: Int, at place: Place, _ node: Int
  ) throws(EmissionFailure) -> ScalarID {
    let index = try placeInBatch(form, at: place, node)
    let counter = integer(.div, index, form.perCounter)
    let first = integer(
      .mul, pool.add(.apply(.sub, [index, integer(.mul, counter, form.perCounter)], .i32)), form.words)
    let word = form.words == 4 ? number(form.word) : integer(.add, first, form.word)
    let key = try keyWords(key)
    let counters = [counter, number(0), key[2], key[3]]
    return philox(counters, key, word: word, skip: form.skip, bits: form.bits)
  }

  /// The place of an element among those of all ranks, each of which has some rows.
  private mutating func placeInBatch(
    _ form: RandomForm, at place: Place, _ node: Int
  ) throws(EmissionFailure) -> ScalarID {
    guard form.replicas > 1, form.rows != nil else {
      guard let flat = place.flat(space.axes) else { throw .needsBuffer(node) }
      return try scalar(flat)
    }
    guard let axes = place.affine else { throw .needsBuffer(node) }
    let (strides, first) = form.globalStrides(place.shape, replica: form.replica ?? 0)
    var index = number(first)
    for (axis, stride) in zip(axes, strides) where stride > 0 {
      index = pool.add(.apply(.add, [index, integer(.mul, try scalar(axis), stride)], .i32))
    }
    return index
  }

  /// A word of a key made of another.
  mutating func foldedKey(_ node: Int, _ stream: UInt64, at place: Place) throws(EmissionFailure) -> ScalarID {
    guard let flat = place.flat(space.axes) else { throw .needsBuffer(node) }
    let operands = lowered.nodes[node].operands.map(\.index)
    let key = try keyWords(operands[0])
    var low = number(Int(Int32(truncatingIfNeeded: stream)))
    if operands.count > 1 {
      let given = try value(operands[1], at: Place(shape: [], index: []))
      low = stream == 0 ? given : pool.add(.apply(.add, [given, low], .i32))
    }
    let high = number(Int(Int32(truncatingIfNeeded: stream >> 32)))
    return philox([low, high, key[2], key[3]], key, word: try scalar(flat), skip: 0, bits: 32)
  }

  private mutating func philox(
    _ counters: [ScalarID], _ key: [ScalarID], word: ScalarID, skip: Int, bits: Int
  ) -> ScalarID {
    pool.add(.apply(.philox, counters + [key[0], key[1], word, number(skip), number(bits)], .i32))
  }

  private mutating func keyWords(_ node: Int) throws(EmissionFailure) -> [ScalarID] {
    var words: [ScalarID] = []
    for word in 0..<4 {
      words.append(try value(node, at: Place(shape: [4], index: [.affine(Affine(constant: word))])))
    }
    return words
  }

  private mutating func number(_ value: Int) -> ScalarID { pool.add(.constant(Double(value), .i32)) }

  /// An integer and a number; the integer itself where that changes nothing.
  private mutating func integer(_ primitive: Primitive, _ value: ScalarID, _ number: Int) -> ScalarID {
    if number == (primitive == .add ? 0 : 1) { return value }
    return pool.add(.apply(primitive, [value, self.number(number)], .i32))
  }
}
