import LTMIR

// What moves, makes or joins elements.

extension ExportTable {
  static let shapes: [Op: ExportRow] = [
    .constant: .whole { x, node, _ in x.number(node.attributes[float: "value"], node) },
    .dimension: .whole { x, node, _ in
      let size = try x.size(node.attributes[dim: "value"])
      return x.cast(x.emit("Squeeze", [size, x.integers([0])]), from: .i64, to: node.type.dtype)
    },
    .iota: .spread { x, node in try x.iota(node) },
    .broadcast: .spread { x, node in
      try x.spreading(node.operands[0], node.attributes[ints: "axes"], over: node.type.shape)
    },
    .reshape: .whole { x, node, names in
      try x.reshaped(names[0], x.graph[node.operands[0]].type.shape, to: node.type.shape)
    },
    .transpose: .whole { x, node, names in
      x.emit("Transpose", names, [("perm", .ints(node.attributes[ints: "permutation"]))])
    },
    .slice: .whole { x, node, names in
      let (axis, limit) = (node.attributes[int: "axis"], node.attributes[dim: "limit"])
      let isLast = limit.constant == nil && limit == x.graph[node.operands[0]].type.shape[axis]
      let end = isLast ? x.integers([Int(Int32.max)]) : try x.size(limit)
      return x.emit(
        "Slice",
        [
          names[0], try x.size(node.attributes[dim: "start"]), end, x.integers([axis]),
          x.integers([node.attributes[int: "stride"]]),
        ])
    },
    .concat: .whole { x, node, names in x.emit("Concat", names, [("axis", .int(node.attributes[int: "axis"]))]) },
    .pad: .whole(takes: { $0.attributes.word("mode") ?? "constant" == "constant" }) { x, node, names in
      let low = node.attributes[int: "low"], high = node.attributes[int: "high"]
      return x.emit(
        "Pad",
        [
          names[0], x.integers([low, high]), x.number(node.attributes[float: "value"], node),
          x.integers([node.attributes[int: "axis"]]),
        ])
    },
    .window: .whole { x, node, names in try x.windows(node, names[0]) },
  ]
}

extension GraphExporter {
  /// The index along an axis, with 1 for all other axes.
  mutating func iota(_ node: Node) throws -> (name: String, shape: [Dim]) {
    let (shape, axis, dtype) = (node.type.shape, node.attributes[int: "axis"], node.type.dtype)
    let kept = [shape[axis]] + shape[(axis + 1)...].map { _ in Dim(1) }
    if let count = shape[axis].constant, count <= 1 << 16 {
      let sizes = [count] + kept.dropFirst().map { _ in 1 }
      return (store.constant((0..<count).map(Double.init), dtype, shape: sizes), kept)
    }
    let limit = emit("Squeeze", [try size(shape[axis]), integers([0])])
    let line = emit(
      "Range", [store.constant([0], .i64, shape: []), limit, store.constant([1], .i64, shape: [])])
    let value = cast(line, from: .i64, to: dtype)
    guard kept.count > 1 else { return (value, kept) }
    return (emit("Unsqueeze", [value, integers(Array(1..<kept.count))]), kept)
  }

  /// Where only axes of 1 come or go, the operator says so; all else is a `Reshape`.
  mutating func reshaped(_ name: String, _ old: [Dim], to shape: [Dim]) throws -> String {
    if let axes = old.ones(without: shape) { return axes.isEmpty ? name : emit("Squeeze", [name, integers(axes)]) }
    if let axes = shape.ones(without: old) { return emit("Unsqueeze", [name, integers(axes)]) }
    return emit("Reshape", [name, try target(shape, of: old)])
  }

  /// What `Reshape` is given: numbers where it can be, 0 for an axis that stays as it is, and -1 for one that follows from
  /// the others.
  mutating func target(_ shape: [Dim], of old: [Dim]) throws -> String {
    var isOpen = false
    var numbers: [Int] = []
    for (axis, dim) in shape.enumerated() {
      if let number = dim.constant {
        numbers.append(number)
      } else if axis < old.count, old[axis] == dim {
        numbers.append(0)
      } else if !isOpen {
        isOpen = true
        numbers.append(-1)
      } else {
        return try vector(shape)
      }
    }
    return integers(numbers)
  }

  /// Windows by the places of their elements, in the operand with what lies outside of it around it.
  mutating func windows(_ node: Node, _ name: String) throws -> String {
    let attributes = node.attributes
    let axis = attributes[int: "axis"]
    guard let count = node.type.shape[axis].constant, let length = graph[node.operands[0]].type.shape[axis].constant
    else { throw ExportProblem("its windows need sizes that are numbers: --dim gives them") }
    let (stride, dilation) = (attributes[int: "stride"], attributes[int: "dilation"])
    let places = (0..<count).flatMap { window in
      (0..<attributes[int: "size"]).map { window * stride + $0 * dilation - attributes[int: "low"] }
    }
    let low = max(0, -(places.min() ?? 0)), high = max(0, (places.max() ?? 0) - length + 1)
    var operand = name
    if low + high > 0 {
      operand = emit(
        "Pad", [name, integers([low, high]), number(attributes[float: "value"], node), integers([axis])])
    }
    let shape = [count, attributes[int: "size"]]
    let indices = store.constant(places.map { Double($0 + low) }, .i64, shape: shape)
    return emit("Gather", [operand, indices], [("axis", .int(axis))])
  }
}

extension [Dim] {
  /// The axes of 1 without which this is the other shape.
  fileprivate func ones(without other: [Dim]) -> [Int]? {
    var (axes, rest) = ([Int](), other[...])
    for (axis, dim) in enumerated() {
      if dim == rest.first {
        rest = rest.dropFirst()
      } else if dim == 1 {
        axes.append(axis)
      } else {
        return nil
      }
    }
    return rest.isEmpty ? axes : nil
  }
}
