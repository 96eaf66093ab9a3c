import LTMIR

extension Lowering {
  /// Slices along an axis, picked by integers. `stablehlo.gather` clamps its indices itself.
  mutating func gather(_ data: HLOValue, _ indices: HLOValue, axis: Int, _ type: HLOType) -> HLOValue {
    let rank = indices.type.shape.count
    let offsets = Array(0..<axis) + Array(axis + rank..<type.shape.count)
    var sizes = data.type.shape
    sizes[axis] = 1
    let numbers =
      "#stablehlo.gather<offset_dims = \(list(offsets)), collapsed_slice_dims = [\(axis)], start_index_map = [\(axis)], "
      + "index_vector_dim = \(rank)>"
    let name = builder.step("gather")
    let sizeText = sizes.map(String.init).joined(separator: ", ")
    builder.emit(
      line: "\"stablehlo.gather\"(\(data.name), \(indices.name)) <{dimension_numbers = \(numbers), "
        + "indices_are_sorted = false, slice_sizes = array<i64: \(sizeText)>}> : \(signature([data, indices], type))",
      as: name)
    return HLOValue(name: name, type: type)
  }

  /// Updates added at places given by data, in the accumulator's dtype. A scatter drops what lies outside, so the indices
  /// are clamped first.
  mutating func scatterAdd(_ data: HLOValue, _ indices: HLOValue, _ updates: HLOValue, axis: Int) -> HLOValue {
    let wide = [data, updates].map { cast($0, to: data.dtype.accumulator) }
    let low = builder.constant(Int64(0), indices.type.scalar)
    let high = builder.constant(Int64(data.type.shape[axis] - 1), indices.type.scalar)
    let inside = clamp(low, indices, high)
    let rank = indices.type.shape.count
    let windows = Array(0..<axis) + Array(axis + rank..<updates.type.shape.count)
    let numbers =
      "#stablehlo.scatter<update_window_dims = \(list(windows)), inserted_window_dims = [\(axis)], "
      + "scatter_dims_to_operand_dims = [\(axis)], index_vector_dim = \(rank)>"
    let name = builder.step("scatter")
    let element = wide[0].type.scalar
    let region = [
      "^bb0(%a: \(element), %b: \(element)):", "  %total = stablehlo.add %a, %b : \(element)",
      "  stablehlo.return %total : \(element)",
    ].map { "\n        \($0)" }.joined()
    builder.emit(
      line: "\"stablehlo.scatter\"(\(wide[0].name), \(inside.name), \(wide[1].name)) <{indices_are_sorted = false, "
        + "scatter_dimension_numbers = \(numbers), unique_indices = false}> ({\(region)\n    }) : "
        + signature([wide[0], inside, wide[1]], wide[0].type), as: name)
    return cast(HLOValue(name: name, type: wide[0].type), to: data.dtype)
  }
}
