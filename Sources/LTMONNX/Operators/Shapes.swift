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
      let given = try call.operands()
      let full = given.filter { !$0.shape.contains(0) }
      let operands = full.isEmpty ? Array(given.prefix(1)) : full
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
    "CenterCropPad": .one { call throws in
      var x = try call.input(0)
      let sizes = try call.integers(1, "shape") ?? []
      let axes = try call.axes(call.ints("axes") ?? Array(0..<x.rank), rank: x.rank)
      for (axis, size) in zip(axes, sizes) {
        guard let length = x.shape[axis].constant, (1..<1 << 31).contains(size), length < 1 << 31 else {
          throw ImportProblem("the size \(x.shape[axis]) or \(size) is not known")
        }
        let less = abs(length - size) / 2
        x =
          size < length
          ? try call.slice(x, axis: axis, from: Dim(less), to: Dim(less + size))
          : try call.padded(x, axis, less, size - length - less, 0)
      }
      return x
    },
    "SpaceToDepth": .one { call throws in
      let x = try call.input(0)
      let (block, s) = (Dim(call.int("blocksize", 1)), x.shape)
      guard s.count == 4, let h = s[2].dividedExactly(by: block), let w = s[3].dividedExactly(by: block) else {
        throw ImportProblem("its operand is \(shapeText(s))")
      }
      let isDCR = call.string("mode", "DCR") == "DCR"
      let parts = try call.transpose(
        try call.reshape(x, [s[0], s[1], h, block, w, block]), isDCR ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4])
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
    guard (1...65536).contains(count) else { throw ImportProblem("it splits into \(count) parts") }
    if let even = size.dividedExactly(by: Dim(count)) { return [Dim](repeating: even, count: count) }
    guard let number = size.constant else { throw ImportProblem("whether \(size) splits into \(count) is not known") }
    let part = (number + count - 1) / count
    return (0..<count).map { Dim(max(0, min(part, number - $0 * part))) }
  }
}
