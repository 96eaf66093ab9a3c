import LTMSupport

/// `weights MiniLM { ... }`: how the names in files of weights become the model's.
public struct WeightsDeclaration: Sendable {
  package var model: Identifier
  package var lines: [WeightLine]
  package var span: Span
}

/// A line of a `weights` block.
public enum WeightLine: Sendable {
  /// `"encoder.layer.*.key" -> "blocks.*.key"`, `["q", "k"] -> "qk"`, `"qk" -> ["q", "k"]`, each of them `transposed`
  case map(from: [StringLiteral], to: [StringLiteral], isTransposed: Bool, Span)
  /// `ignore "pooler.**"`
  case ignore(StringLiteral, Span)
}
