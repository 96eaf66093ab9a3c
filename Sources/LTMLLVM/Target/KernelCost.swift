import LTMIR
import LTMKernels

/// What one launch of a kernel moves and computes at least, whatever the schedule.
package struct KernelCost: Hashable, Sendable {
  /// Each operand once, an operand that is read and written twice.
  package var bytes: Double
  /// Additions, multiplications and comparisons, and one for each call of a function such as `exp`. A value counts once
  /// for each point of the axes that it depends on.
  package var flops: Double

  package init(_ kernel: Kernel) {
    bytes = kernel.buffers.reduce(0) { sum, buffer in
      let size = Double(buffer.shape.reduce(1, *) * buffer.dtype.byteCount)
      return sum + (buffer.access == .readWrite ? 2 * size : size)
    }
    let flat = FlatKernel(kernel)
    flops = 0
    for statement in flat.kernel.body {
      let inner = if case .line(_, _, let over, _) = statement { [over] } else { statement.innerAxes }
      let axes = flat.domain + inner.map(\.index)
      let points = Double(flat.points(axes))
      if case .attention(let attention) = statement {
        flops += Self.flops(attention, flat)
        continue
      }
      for id in flat.closure(of: statement.roots) {
        guard case .apply = flat.kernel.expressions[id] else { continue }
        flops += Double(flat.points(axes.filter(flat.dependencies[id].contains)))
      }
      switch statement {
      case .contract: flops += 2 * points
      case .reduce, .argReduce, .epilogue: flops += points
      case .line(_, .prefix, _, _): flops += points
      case .line(_, .order, let axis, _):
        // A comparison for each time that a line halves.
        flops += points * Double(Int.bitWidth - max(flat.extent(axis.index) - 1, 0).leadingZeroBitCount)
      case .scratch, .loop, .store, .attention: break
      }
    }
  }

  /// Of the products: two, or five going back. Scores are a few operations each; what is hidden counts as if it was not.
  private static func flops(_ attention: KernelAttention, _ kernel: FlatKernel) -> Double {
    let scores = Double(kernel.points(kernel.domain + [attention.keys.index]))
    let (depth, width) = (kernel.extent(attention.depth.index), kernel.extent(attention.width.index))
    return attention.backward == nil
      ? scores * Double(2 * (depth + width) + 5) : scores * Double(6 * depth + 4 * width + 8)
  }
}
