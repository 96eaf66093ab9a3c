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

  /// Windows, one of their elements after the other: slices of the padded operand, side by side.
  mutating func windows(
    _ x: HLOValue, _ axis: Int, _ form: WindowForm, outside: Double, _ type: HLOType
  ) -> HLOValue {
    let (count, length) = (type.shape[axis], x.type.shape[axis])
    let span = (count - 1) * form.stride + 1
    let starts = (0..<form.size).map { $0 * form.dilation - form.low }
    let low = max(0, -(starts.min() ?? 0))
    let high = max(0, (starts.max() ?? 0) + span - length)
    var padded = x.type.shape
    padded[axis] += low + high
    let operand =
      low + high == 0 ? x : pad(x, axis, (low, high), outside, HLOType(x.dtype, padded))
    var part = type.shape
    part[axis + 1] = 1
    var sliced = x.type.shape
    sliced[axis] = count
    let parts = starts.map { start -> HLOValue in
      let range = (start + low, start + low + span, form.stride)
      return builder.reshape(slice(operand, axis, range, HLOType(x.dtype, sliced)), to: part)
    }
    return parts.count == 1 ? parts[0] : builder.function("concatenate", parts, type, ", dim = \(axis + 1)")
  }

  /// Half operands give an f32 result, which is narrowed: a half result would accumulate in half.
  mutating func contraction(
    _ axes: ContractionAxes, _ lhs: HLOValue, _ rhs: HLOValue, _ type: HLOType
  ) -> HLOValue {
    let wide = lhs.dtype.accumulator
    let integers = !lhs.dtype.isFloating && lhs.dtype != wide
    // XLA's CPU takes matrices of bf16, and nothing wider; by the default precision the products are the same.
    let isWidened = lhs.dtype == .bf16 && (axes.lhsContract.count > 1 || axes.lhsFree.count > 2)
    let operands =
      integers || isWidened ? [builder.convert(lhs, to: wide), builder.convert(rhs, to: wide)] : [lhs, rhs]
    // By default a TPU may multiply whatever it is given in bf16, which has fewer digits than f32 and f16.
    let precision = lhs.dtype == .bf16 ? "DEFAULT" : "HIGHEST"
    let batch = axes.lhsBatch.isEmpty ? "" : ", batching_dims = \(list(axes.lhsBatch)) x \(list(axes.rhsBatch))"
    let contracted = ", contracting_dims = \(list(axes.lhsContract)) x \(list(axes.rhsContract))"
    let rest = "\(batch)\(contracted), precision = [\(precision), \(precision)]"
    return cast(builder.function("dot_general", operands, type.with(wide), rest), to: type.dtype)
  }
}
