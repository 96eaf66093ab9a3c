import LTMIR

extension Lowering {
  /// A part put in place: one slice where all of it begins at one place, which `dynamic_update_slice` clamps itself; else a
  /// scatter.
  mutating func written(
    _ data: HLOValue, _ value: HLOValue, at start: HLOValue, axis: Int, wraps: Bool
  ) -> HLOValue {
    let value = cast(value, to: data.dtype)
    guard start.type.shape.isEmpty, !wraps else {
      return scattered(data, value, at: start, axis: axis, wraps: wraps)
    }
    let zero = builder.constant(Int64(0), start.type)
    let starts = data.type.shape.indices.map { $0 == axis ? start : zero }
    return builder.function("dynamic_update_slice", [data, value] + starts, data.type)
  }

  /// Each place along the axis, for each index of the first axis where they differ.
  private mutating func scattered(
    _ data: HLOValue, _ value: HLOValue, at start: HLOValue, axis: Int, wraps: Bool
  ) -> HLOValue {
    let (size, count) = (data.type.shape[axis], value.type.shape[axis])
    let rows = start.type.shape
    let type = HLOType(start.dtype, rows + [count])
    let first = wraps ? start : clamp(integer(0, start.type), start, integer(size - count, start.type))
    let step = builder.emit("iota", "dim = \(rows.count) : \(type)", type)
    var place = builder.same("add", builder.broadcast(first, to: type.shape, axes: Array(rows.indices)), step)
    if wraps { place = modulo(place, size) }
    var (axes, indices) = ([axis], [builder.reshape(place, to: type.shape + [1])])
    if !rows.isEmpty {
      let row = builder.emit("iota", "dim = 0 : \(type)", type)
      (axes, indices) = ([0, axis], [builder.reshape(row, to: type.shape + [1])] + indices)
    }
    let whole = HLOType(start.dtype, type.shape + [axes.count])
    let joined =
      indices.count == 1 ? indices[0] : builder.function("concatenate", indices, whole, ", dim = \(type.shape.count)")
    return scatter(data, joined, value, axes: axes)
  }

  private mutating func integer(_ value: Int, _ type: HLOType) -> HLOValue { builder.constant(Int64(value), type) }

  /// The remainder that has the divisor's sign.
  private mutating func modulo(_ x: HLOValue, _ size: Int) -> HLOValue {
    let divisor = integer(size, x.type)
    let rest = builder.same("remainder", x, divisor)
    let isNegative = builder.compare("LT", rest, integer(0, x.type))
    return builder.select(isNegative, builder.same("add", rest, divisor), rest)
  }

  /// Updates in place of what stands at indices along some axes; no two go to one place.
  private mutating func scatter(
    _ data: HLOValue, _ indices: HLOValue, _ updates: HLOValue, axes: [Int]
  ) -> HLOValue {
    let windows = updates.type.shape.indices.filter { !axes.contains($0) }
    let numbers =
      "#stablehlo.scatter<update_window_dims = \(list(Array(windows))), inserted_window_dims = \(list(axes)), "
      + "scatter_dims_to_operand_dims = \(list(axes)), index_vector_dim = \(indices.type.shape.count - 1)>"
    let element = data.type.scalar
    let region = ["^bb0(%a: \(element), %b: \(element)):", "  stablehlo.return %b : \(element)"]
      .map { "\n        \($0)" }.joined()
    let name = builder.step("scatter")
    builder.emit(
      line: "\"stablehlo.scatter\"(\(data.name), \(indices.name), \(updates.name)) <{indices_are_sorted = false, "
        + "scatter_dimension_numbers = \(numbers), unique_indices = true}> ({\(region)\n    }) : "
        + signature([data, indices, updates], data.type), as: name)
    return HLOValue(name: name, type: data.type)
  }
}
