// The view that convolutions and pools are made of, one axis at a time.

/// How a window slides along an axis: element `(o, k)` is the operand's at `o * stride + k * dilation - low`.
package struct WindowForm: Hashable, Sendable {
  /// Elements of a window.
  package var size: Int
  /// From one window to the next.
  package var stride: Int
  /// From one element of a window to the next; negative where it runs backwards.
  package var dilation: Int
  /// How far before the axis the first window begins.
  package var low: Int

  package init(size: Int, stride: Int = 1, dilation: Int = 1, low: Int = 0) {
    (self.size, self.stride, self.dilation, self.low) = (size, stride, dilation, low)
  }

  /// Reads the attributes of a `window` that the verifier has seen.
  package init(proved attributes: Attributes) {
    self.init(
      size: attributes[int: "size"], stride: attributes[int: "stride"], dilation: attributes[int: "dilation"],
      low: attributes[int: "low"])
  }
}

extension OpDefinition {
  static let window = OpDefinition(
    "Windows that slide along an axis, which becomes two: `out[o, k]` is `x[o * stride + k * dilation - low]`, and `value` "
      + "outside of `x`.", isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("axis", .axis), OpParameter("size", .int), OpParameter("count", .dim),
      OpParameter("stride", .int, default: .int(1)), OpParameter("dilation", .int, default: .int(1)),
      OpParameter("low", .int, default: .int(0)), OpParameter("value", .float, default: .float(0)),
    ], precision: .follow, infer: inferWindow,
    evaluate: { x, attributes, result in
      x[0].windows(
        attributes[int: "axis"], WindowForm(proved: attributes), count: attributes[bound: "count"],
        outside: attributes[float: "value"])
    },
    gradient: .rule { b, node, _, g in
      let axis = node.attributes[int: "axis"]
      let length = b.type(node.operands[0]).shape[axis]
      return [b.overlapping(g, axis: axis, WindowForm(proved: node.attributes), length: length)]
    },
    lowering: .structural { attributes, _ in
      .window(axis: attributes[int: "axis"], WindowForm(proved: attributes), outside: attributes[float: "value"])
    },
    examples: [
      window([2, 7], axis: 1, WindowForm(size: 3, stride: 2, low: 1), count: 4),
      window([5, 2], axis: 0, WindowForm(size: 2, stride: 3, dilation: 2, low: 2), count: 3),
      window([2, 4], axis: 1, WindowForm(size: 2, dilation: -1, low: -1), count: 5),
      window([2, 6, 2], axis: 1, WindowForm(size: 2, stride: 2), count: 3),
      window([1, 3], axis: 1, WindowForm(size: 5, stride: 2, low: 4), count: 4, outside: 0.5),
    ])

  private static func window(
    _ shape: [Int], axis: Int, _ form: WindowForm, count: Dim, outside: Double = 0
  ) -> OpExample {
    OpExample([(shape, .any)], form.attributes(axis: axis, count: count, outside: outside))
  }
}

extension WindowForm {
  func attributes(axis: Int, count: Dim, outside: Double) -> Attributes {
    [
      "axis": .int(axis), "size": .int(size), "count": .dim(count), "stride": .int(stride),
      "dilation": .int(dilation), "low": .int(low), "value": .float(outside),
    ]
  }
}

private let inferWindow: InferRule = { (types, attributes) throws(OpError) in
  try requireCount(types, 1...1)
  let axis = try attributes.requiredAxis(rank: types[0].rank)
  let size = try attributes.required("size", attributes.int("size"))
  let count = try attributes.required("count", attributes.dim("count"))
  let stride = try attributes.required("stride", attributes.int("stride"))
  let dilation = try attributes.required("dilation", attributes.int("dilation"))
  let low = try attributes.required("low", attributes.int("low"))
  let value = try attributes.required("value", attributes.float("value"))
  guard size >= 1, (count.constant ?? 1) >= 1 else {
    throw OpError("\(count) windows of \(size) elements are none", operands: [(0, axis)])
  }
  guard stride >= 1, dilation != 0 else { throw OpError("a window moves by \(stride), its elements by \(dilation)") }
  let limit = 1 << 31
  guard [size, stride, dilation, low].allSatisfy({ Swift.abs($0) < limit }) else {
    throw OpError("a window of \(size) elements, \(stride) and \(dilation) apart, \(low) before: too large")
  }
  guard types[0].dtype.isFloating || types[0].dtype.holds(value) else {
    throw OpError("\(value) does not fit \(types[0].dtype)", operands: [(0, nil)])
  }
  var shape = types[0].shape
  shape.replaceSubrange(axis...axis, with: [count, Dim(size)])
  _ = try elementCount(shape)
  return TensorType(types[0].dtype, shape)
}

extension Reference {
  /// The windows along an axis.
  func windows(_ axis: Int, _ form: WindowForm, count: Int, outside: Double) -> Reference {
    let (outer, length) = (shape[..<axis].reduce(1, *), shape[axis])
    let inner = shape[(axis + 1)...].reduce(1, *)
    var result = [Double]()
    result.reserveCapacity(outer * count * form.size * inner)
    for row in 0..<outer {
      for o in 0..<count {
        for k in 0..<form.size {
          let place = o * form.stride + k * form.dilation - form.low
          if (0..<length).contains(place) {
            let start = (row * length + place) * inner
            result += data[start..<start + inner]
          } else {
            result += repeatElement(outside, count: inner)
          }
        }
      }
    }
    return Reference(shape: shape[..<axis] + [count, form.size] + shape[(axis + 1)...], data: result)
  }
}

extension GraphBuilder {
  /// The windows along an axis; the axis stays one where each window is one element, and the value is itself where that moves
  /// nothing.
  mutating func windows(_ x: ValueID, axis: Int, _ form: WindowForm, count: Dim, outside: Double = 0) -> ValueID {
    var shape = type(x).shape
    if form.size == 1, form.stride == 1, form.low == 0, count == shape[axis] { return x }
    let windows = make(.window, [x], form.attributes(axis: axis, count: count, outside: outside))
    guard form.size == 1 else { return windows }
    shape[axis] = count
    return reshape(windows, to: shape)
  }

  /// The windows' adjoint: for each element of an axis of that length the sum of the windows' elements that are it. `axis` and the
  /// one after it are the windows'.
  ///
  /// Element `i + low` is `stride * q + r`, and so lies in the grid `[q, r]`, to which each element `k` of the windows adds a
  /// row that is `k * dilation / stride` late.
  mutating func overlapping(_ g: ValueID, axis: Int, _ form: WindowForm, length: Dim) -> ValueID {
    let reach = form.dilation < 0 ? (form.size - 1) * form.dilation : 0
    let low = form.low - reach
    let count = checked(length.adding(Dim(low + form.stride - 1))?.dividedDown(by: Dim(form.stride)))
    let dtype = type(g).dtype
    let wide = cast(g, to: dtype.arithmetic)
    let parts = form.lateness(reach).map { part -> ValueID in
      let rows = slice(wide, axis: axis + 1, from: Dim(part.elements.lowerBound), to: Dim(part.elements.upperBound))
      let placed = padded(rows, axis: axis + 1, low: part.residue, to: form.stride)
      return windows(placed, axis: axis, WindowForm(size: 1, low: part.rows), count: count)
    }
    let sum = parts.dropFirst().reduce(parts[0]) { add($0, $1) }
    var shape = type(sum).shape
    shape.replaceSubrange(axis...axis + 1, with: [checked(count.multiplied(by: Dim(form.stride)))])
    let line = windows(reshape(sum, to: shape), axis: axis, WindowForm(size: 1, low: -low), count: length)
    return cast(line, to: dtype)
  }

  /// A dimension whose arithmetic a shape rule has shown to fit.
  func checked(_ dim: Dim?) -> Dim { dim ?? 1 }

  /// Zeros on both sides of an axis of few elements, so that it has `size`.
  mutating func padded(_ x: ValueID, axis: Int, low: Int, to size: Int) -> ValueID {
    let high = size - low - (type(x).shape[axis].constant ?? size)
    if low == 0, high == 0 { return x }
    return make(.pad, [x], ["axis": .int(axis), "low": .int(low), "high": .int(max(high, 0)), "value": .float(0)])
  }
}

extension WindowForm {
  /// Elements of the windows that come to lie in one row of the grid, side by side from a residue on.
  fileprivate struct Part {
    let elements: Range<Int>
    let rows: Int
    let residue: Int
  }

  fileprivate func lateness(_ reach: Int) -> [Part] {
    if dilation == 1 {
      return Swift.stride(from: 0, to: size, by: stride).map { first in
        Part(elements: first..<min(size, first + stride), rows: first / stride, residue: 0)
      }
    }
    return (0..<size).map { k in
      let place = k * dilation - reach
      return Part(elements: k..<k + 1, rows: place / stride, residue: place % stride)
    }
  }
}
