import LTMIR

// Operators that arrange elements anew, and those that make and read shapes.

extension OperatorTable {
  static let shapes: [String: OperatorRow] = [
    "Shape": .one { call throws in
      let shape = try call.input(0).shape
      let (low, high) = (call.int("start", 0), call.int("end", shape.count))
      let range = clamped(low, shape.count)..<max(clamped(low, shape.count), clamped(high, shape.count))
      return Value(sizes: Array(shape[range]), shape: [range.count]).settled
    },
    "Size": .one { call throws in
      Value(sizes: [try call.product(try call.input(0).shape)], shape: []).settled
    },
    "Reshape": .one { call throws in
      let x = try call.input(0)
      let given = try call.ints("shape")?.map { Dim($0) } ?? call.sizes(1, "shape") ?? []
      return try call.reshape(x, try call.reshaped(x.shape, given))
    },
    "Flatten": .one { call throws in
      let x = try call.input(0)
      let axis = call.int("axis", 1)
      let cut = axis < 0 ? axis + x.rank : axis
      guard (0...x.rank).contains(cut) else {
        throw ImportProblem("axis \(axis) does not exist: the rank is \(x.rank)")
      }
      return try call.reshape(x, [try call.product(x.shape[..<cut]), try call.product(x.shape[cut...])])
    },
    "Squeeze": .one { call throws in
      let x = try call.input(0)
      let axes = try call.ints("axes", orInput: 1)
      let gone = try axes.map { axes throws in try call.axes(axes, rank: x.rank) }
      let shape = x.shape.enumerated().filter { !(gone?.contains($0.offset) ?? ($0.element == 1)) }.map(\.element)
      return try call.reshape(x, shape)
    },
    "Unsqueeze": .one { call throws in
      let x = try call.input(0)
      let axes = try call.ints("axes", orInput: 1) ?? []
      let rank = x.rank + axes.count
      let new = Set(try call.axes(axes, rank: rank))
      var rest = x.shape[...]
      let shape = (0..<rank).map { new.contains($0) ? 1 : rest.popFirst() ?? 1 }
      return try call.reshape(x, shape)
    },
    "Transpose": .one { call throws in
      let x = try call.input(0)
      return try call.transpose(x, call.ints("perm") ?? (0..<x.rank).reversed())
    },
    "Concat": .one { call throws in
      let operands = try call.operands()
      return operands.count == 1 ? operands[0] : try call.apply(.concat, operands, ["axis": .int(call.int("axis", 0))])
    },
    "Split": OperatorRow { call throws in try call.split() },
    "Slice": .one { call throws in try call.sliced() },
    "Expand": .one { call throws in
      try call.broadcast(try call.input(0), to: try call.sizes(1, "shape") ?? [])
    },
    "Tile": .one { call throws in
      var x = try call.input(0)
      let repeats = try call.integers(1, "repeats") ?? []
      guard repeats.count == x.rank else {
        throw ImportProblem("it has \(repeats.count) repeats for the rank \(x.rank)")
      }
      for (axis, count) in repeats.enumerated() where count != 1 {
        guard (1...4096).contains(count) else { throw ImportProblem("it repeats \(count) times") }
        x = try call.apply(.concat, [Value](repeating: x, count: count), ["axis": .int(axis)])
      }
      return x
    },
    "Pad": .one { call throws in try call.padded() },
    "DepthToSpace": .one { call throws in
      let x = try call.input(0)
      let (block, s) = (Dim(call.int("blocksize", 1)), x.shape)
      guard s.count == 4, let depth = block.multiplied(by: block).flatMap({ s[1].dividedExactly(by: $0) }) else {
        throw ImportProblem("its operand is \(shapeText(s))")
      }
      let isDCR = call.string("mode", "DCR") == "DCR"
      let parts = isDCR ? [s[0], block, block, depth, s[2], s[3]] : [s[0], depth, block, block, s[2], s[3]]
      let moved = try call.transpose(try call.reshape(x, parts), isDCR ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3])
      return try call.reshape(moved, [s[0], depth, try call.product([s[2], block]), try call.product([s[3], block])])
    },
    "SpaceToDepth": .one { call throws in
      let x = try call.input(0)
      let (block, s) = (Dim(call.int("blocksize", 1)), x.shape)
      guard s.count == 4, let h = s[2].dividedExactly(by: block), let w = s[3].dividedExactly(by: block) else {
        throw ImportProblem("its operand is \(shapeText(s))")
      }
      let parts = try call.transpose(try call.reshape(x, [s[0], s[1], h, block, w, block]), [0, 3, 5, 1, 2, 4])
      return try call.reshape(parts, [s[0], try call.product([s[1], block, block]), h, w])
    },
  ]
}

/// An end of a range, counted from the front and within it.
func clamped(_ index: Int, _ count: Int) -> Int { min(max(index < 0 ? index + count : index, 0), count) }

extension NodeCall {
  func axes(_ axes: [Int], rank: Int) throws -> [Int] {
    var result: [Int] = []
    for axis in axes { result.append(try self.axis(axis, rank: rank)) }
    return result
  }

  /// The shape that 0 (as before) and -1 (what is left) stand in.
  func reshaped(_ shape: [Dim], _ given: [Dim]) throws -> [Dim] {
    var result = given
    for (axis, size) in given.enumerated() where size == 0 && !flag("allowzero") {
      guard shape.indices.contains(axis) else {
        throw ImportProblem("the 0 at axis \(axis) of its shape copies nothing")
      }
      result[axis] = shape[axis]
    }
    guard let hole = result.firstIndex(of: -1) else { return result }
    result[hole] = 1
    let total = try product(shape)
    let rest = try product(result)
    guard let size = total.dividedExactly(by: rest) ?? cancelled(shape, result) else {
      throw ImportProblem(
        "whether \(shapeText(shape)) divides into \(shapeText(given)) is not known; --dim may settle it")
    }
    result[hole] = size
    return result
  }

  /// The quotient of two products, once what stands in both is left out.
  private func cancelled(_ shape: [Dim], _ divisor: [Dim]) -> Dim? {
    var rest = shape
    var left: [Dim] = []
    for size in divisor where size != 1 {
      if let index = rest.firstIndex(of: size) { rest.remove(at: index) } else { left.append(size) }
    }
    guard let a = try? product(rest), let b = try? product(left) else { return nil }
    return a.dividedExactly(by: b)
  }

  fileprivate func split() throws -> [Value] {
    let x = try input(0)
    let axis = try axis(int("axis", 0), rank: x.rank)
    let sizes: [Dim]
    if let given = try ints("split")?.map({ Dim($0) }) ?? self.sizes(1, "split") {
      sizes = given
    } else {
      sizes = try evenSizes(x.shape[axis], int("num_outputs") ?? node.outputs.count)
    }
    var results: [Value] = []
    var start: Dim = 0
    for size in sizes {
      let limit = try dim(start.adding(size))
      results.append(try slice(x, axis: axis, from: start, to: limit))
      start = limit
    }
    return results
  }

  private func evenSizes(_ size: Dim, _ count: Int) throws -> [Dim] {
    guard count > 0 else { throw ImportProblem("it splits into \(count) parts") }
    if let even = size.dividedExactly(by: Dim(count)) { return [Dim](repeating: even, count: count) }
    guard let number = size.constant else { throw ImportProblem("whether \(size) splits into \(count) is not known") }
    let part = (number + count - 1) / count
    return (0..<count).map { Dim(max(0, min(part, number - $0 * part))) }
  }

  fileprivate func sliced() throws -> Value {
    var x = try input(0)
    let starts = try ints("starts")?.map { Dim($0) } ?? sizes(1, "starts") ?? []
    let ends = try ints("ends")?.map { Dim($0) } ?? sizes(2, "ends") ?? []
    let axes = try axes(try ints("axes", orInput: 3) ?? Array(starts.indices), rank: x.rank)
    let steps = try integers(4, "steps") ?? [Int](repeating: 1, count: starts.count)
    guard starts.count == ends.count, axes.count == starts.count, steps.count == starts.count else {
      throw ImportProblem("its starts, ends, axes and steps differ in number")
    }
    for (index, axis) in axes.enumerated() {
      let (start, limit) = (starts[index], ends[index])
      x =
        steps[index] == 1
        ? try plainSlice(x, axis, start, limit) : try stepped(x, axis, start, limit, steps[index])
    }
    return x
  }

  private func plainSlice(_ x: Value, _ axis: Int, _ start: Dim, _ end: Dim) throws -> Value {
    let size = x.shape[axis]
    let (low, high) = (try place(start, in: size), try place(end, in: size))
    if high.sign(against: low).map({ $0 <= 0 }) ?? false {
      throw ImportProblem("the slice \(low)..<\(high) is empty, and a dimension is 1 or more")
    }
    return try slice(x, axis: axis, from: low, to: high)
  }

  /// A place on an axis: from the end where it is negative, and no further than the axis goes. Where a symbolic size leaves that
  /// open, the number stands.
  private func place(_ index: Dim, in size: Dim) throws -> Dim {
    guard let number = index.constant else {
      if let length = size.constant, index.sign(against: Dim(length)).map({ $0 > 0 }) ?? false { return size }
      return index
    }
    if let length = size.constant { return Dim(clamped(number, length)) }
    // Exporters say "to the end" by a large number.
    if number >= 1 << 20 { return size }
    if number <= -(1 << 20) { return 0 }
    return number < 0 ? try dim(size.adding(index)) : index
  }

  /// Every so many elements, or backwards: rows picked by their index.
  private func stepped(
    _ x: Value, _ axis: Int, _ start: Dim, _ end: Dim, _ step: Int
  ) throws -> Value {
    guard step != 0 else { throw ImportProblem("its step is 0") }
    let size = x.shape[axis]
    if step == -1, start == -1 || (start.constant ?? 0) >= Int(Int32.max),
      (end.constant ?? 0) <= -Int(Int32.max) || end == size.multiplied(by: -1)?.subtracting(1)
    {
      return try reversed(x, axis: axis)
    }
    guard let length = size.constant, let first = start.constant, let last = end.constant else {
      throw ImportProblem("steps of \(step) along an axis of \(size) are not imported; --dim may settle the size")
    }
    let low = step > 0 ? clamped(first, length) : min(max(first < 0 ? first + length : first, -1), length - 1)
    let high = step > 0 ? clamped(last, length) : max(last < 0 ? last + length : last, -1)
    let places = Array(stride(from: low, to: min(high, length), by: step))
    guard !places.isEmpty else { throw ImportProblem("the slice is empty, and a dimension is 1 or more") }
    return try picked(x, axis: axis, first: Dim(places[0]), step: step, count: Dim(places.count))
  }

  func reversed(_ x: Value, axis: Int) throws -> Value {
    let last = try dim(x.shape[axis].subtracting(1))
    return try picked(x, axis: axis, first: last, step: -1, count: x.shape[axis])
  }

  /// `count` elements of an axis from one on, each `step` further.
  func picked(
    _ x: Value, axis: Int, first: Dim, step: Int, count: Dim
  ) throws -> Value {
    var places = try iota([count], axis: 0)
    if step == -1 {
      places = try sub(Value(sizes: [first], shape: []).settled, places)
    } else {
      if step != 1 { places = try mul(places, Double(step)) }
      if first != 0 { places = try add(Value(sizes: [first], shape: []).settled, places) }
    }
    return try apply(.gather, [x, places], ["axis": .int(axis)])
  }

  // MARK: Padding

  fileprivate func padded() throws -> Value {
    var x = try input(0)
    let pads = try ints("pads", orInput: 1) ?? []
    let axes = try axes(try integers(3, "axes") ?? Array(0..<x.rank), rank: x.rank)
    guard pads.count == 2 * axes.count else { throw ImportProblem("it has \(pads.count) pads for \(axes.count) axes") }
    let value = try number(2, "constant_value") ?? float("value", 0)
    for (index, axis) in axes.enumerated() {
      let (low, high) = (pads[index], pads[index + axes.count])
      if low < 0 || high < 0 {
        let limit = try dim(x.shape[axis].adding(Dim(min(high, 0))))
        x = try slice(x, axis: axis, from: Dim(max(0, -low)), to: limit)
      }
      x = try padded(x, axis, max(low, 0), max(high, 0), value)
    }
    return x
  }

  private func padded(
    _ x: Value, _ axis: Int, _ low: Int, _ high: Int, _ value: Double
  ) throws -> Value {
    if low == 0, high == 0 { return x }
    let mode = string("mode", "constant")
    switch mode {
    case "constant":
      return try apply(
        .pad, [x], ["axis": .int(axis), "low": .int(low), "high": .int(high), "value": .float(value)])
    case "reflect", "edge", "wrap":
      let x = named(x)
      let size = x.shape[axis]
      var parts = [x]
      if low > 0 {
        let start: (first: Dim, step: Int) =
          mode == "reflect"
          ? (Dim(low), -1) : mode == "edge" ? (0, 0) : (try dim(size.subtracting(Dim(low))), 1)
        parts.insert(try run(x, axis, start.first, start.step, low), at: 0)
      }
      if high > 0 {
        let last = try dim(size.subtracting(1))
        let start: (first: Dim, step: Int) =
          mode == "reflect" ? (try dim(last.subtracting(1)), -1) : mode == "edge" ? (last, 0) : (0, 1)
        parts.append(try run(x, axis, start.first, start.step, high))
      }
      return try apply(.concat, parts, ["axis": .int(axis)])
    default: throw ImportProblem("padding by '\(mode.shownSafely)' is not imported")
    }
  }

  /// What a padding of more than a constant is made of: elements in order, backwards, or one of them repeated.
  private func run(
    _ x: Value, _ axis: Int, _ first: Dim, _ step: Int, _ count: Int
  ) throws -> Value {
    if step == 1 {
      return try slice(x, axis: axis, from: first, to: try dim(first.adding(Dim(count))))
    }
    if step == -1 { return try picked(x, axis: axis, first: first, step: -1, count: Dim(count)) }
    let one = try slice(x, axis: axis, from: first, to: try dim(first.adding(1)))
    return try apply(.concat, [Value](repeating: one, count: count), ["axis": .int(axis)])
  }
}
