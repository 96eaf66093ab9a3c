// Rows: images in another size. Each axis by itself, as a product with a matrix of weights, whose gradient is one too: no two
// elements are added at one place.

extension OpDefinition {
  static let interpolate = composed(
    "Images `[batch, channels, sizes...]` in another size: `size`, or each axis times `scale_factor`. \"linear\" goes along each "
      + "axis (so that it is bilinear, and trilinear), \"cubic\" too. With `align_corners` the first and the last elements stay where "
      + "they are, else the borders of the images do.",
    signature: [
      OpParameter("x", .tensor), OpParameter("size", .ints, isOptional: true),
      OpParameter("scale_factor", .float, isOptional: true),
      OpParameter("mode", .word(modes), default: .word("nearest")),
      OpParameter("align_corners", .bool, default: .bool(false)),
    ],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      try requireRank(types, 0, atLeast: 3)
      let dtype = try joinedDType(types, .floats)
      _ = try attributes.required("mode", attributes.word("mode"))
      _ = try attributes.required("align_corners", attributes.bool("align_corners"))
      return TensorType(dtype, types[0].shape.prefix(2) + (try resized(Array(types[0].shape.dropFirst(2)), attributes)))
    },
    examples: [
      example([1, 2, 4], "nearest", [7]), example([1, 2, 5], "nearest-exact", [3]),
      example([1, 2, 4], "linear", [7], aligned: true), example([2, 1, 3, 4], "linear", [5, 2]),
      example([1, 1, 4, 5], "cubic", [7, 3]), example([1, 2, 4], "cubic", [6], aligned: true),
    ]
  ) { b, x, attributes, result in
    var value = b.wide(x[0])
    // A factor moves places even where the size stays.
    let isMoving = attributes.float("scale_factor").map { $0 != 1 } ?? false
    for axis in 2..<result.rank where isMoving || b.type(value).shape[axis] != result.shape[axis] {
      value = resampled(&b, value, axis: axis, to: result.boundShape[axis], attributes)
    }
    return b.cast(value, to: result.dtype)
  }

  private static func example(_ shape: [Int], _ mode: String, _ size: [Int], aligned: Bool = false) -> OpExample {
    OpExample([(shape, .any)], ["size": .ints(size), "mode": .word(mode), "align_corners": .bool(aligned)])
  }
}

private let modes = ["nearest", "nearest-exact", "linear", "bilinear", "trilinear", "cubic", "bicubic"]

private func resized(_ sizes: [Dim], _ attributes: Attributes) throws(OpError) -> [Dim] {
  if let given = attributes.ints("size") {
    guard attributes.float("scale_factor") == nil else { throw OpError("size and scale_factor are both given") }
    let wanted = given.count == 1 ? [Int](repeating: given[0], count: sizes.count) : given
    guard wanted.count == sizes.count, wanted.allSatisfy({ 1...(1 << 24) ~= $0 }) else {
      throw OpError(
        "\(given) is no size of \(sizes.count) axes", operands: [(0, nil)], note: "it is an Int, or one for each axis")
    }
    return wanted.map { Dim($0) }
  }
  guard let factor = attributes.float("scale_factor") else { throw OpError("size or scale_factor is needed") }
  var result: [Dim] = []
  for size in sizes {
    if let number = size.constant {
      let scaled = (Double(number) * factor).rounded(.down)
      guard scaled >= 1, scaled <= 0x1p24 else { throw OpError("\(number) places times \(factor) are no size") }
      result.append(Dim(Int(scaled)))
    } else {
      guard let whole = Int(exactly: factor), whole >= 1 else {
        throw OpError("\(size) places times \(factor) are not known", note: "give the size, or a whole factor")
      }
      result.append(try checkedDim(size.multiplied(by: Dim(whole))))
    }
  }
  return result
}

/// One axis in another size.
private func resampled(
  _ b: inout GraphBuilder, _ x: ValueID, axis: Int, to size: Int, _ attributes: Attributes
) -> ValueID {
  let old = b.type(x).shape[axis].constant ?? 1
  let mode = attributes[word: "mode"]
  // Whole copies are a view.
  let isWhole = size % old == 0 && attributes.float("scale_factor") ?? Double(size / old) == Double(size / old)
  if mode == "nearest", isWhole { return b.copied(x, size / old, axis: axis, at: axis + 1) }
  let places = Places(size: size, old: old, factor: attributes.float("scale_factor"), dtype: b.type(x).dtype)
  switch mode {
  case "nearest", "nearest-exact":
    let place = b.make(.floor, [places.source(&b, places.number(&b, plus: mode == "nearest" ? 0 : 0.5))])
    return b.make(.gather, [x, b.cast(places.held(&b, place), to: .i32)], ["axis": .int(axis)])
  case "linear", "bilinear", "trilinear":
    // A hat on each old place, as wide as its neighbours are far.
    let place = places.held(&b, places.centre(&b, attributes[bool: "align_corners"]))
    let distance = b.make(.abs, [b.sub(places.spread(&b, place), places.old(&b))])
    let one = b.fill(1, like: distance)
    return b.weighed(x, b.make(.maximum, [b.sub(one, distance), b.fill(0, like: distance)]), axis)
  default:
    let place = places.centre(&b, attributes[bool: "align_corners"])
    let first = b.make(.floor, [place])
    let terms = cubicWeights(&b, b.sub(place, first)).enumerated().map { offset, weight in
      let tap = places.held(&b, b.offset(first, by: Double(offset - 1)))
      let isTap = b.make(.equal, [places.spread(&b, tap), places.old(&b)])
      let spread = places.spread(&b, weight)
      return b.select(isTap, spread, b.fill(0, like: spread))
    }
    return b.weighed(x, terms.dropFirst().reduce(terms[0]) { b.add($0, $1) }, axis)
  }
}

extension GraphBuilder {
  /// An axis times a matrix of weights, a row for each new place.
  fileprivate mutating func weighed(_ x: ValueID, _ weights: ValueID, _ axis: Int) -> ValueID {
    let rank = type(x).rank
    let product = make(
      .contract, [x, weights],
      ["lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([axis]), "rhs_contract": .ints([1])])
    // The new axis is the last.
    return transpose(product, (0..<rank).map { $0 == axis ? rank - 1 : $0 < axis ? $0 : $0 - 1 })
  }
}

/// Where the places of a new axis lie on the old one.
private struct Places {
  let size, old: Int
  let factor: Double?
  let dtype: DType

  /// The numbers of the new places.
  func number(_ b: inout GraphBuilder, plus offset: Double) -> ValueID {
    let number = b.cast(b.numbers([Dim(size)], axis: 0, .i32), to: dtype)
    return offset == 0 ? number : b.offset(number, by: offset)
  }

  /// The numbers of the old places, for each new one.
  func old(_ b: inout GraphBuilder) -> ValueID {
    b.cast(b.numbers([Dim(size), Dim(old)], axis: 1, .i32), to: dtype)
  }

  /// The old place that a new one comes from. A quotient, since a product with a rounded ratio may miss a whole number.
  func source(_ b: inout GraphBuilder, _ number: ValueID) -> ValueID {
    if let factor { return b.div(number, b.fill(factor, like: number)) }
    return b.div(b.scale(number, by: Double(old)), b.fill(Double(size), like: number))
  }

  /// The old place, between elements, that a new one lies at.
  func centre(_ b: inout GraphBuilder, _ isAligned: Bool) -> ValueID {
    guard isAligned else { return b.offset(source(&b, number(&b, plus: 0.5)), by: -0.5) }
    let number = number(&b, plus: 0)
    if size == 1 { return b.fill(0, like: number) }
    return b.div(b.scale(number, by: Double(old - 1)), b.fill(Double(size - 1), like: number))
  }

  /// The nearest place that the old axis has: its borders go on outside.
  func held(_ b: inout GraphBuilder, _ place: ValueID) -> ValueID {
    b.make(
      .minimum, [b.make(.maximum, [place, b.fill(0, like: place)]), b.fill(Double(old - 1), like: place)])
  }

  func spread(_ b: inout GraphBuilder, _ line: ValueID) -> ValueID {
    b.broadcast(line, to: [Dim(size), Dim(old)], axes: [0])
  }
}

/// The weights of four neighbours by Keys' cubic convolution with a = -0.75, as PyTorch has it.
private func cubicWeights(_ b: inout GraphBuilder, _ share: ValueID) -> [ValueID] {
  let a = -0.75
  let rest = b.sub(b.fill(1, like: share), share)
  func near(_ t: ValueID) -> ValueID {
    b.offset(b.mul(b.mul(b.offset(b.scale(t, by: a + 2), by: -(a + 3)), t), t), by: 1)
  }
  func far(_ t: ValueID) -> ValueID {
    let inner = b.offset(b.mul(b.offset(b.scale(t, by: a), by: -5 * a), t), by: 8 * a)
    return b.offset(b.mul(inner, t), by: -4 * a)
  }
  return [far(b.offset(share, by: 1)), near(share), near(rest), far(b.offset(rest, by: 1))]
}
