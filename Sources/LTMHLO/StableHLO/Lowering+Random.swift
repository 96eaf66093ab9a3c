import LTMIR

// Philox4x32-10, written out: the generator of XLA itself promises no numbers. Words are ui32, which no dtype here is; their
// products are taken in ui64.

/// Words of one shape, or wide products of them.
private struct Words {
  let name: String
  let shape: [Int]
  var isWide = false
  var type: String { "tensor<\(shape.map { "\($0)x" }.joined())\(isWide ? "ui64" : "ui32")>" }
}

extension Lowering {
  /// Four words of a key and a stream.
  mutating func foldedKey(_ key: HLOValue, stream: UInt64, number: HLOValue?) -> HLOValue {
    let key = keyWords(key, [])
    var low = constant(stream & 0xFFFF_FFFF, [])
    if let number { low = pair("add", cast(number, []), low) }
    let drawn = philox([low, constant(stream >> 32, []), key[2], key[3]], key)
    let parts = drawn.map { builder.reshape(signed($0), to: [1]) }
    return builder.function("concatenate", parts, HLOType(.i32, [4]), ", dim = 0")
  }

  /// Some bits for each element of a shape.
  mutating func randomBits(_ key: HLOValue, _ form: RandomForm, _ type: HLOType) -> HLOValue {
    let shape = type.shape
    let key = keyWords(key, shape)
    let index = places(form, shape)
    let shift = form.perCounter == 4 ? 2 : form.perCounter == 2 ? 1 : 0
    let counter = shift == 0 ? index : pair("shift_right_logical", index, constant(UInt64(shift), shape))
    let drawn = philox([counter, constant(0, shape), key[2], key[3]], key)
    var word = drawn[form.word]
    if form.perCounter > 1 {
      let rest = pair("and", index, constant(UInt64(form.perCounter - 1), shape))
      for place in 1..<form.perCounter {
        word = chosen(rest, place, drawn[place * form.words + form.word], else: word)
      }
    }
    if form.skip > 0 { word = pair("shift_left", word, constant(UInt64(form.skip), shape)) }
    return signed(pair("shift_right_logical", word, constant(UInt64(32 - form.bits), shape)))
  }

  /// The place of each element among those of all replicas.
  private mutating func places(_ form: RandomForm, _ shape: [Int]) -> Words {
    let strides = form.globalStrides(shape)
    var sum: Words?
    for (axis, stride) in strides.enumerated() where shape[axis] > 1 {
      let index = words("iota", "dim = \(axis)", shape)
      let part = stride == 1 ? index : pair("multiply", index, constant(UInt64(stride), shape))
      sum = sum.map { pair("add", $0, part) } ?? part
    }
    guard let rows = form.rows, form.replicas > 1 else { return sum ?? constant(0, shape) }
    let first = pair("multiply", cast(replicaIndex(), []), constant(UInt64(shape[rows] * strides[rows]), []))
    let start = spread(first, shape)
    return sum.map { pair("add", $0, start) } ?? start
  }

  // MARK: Rounds

  private mutating func philox(_ counter: [Words], _ key: [Words]) -> [Words] {
    var (x, key) = (counter, Array(key.prefix(2)))
    let weyl = [0x9E37_79B9, 0xBB67_AE85].map { constant($0, x[0].shape) }
    for round in 0..<10 {
      let (a, b) = (halves(x[0], 0xD251_1F53), halves(x[2], 0xCD9E_8D57))
      x = [
        pair("xor", pair("xor", b.high, x[1]), key[0]), b.low, pair("xor", pair("xor", a.high, x[3]), key[1]), a.low,
      ]
      if round < 9 { key = [pair("add", key[0], weyl[0]), pair("add", key[1], weyl[1])] }
    }
    return x
  }

  /// The upper and the lower half of a product with a constant.
  private mutating func halves(_ value: Words, _ factor: UInt64) -> (high: Words, low: Words) {
    let wide = converted(value, isWide: true)
    let product = pair("multiply", wide, constant(factor, value.shape, isWide: true))
    let high = pair("shift_right_logical", product, constant(32, value.shape, isWide: true))
    return (converted(high, isWide: false), pair("multiply", value, constant(factor, value.shape)))
  }

  // MARK: Lines

  private mutating func words(_ op: String, _ text: String, _ shape: [Int], isWide: Bool = false) -> Words {
    let result = Words(name: builder.step(op), shape: shape, isWide: isWide)
    builder.emit(line: "stablehlo.\(op) \(text) : \(result.type)", as: result.name)
    return result
  }

  private mutating func constant(_ value: UInt64, _ shape: [Int], isWide: Bool = false) -> Words {
    words("constant", "dense<\(value)>", shape, isWide: isWide)
  }

  private mutating func pair(_ op: String, _ a: Words, _ b: Words) -> Words {
    words(op, "\(a.name), \(b.name)", a.shape, isWide: a.isWide)
  }

  private mutating func converted(_ value: Words, isWide: Bool) -> Words {
    let result = Words(name: builder.step("convert"), shape: value.shape, isWide: isWide)
    builder.emit(line: "stablehlo.convert \(value.name) : (\(value.type)) -> \(result.type)", as: result.name)
    return result
  }

  private mutating func chosen(_ index: Words, _ number: Int, _ value: Words, else other: Words) -> Words {
    let flag = HLOType(.bool, index.shape)
    let name = builder.step("compare")
    let number = constant(UInt64(number), index.shape)
    builder.emit(
      line: "stablehlo.compare EQ, \(index.name), \(number.name), UNSIGNED : (\(index.type), \(index.type)) -> \(flag)",
      as: name)
    let result = Words(name: builder.step("select"), shape: value.shape)
    builder.emit(
      line: "stablehlo.select \(name), \(value.name), \(other.name) : \(flag), \(value.type)", as: result.name)
    return result
  }

  /// An i32 as a word.
  private mutating func cast(_ value: HLOValue, _ shape: [Int]) -> Words {
    let result = Words(name: builder.step("bitcast_convert"), shape: shape)
    builder.emit(
      line: "stablehlo.bitcast_convert \(value.name) : (\(value.type)) -> \(result.type)", as: result.name)
    return result
  }

  private mutating func signed(_ value: Words) -> HLOValue {
    let result = HLOValue(name: builder.step("bitcast_convert"), type: HLOType(.i32, value.shape))
    builder.emit(
      line: "stablehlo.bitcast_convert \(value.name) : (\(value.type)) -> \(result.type)", as: result.name)
    return result
  }

  private mutating func spread(_ value: Words, _ shape: [Int]) -> Words {
    if value.shape == shape { return value }
    let result = Words(name: builder.step("broadcast_in_dim"), shape: shape)
    builder.emit(
      line: "stablehlo.broadcast_in_dim \(value.name), dims = [] : (\(value.type)) -> \(result.type)",
      as: result.name)
    return result
  }

  /// The words of a key, each as often as a shape has elements.
  private mutating func keyWords(_ key: HLOValue, _ shape: [Int]) -> [Words] {
    (0..<4).map { word in
      let one = slice(key, 0, (word, word + 1, 1), HLOType(.i32, [1]))
      return spread(cast(builder.reshape(one, to: []), []), shape)
    }
  }
}
