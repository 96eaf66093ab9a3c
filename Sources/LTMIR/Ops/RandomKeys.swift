// Rows: keys of random numbers, and the bits that they give. A key is four i32 words: the two of Philox's key, and the upper
// half of its counter. Who draws is told from all others by what its key was made of: the seed, the step attempt, where it
// stands in the model, the iteration of a loop. So equal nodes give equal numbers, and no pass need know that they are random.

extension OpDefinition {
  static let foldKey = OpDefinition(
    "A key of its own for a stream of random numbers: the key, a stream and a number through Philox4x32-10.",
    isCallable: false,
    signature: [
      OpParameter("key", .key), OpParameter("number", .optionalTensor),
      OpParameter("stream", .int, default: .int(0), isOptional: true),
    ], precision: .never,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 1...2)
      try requireKey(types[0])
      if types.count == 2, types[1] != TensorType(.i32, []) {
        throw OpError("the number is \(types[1]), not i32[]", operands: [(1, nil)])
      }
      return types[0]
    },
    evaluate: { x, attributes, _ in
      let (key, number) = (x[0].words, x.count == 2 ? x[1].words[0] : 0)
      let stream = StreamWords(attributes)
      let words = Philox(key: SIMD2(key[0], key[1])).words(
        at: SIMD4(stream.low &+ number, stream.high, key[2], key[3]))
      return Reference(shape: [4], data: (0..<4).map { Double(Int32(bitPattern: words[$0])) })
    }, gradient: .none, lowering: .structural { attributes, _ in .foldKey(stream: StreamWords(attributes).whole) },
    examples: [
      OpExample([([4], key), ([], .integers(9))], ["stream": .int(0x1234_5678_9ABC_DEF0)]),
      OpExample([([4], key), ([], .integers(9))]), OpExample([([4], key)], ["stream": .int(3)]),
    ])

  static let randomBits = OpDefinition(
    "Random bits as whole numbers: for each element some bits of a word of Philox4x32-10, counted in order.",
    isCallable: false,
    signature: [
      OpParameter("key", .key), OpParameter("shape", .dims), OpParameter("bits", .int),
      OpParameter("skip", .int, default: .int(0), isOptional: true),
      OpParameter("words", .int, default: .int(1), isOptional: true),
      OpParameter("word", .int, default: .int(0), isOptional: true),
    ] + rowParameters, precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      try requireKey(types[0])
      let shape = try attributes.required("shape", attributes.dims("shape"))
      _ = try RandomForm(attributes, rank: shape.count)
      try RandomForm.requireCountable(shape, attributes)
      return TensorType(.i32, shape)
    },
    evaluate: { x, attributes, result in
      let shape = result.boundShape
      let form = RandomForm(proved: attributes, rank: shape.count)
      return Reference(shape: shape, data: Draws(x[0], attributes, shape).bits(form))
    }, gradient: .none,
    lowering: .structural { attributes, _ in
      .randomBits(RandomForm(proved: attributes, rank: attributes.dims("shape")?.count ?? 0))
    },
    examples: [
      OpExample([([4], key)], ["shape": .dims([5, 7]), "bits": .int(24)]),
      OpExample([([4], key)], ["shape": .dims([]), "bits": .int(31)]),
      OpExample(
        [([4], key)], ["shape": .dims([3, 9]), "bits": .int(22), "skip": .int(2), "words": .int(2), "word": .int(1)]),
      OpExample([([4], key)], ["shape": .dims([70]), "bits": .int(30), "words": .int(4), "word": .int(2)]),
    ])

  /// What ops that draw have beside what a call gives: the axis of the batch's rows, and how many replicas share them.
  static let rowParameters = [
    OpParameter("rows", .int, isOptional: true, isInternal: true),
    OpParameter("replicas", .int, default: .int(1), isOptional: true, isInternal: true),
    OpParameter("replica", .int, isOptional: true, isInternal: true),
  ]

  /// Any key.
  static let key = OpExample.Fill.integers(1 << 31)
}

extension OpParameter {
  /// The key's place in the signature of an op that can be called.
  static let key = OpParameter("key", .key)
}

/// Throws unless a value can be a key.
func requireKey(_ type: TensorType) throws(OpError) {
  guard type == TensorType(.i32, [4]) else { throw OpError("the key is \(type), not i32[4]") }
}

/// The two words of a stream.
private struct StreamWords {
  let whole: UInt64
  var low: UInt32 { UInt32(truncatingIfNeeded: whole) }
  var high: UInt32 { UInt32(truncatingIfNeeded: whole >> 32) }
  init(_ attributes: Attributes) { whole = UInt64(bitPattern: Int64(attributes.int("stream") ?? 0)) }
}

/// A key as a run is given it: the seed's words, the low one first.
public func seedKey(_ seed: UInt64) -> Tensor? {
  let words = [seed, seed >> 32].map { Double(Int32(truncatingIfNeeded: $0)) }
  return Tensor(words + [0, 0], shape: [4], dtype: .i32)
}
