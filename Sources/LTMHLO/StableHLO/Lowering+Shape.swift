import LTMIR
import LTMSupport

extension Lowering {
  mutating func slice(_ node: Node, _ x: HLOValue, _ type: HLOType) -> HLOValue {
    let start = node.attributes.dim("start")?.constant ?? 0
    let limit = node.attributes.dim("limit")?.constant ?? 0
    let stride = node.attributes.int("stride") ?? 1
    let ranges = x.type.shape.enumerated().map { index, size in
      index == axis(node) ? "\(start):\(limit)\(stride == 1 ? "" : ":\(stride)")" : "0:\(size)"
    }
    return builder.function("slice", [x], type, " [\(ranges.joined(separator: ", "))]")
  }

  mutating func pad(_ node: Node, _ x: HLOValue, _ type: HLOType) -> HLOValue {
    let value = builder.constant(node.attributes.float("value") ?? 0, x.type.scalar)
    let zeros = [Int](repeating: 0, count: type.shape.count)
    var (low, high) = (zeros, zeros)
    low[axis(node)] = node.attributes.int("low") ?? 0
    high[axis(node)] = node.attributes.int("high") ?? 0
    let rest = ", low = \(list(low)), high = \(list(high)), interior = \(list(zeros))"
    return builder.function("pad", [x, value], type, rest)
  }

  /// Half operands give an f32 result, which is narrowed: a half result would accumulate in half.
  mutating func contraction(_ node: Node, _ lhs: HLOValue, _ rhs: HLOValue, _ type: HLOType) -> HLOValue {
    guard let axes = try? ContractionAxes(node.attributes, ranks: (lhs.type.shape.count, rhs.type.shape.count)) else {
      internalFailure("stablehlo", "contract with axes that do not pair")
    }
    let wide = lhs.dtype.accumulator
    let integers = lhs.dtype == .u8
    let operands = integers ? [builder.convert(lhs, to: wide), builder.convert(rhs, to: wide)] : [lhs, rhs]
    // By default a TPU may multiply whatever it is given in bf16, which has fewer digits than f32 and f16.
    let precision = lhs.dtype == .bf16 ? "DEFAULT" : "HIGHEST"
    let batch = axes.lhsBatch.isEmpty ? "" : ", batching_dims = \(list(axes.lhsBatch)) x \(list(axes.rhsBatch))"
    let contracted = ", contracting_dims = \(list(axes.lhsContract)) x \(list(axes.rhsContract))"
    let rest = "\(batch)\(contracted), precision = [\(precision), \(precision)]"
    return cast(builder.function("dot_general", operands, type.with(wide), rest), to: type.dtype)
  }
}
