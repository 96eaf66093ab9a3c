/// How a parameter or a state gets its first value; every number is already computed.
public enum Initializer: Hashable, Sendable {
  /// Every element the same.
  case constant(Double)
  /// Uniform in `-bound ..< bound`. PyTorch's default for `Linear` is `1 / sqrt(inputs)`.
  case uniform(bound: Double)
  /// Normal with mean 0.
  case normal(standardDeviation: Double)
}
