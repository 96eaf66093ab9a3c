import Glibc

/// The first value of a parameter: a function of the seed, the parameter's name and the element's index alone, so that it
/// depends neither on threads nor on the order or number of the other parameters. `nil` when the shape has no size.
public func initialTensor(
  _ initializer: Initializer, shape: [Int], dtype: DType = .f32, seed: UInt64, name: String
) -> Tensor? {
  let (generator, stream) = (Philox(seed: seed), stableHash(name))
  /// Two independent uniform numbers for each pair of elements.
  @Sendable func draw(_ index: Int, _ make: (Double, Double) -> (Double, Double)) -> (Double, Double) {
    let words = generator.words(UInt64(index / 2), stream)
    return make(Philox.unit(words[0], words[1]), Philox.unit(words[2], words[3]))
  }
  switch initializer {
  case .constant(0): return Tensor(zeros: shape, dtype: dtype)
  case .constant(let value): return Tensor(shape: shape, dtype: dtype) { _ in (value, value) }
  case .uniform(let bound):
    return Tensor(shape: shape, dtype: dtype) { draw($0) { ((2 * $0 - 1) * bound, (2 * $1 - 1) * bound) } }
  case .normal(let deviation):
    return Tensor(shape: shape, dtype: dtype) { draw($0) { boxMuller($0, $1, deviation) } }
  }
}

private func boxMuller(_ a: Double, _ b: Double, _ deviation: Double) -> (Double, Double) {
  // 1 - a is never 0.
  let radius = deviation * (-2 * log(1 - a)).squareRoot()
  return (radius * cos(2 * .pi * b), radius * sin(2 * .pi * b))
}

/// FNV-1a over the UTF-8 bytes: the same in every run and on every machine.
public func stableHash(_ text: String) -> UInt64 {
  text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}
