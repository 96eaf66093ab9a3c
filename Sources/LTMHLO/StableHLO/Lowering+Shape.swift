import LTMIR

extension Lowering {
  mutating func slice(
    _ x: HLOValue, _ axis: Int, _ part: (start: Int, limit: Int, stride: Int), _ type: HLOType
  ) -> HLOValue {
    let (start, limit, stride) = part
    let ranges = x.type.shape.enumerated().map { index, size in
      index == axis ? "\(start):\(limit)\(stride == 1 ? "" : ":\(stride)")" : "0:\(size)"
    }
    return builder.function("slice", [x], type, " [\(ranges.joined(separator: ", "))]")
  }

  mutating func pad(
    _ x: HLOValue, _ axis: Int, _ counts: (low: Int, high: Int), _ number: Double, _ type: HLOType
  ) -> HLOValue {
    let value = builder.constant(number, x.type.scalar)
    let zeros = [Int](repeating: 0, count: type.shape.count)
    var (low, high) = (zeros, zeros)
    low[axis] = counts.low
    high[axis] = counts.high
    let rest = ", low = \(list(low)), high = \(list(high)), interior = \(list(zeros))"
    return builder.function("pad", [x, value], type, rest)
  }

  /// Half operands give an f32 result, which is narrowed: a half result would accumulate in half.
  mutating func contraction(
    _ axes: ContractionAxes, _ lhs: HLOValue, _ rhs: HLOValue, _ type: HLOType
  ) -> HLOValue {
    let wide = lhs.dtype.accumulator
    let integers = !lhs.dtype.isFloating && lhs.dtype != wide
    let operands = integers ? [builder.convert(lhs, to: wide), builder.convert(rhs, to: wide)] : [lhs, rhs]
    // By default a TPU may multiply whatever it is given in bf16, which has fewer digits than f32 and f16.
    let precision = lhs.dtype == .bf16 ? "DEFAULT" : "HIGHEST"
    let batch = axes.lhsBatch.isEmpty ? "" : ", batching_dims = \(list(axes.lhsBatch)) x \(list(axes.rhsBatch))"
    let contracted = ", contracting_dims = \(list(axes.lhsContract)) x \(list(axes.rhsContract))"
    let rest = "\(batch)\(contracted), precision = [\(precision), \(precision)]"
    return cast(builder.function("dot_general", operands, type.with(wide), rest), to: type.dtype)
  }
}
