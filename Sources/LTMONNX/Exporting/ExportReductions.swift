import LTMIR

// Reductions, what runs along an axis, and normalisations.

extension ExportTable {
  static let reductions: [Op: ExportRow] = [
    .sum: .reduction("ReduceSum"), .mean: .reduction("ReduceMean"), .max: .reduction("ReduceMax"),
    .min: .reduction("ReduceMin"), .prod: .reduction("ReduceProd"), .all: .reduction("ReduceMin"),
    .any: .reduction("ReduceMax"), .logsumexp: .reduction("ReduceLogSumExp"),
    .argmax: .index("ArgMax"), .argmin: .index("ArgMin"),
    .cumsum: .whole { x, node, names in
      let value = x.cast(names[0], from: x.graph[node.operands[0]].type.dtype, to: node.type.dtype)
      let axis = x.store.constant([Double(node.attributes[int: "axis"])], .i64, shape: [])
      return x.emit("CumSum", [value, axis], [("reverse", .flag(node.attributes[bool: "reversed"]))])
    },
    .argsort: .whole { x, node, names in
      let axis = node.attributes[int: "axis"]
      let results = x.emit(
        "TopK", [names[0], try x.size(node.type.shape[axis])], results: 2,
        [("axis", .int(axis)), ("largest", .flag(node.attributes[bool: "descending"])), ("sorted", .int(1))])
      return x.cast(results[1], from: .i64, to: node.type.dtype)
    },
    .softmax: .whole { x, node, names in x.emit("Softmax", names, [("axis", .int(node.attributes[int: "axis"]))]) },
    .logSoftmax: .whole { x, node, names in
      x.emit("LogSoftmax", names, [("axis", .int(node.attributes[int: "axis"]))])
    },
    .layerNorm: .norm("LayerNormalization", [("axis", .int(-1))]), .batchNorm: .norm("BatchNormalization", []),
  ]
}

extension ExportRow {
  /// Bools and bytes are reduced as i32.
  fileprivate static func reduction(_ op: String) -> ExportRow {
    .whole { x, node, names in
      let (old, new) = (x.graph[node.operands[0]].type.dtype, node.type.dtype)
      let axes = node.attributes[ints: "axes"]
      let wide = new == .bool || new == .u8 ? DType.i32 : new
      let value = x.cast(names[0], from: old, to: wide)
      if axes.isEmpty { return x.cast(value, from: wide, to: new) }
      let whole = x.emit(op, [value, x.integers(axes)], [("keepdims", .flag(node.attributes[bool: "keep"]))])
      return x.cast(whole, from: wide, to: new)
    }
  }

  fileprivate static func index(_ op: String) -> ExportRow {
    .whole { x, node, names in
      let place = x.emit(
        op, names,
        [("axis", .int(node.attributes[int: "axis"])), ("keepdims", .flag(node.attributes[bool: "keep"]))])
      return x.cast(place, from: .i64, to: node.type.dtype)
    }
  }

  /// Computed in the widest dtype of its operands: a half between parameters that are f32.
  fileprivate static func norm(_ op: String, _ attributes: [(String, ExportAttribute)]) -> ExportRow {
    .whole { x, node, names in
      let dtypes = node.operands.map { x.graph[$0].type.dtype }
      let wide = dtypes.dropFirst().reduce(dtypes[0], DType.widest)
      let operands = zip(names, dtypes).map { x.cast($0, from: $1, to: wide) }
      let value = x.emit(op, operands, attributes + [("epsilon", .float(node.attributes[float: "eps"]))])
      return x.cast(value, from: wide, to: node.type.dtype)
    }
  }
}
