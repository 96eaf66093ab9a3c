import LTMIR

extension Lowering {
  /// Whole lines along an axis.
  mutating func line(_ op: LineOp, _ x: HLOValue, axis: Int, _ type: HLOType) -> HLOValue {
    switch op {
    case .prefix(let combiner, let isReversed): prefix(x, combiner, axis: axis, isReversed: isReversed, type)
    case .order(let isDescending): order(x, axis: axis, isDescending: isDescending, type)
    }
  }

  /// A window over all that came before, in the accumulator's dtype; compilers know this form of a cumulative sum.
  private mutating func prefix(
    _ x: HLOValue, _ combiner: Combiner, axis: Int, isReversed: Bool, _ type: HLOType
  ) -> HLOValue {
    let wide = cast(x, to: x.dtype.accumulator)
    let first = combiner == .multiply ? 1 : 0
    let zero =
      wide.dtype.isFloating
      ? builder.constant(Double(first), wide.type.scalar) : builder.constant(Int64(first), wide.type.scalar)
    let (shape, before) = (wide.type.shape, wide.type.shape[axis] - 1)
    let padding = shape.indices.map { $0 != axis ? "[0, 0]" : isReversed ? "[0, \(before)]" : "[\(before), 0]" }
    let window = shape.indices.map { $0 == axis ? "\(shape[axis])" : "1" }
    let name = builder.step("window")
    let element = wide.type.scalar
    let region = [
      "^bb0(%a: \(element), %b: \(element)):",
      "  %total = stablehlo.\(combiner == .multiply ? "multiply" : "add") %a, %b : \(element)",
      "  stablehlo.return %total : \(element)",
    ].map { "\n        \($0)" }.joined()
    builder.emit(
      line:
        "\"stablehlo.reduce_window\"(\(wide.name), \(zero.name)) <{padding = dense<[\(padding.joined(separator: ", "))]> : "
        + "tensor<\(shape.count)x2xi64>, window_dimensions = array<i64: \(window.joined(separator: ", "))>}> "
        + "({\(region)\n    }) : \(signature([wide, zero], wide.type))", as: name)
    return cast(HLOValue(name: name, type: wide.type), to: type.dtype)
  }

  /// The indices that a stable sort moves along: zeros are equal, and so are NaN, the largest.
  private mutating func order(_ x: HLOValue, axis: Int, isDescending: Bool, _ type: HLOType) -> HLOValue {
    let key = x.dtype.isFloating ? ordered(x) : x
    let all = x.type.with(.i32)
    let indices = builder.emit("iota", "dim = \(axis) : \(all)", all)
    let element = key.type.scalar
    let region = [
      "^bb0(%a: \(element), %b: \(element), %i: tensor<i32>, %j: tensor<i32>):",
      "  %first = stablehlo.compare \(isDescending ? "GT" : "LT"), %a, %b, \(key.dtype.comparisonKind) : (\(element), \(element)) -> tensor<i1>",
      "  stablehlo.return %first : tensor<i1>",
    ].map { "\n        \($0)" }.joined()
    let name = builder.step("order")
    let types = "\(key.type), \(all)"
    builder.emit(
      line: "\"stablehlo.sort\"(\(key.name), \(indices.name)) <{dimension = \(axis) : i64, is_stable = true}> "
        + "({\(region)\n    }) : (\(types)) -> (\(types))", as: name + ":2")
    let sorted = HLOValue(name: name + "#1", type: all)
    return type == all ? sorted : slice(sorted, axis, (0, type.shape[axis], 1), type)
  }

  /// Integers in the order of floats, all zeros equal and all NaN the largest: bits, those of negative numbers turned round.
  private mutating func ordered(_ x: HLOValue) -> HLOValue {
    let wide = cast(x, to: x.dtype.accumulator)
    let zero = builder.constant(0.0, wide.type)
    let one = builder.select(builder.compare("EQ", wide, zero), zero, wide)
    let number = builder.select(builder.compare("NE", one, one), builder.constant(Double.nan, wide.type), one)
    let dtype: DType = wide.dtype == .f64 ? .i64 : .i32
    let bits = builder.function("bitcast_convert", [number], wide.type.with(dtype))
    let width = builder.constant(dtype == .i64 ? Int64(63) : 31, bits.type)
    let most = builder.constant(dtype == .i64 ? Int64.max : Int64(Int32.max), bits.type)
    let turned = builder.same("and", builder.same("shift_right_arithmetic", bits, width), most)
    return builder.same("xor", bits, turned)
  }
}
