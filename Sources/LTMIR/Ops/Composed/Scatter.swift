// Rows: elements put at places along an axis, and values where a mask holds.

extension OpDefinition {
  static let scatter = composed(
    "`x` with `src` at the places along an axis that `take_along_axis` would read: put there (the last one of several), added, or "
      + "the larger or smaller of both. Indices are clamped.",
    signature: [
      OpParameter("x", .tensor), OpParameter("indices", .tensor), OpParameter("src", .tensor),
      OpParameter("axis", .axis, default: .int(-1)),
      OpParameter("reduce", .word(scatterings), default: .word("set")),
    ], dtypes: [1: .i32],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 3...3)
      let taken = try takeAlongAxis.infer(Array(types.prefix(2)), attributes)
      guard types[2].shape == taken.shape else {
        throw OpError(
          "src has shape \(shapeText(types[2].shape)), and the indices \(shapeText(types[1].shape))",
          operands: [(1, nil), (2, nil)])
      }
      let dtype = try joinedDType([types[0], types[2]], .anything)
      let reduce = try attributes.required("reduce", attributes.word("reduce"))
      guard dtype != .bool || reduce == "set" else {
        throw OpError("bools have no \(reduce)", operands: [(0, nil)], note: "convert them first: cast(x, i32)")
      }
      _ = try elementCount(types[0].shape)
      _ = try elementCount(types[1].shape)
      return types[0].with(dtype)
    },
    examples: scatterings.map {
      OpExample(
        [([3, 5], .any), ([3, 7], .integers(5)), ([3, 7], .any)], ["axis": .int(1), "reduce": .word($0)])
    }
  ) { b, x, attributes, result in
    let mode = attributes[word: "reduce"]
    let isBool = b.type(x[0]).dtype == .bool
    let counted = isBool ? [b.cast(x[0], to: .i32), x[1], b.cast(x[2], to: .i32)] : [b.wide(x[0]), x[1], b.wide(x[2])]
    let type = b.type(counted[0])
    let (count, size) = (elements(b.type(x[1]).shape), elements(type.shape))
    let places = b.reshape(flatPlaces(&b, x[1], in: type.shape, attributes[int: "axis"]), to: [count])
    let (flat, updates) = (b.reshape(counted[0], to: [size]), b.reshape(counted[2], to: [count]))
    let value =
      mode == "add"
      ? b.make(.scatterAdd, [flat, places, updates], ["axis": .int(0)])
      : scattered(&b, flat, places, updates, mode)
    let whole = b.reshape(value, to: type.shape)
    return isBool ? b.compare(.notEqual, whole, 0) : b.cast(whole, to: result.dtype)
  }

  static let maskedFill = composed(
    "`value` where the mask holds, `x` elsewhere.",
    signature: [OpParameter("x", .tensor), OpParameter("mask", .tensor), OpParameter("value", .float)],
    isElementwise: true, dtypes: [1: .bool],
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 2...2)
      guard types[1].dtype == .bool else {
        throw OpError("the mask is \(types[1].dtype), not bool", operands: [(1, nil)], note: "compare it: x != 0")
      }
      try requireEqualShapes(types)
      let value = try attributes.required("value", attributes.float("value"))
      guard types[0].dtype.isFloating || types[0].dtype.holds(value) else {
        throw OpError("\(value) does not fit \(types[0].dtype)", operands: [(0, nil)])
      }
      return types[0]
    }, examples: [OpExample([([2, 3], .any), ([2, 3], .bools)], ["value": .float(-1.5)])]
  ) { b, x, attributes, _ in b.select(x[1], b.fill(attributes[float: "value"], like: x[0]), x[0]) }
}

/// What `scatter` does where it puts an element.
private let scatterings = ["set", "add", "max", "min"]

private func elements(_ shape: [Dim]) -> Dim { (try? elementCount(shape)) ?? 1 }

/// Updates in the order of their places, the one that counts last among those of one place: of "max" and "min" in the order of
/// values before. It alone is added to zeros there.
private func scattered(
  _ b: inout GraphBuilder, _ flat: ValueID, _ places: ValueID, _ updates: ValueID, _ mode: String
) -> ValueID {
  let ascending: Attributes = ["axis": .int(0), "descending": .bool(false)]
  func take(_ value: ValueID, _ order: ValueID) -> ValueID { b.make(.gather, [value, order], ["axis": .int(0)]) }
  var order: ValueID
  if mode == "set" {
    order = b.make(.argsort, [places], ascending)
  } else {
    let byValue = b.make(.argsort, [mode == "max" ? updates : b.neg(updates)], ascending)
    order = take(byValue, b.make(.argsort, [take(places, byValue)], ascending))
  }
  let (place, update) = (take(places, order), take(updates, order))
  let count = b.type(place).shape[0]
  let end = b.constant(-1, b.type(place).with([1]))
  let next = b.slice(b.make(.concat, [place, end], ["axis": .int(0)]), axis: 0, from: 1, to: count.adding(1) ?? count)
  let counts = b.make(.notEqual, [place, next])
  let chosen = b.select(counts, update, b.fill(0, like: update))
  let sums = b.make(.scatterAdd, [b.fill(0, like: flat), place, chosen], ["axis": .int(0)])
  let zeros = b.constant(0, b.type(flat).with(.i32))
  let hits = b.make(.scatterAdd, [zeros, place, b.cast(counts, to: .i32)], ["axis": .int(0)])
  let value = mode == "set" ? sums : b.make(mode == "max" ? .maximum : .minimum, [flat, sums])
  return b.select(b.compare(.greater, hits, 0), value, flat)
}

extension TensorType {
  fileprivate func with(_ shape: [Dim]) -> TensorType { TensorType(dtype, shape) }
}
