import LTMIR
import LTMKernels

/// The instructions that most of a kernel's arithmetic is made of: each kind has its own peak.
package enum Arithmetic: String, Hashable, Sendable, CaseIterable {
  /// Multiply-adds of f32, which halves are widened to.
  case f32
  /// Multiply-adds of f64.
  case f64
  /// Dot products of bf16 pairs.
  case bf16
  /// Products of bf16 tiles (AMX).
  case tiles
}

extension Schedule {
  /// What a kernel computes with under this schedule.
  package func arithmetic(of kernel: Kernel) -> Arithmetic {
    if case .contraction(let tiles) = strategy {
      switch tiles.tile.multiply {
      case .dotBF16: return .bf16
      case .tileBF16: return .tiles
      case .fma, .multiplyAdd: return tiles.isDouble ? .f64 : .f32
      }
    }
    return kernel.expressions.indices.contains { kernel.dtype(ScalarID($0)) == .f64 } ? .f64 : .f32
  }
}
