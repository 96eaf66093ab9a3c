import LTMIR

// What reads and writes at places that data gives.

extension ExportTable {
  static let indexing: [Op: ExportRow] = [
    .gather: .whole { x, node, names in
      x.emit("Gather", [names[0], x.index(names[1], node.operands[1])], [("axis", .int(node.attributes[int: "axis"]))])
    },
    .takeAlongAxis: .whole { x, node, names in
      x.emit(
        "GatherElements", [names[0], x.index(names[1], node.operands[1])],
        [("axis", .int(node.attributes[int: "axis"]))])
    },
    .scatterAdd: .whole { x, node, names in
      guard node.attributes[int: "axis"] == 0 else {
        throw ExportProblem("it adds along another axis than the first")
      }
      let indices = x.cast(names[1], from: x.graph[node.operands[1]].type.dtype, to: .i64)
      let rank = x.graph[node.operands[1]].type.rank
      return x.emit(
        "ScatterND", [names[0], x.emit("Unsqueeze", [indices, x.integers([rank])]), names[2]],
        [("reduction", .string("add"))])
    },
    .writeAt: .whole { x, node, names in try x.written(node, names) },
    // Keys of random numbers: those who draw say that they cannot be exported.
    .foldKey: .whole { x, _, _ in x.unique("key") },
  ]
}

extension GraphExporter {
  /// Indices of a dtype that ONNX takes.
  mutating func index(_ name: String, _ value: ValueID) -> String {
    let dtype = graph[value].type.dtype
    return dtype == .i32 || dtype == .i64 ? name : cast(name, from: dtype, to: .i64)
  }

  /// A value with another in place of a part of it: an index for each element that is written.
  mutating func written(_ node: Node, _ names: [String]) throws -> String {
    let axis = node.attributes[int: "axis"]
    let (data, value, start) = (
      graph[node.operands[0]].type.shape, graph[node.operands[1]].type.shape, graph[node.operands[2]].type
    )
    var first = cast(names[2], from: start.dtype, to: .i64)
    let length = try size(data[axis])
    if !node.attributes[bool: "wraps"] {
      guard let rest = data[axis].subtracting(value[axis]) else { throw ExportProblem("a size overflows") }
      first = emit("Min", [emit("Max", [first, integers([0])]), try size(rest)])
    }
    // Right beside the axes that follow: one start for all, or one for each index of the first axis.
    let all = emit("Reshape", [first, integers([start.rank == 0 ? 1 : -1] + value.dropFirst().map { _ in 1 })])
    let count = emit("Squeeze", [try size(value[axis]), integers([0])])
    let line = emit("Range", [store.constant([0], .i64, shape: []), count, store.constant([1], .i64, shape: [])])
    let steps = emit("Reshape", [line, integers([-1] + value[(axis + 1)...].map { _ in 1 })])
    var places = emit("Add", [all, steps])
    if node.attributes[bool: "wraps"] { places = emit("Mod", [places, length]) }
    let indices = emit("Expand", [places, try vector(value)])
    return emit("ScatterElements", [names[0], indices, names[1]], [("axis", .int(axis))])
  }
}
