import Glibc

/// The first value of a parameter: a function of the seed, the parameter's name and the element's index alone, so that it
/// depends neither on threads nor on the order or number of the other parameters. `nil` when the shape has no size.
public func initialTensor(
  _ initializer: Initializer, shape: [Int], dtype: DType = .f32, seed: UInt64, name: String
) -> Tensor? {
  guard let zeros = Tensor(zeros: shape, dtype: dtype) else { return nil }
  switch initializer {
  case .constant(0): return zeros
  case .constant(let value):
    return Tensor([Double](repeating: value, count: zeros.count), shape: shape, dtype: dtype)
  case .uniform(let bound):
    return Tensor(
      pairs(zeros.count, seed, name) { ((2 * $0 - 1) * bound, (2 * $1 - 1) * bound) }, shape: shape, dtype: dtype)
  case .normal(let deviation):
    return Tensor(pairs(zeros.count, seed, name) { boxMuller($0, $1, deviation) }, shape: shape, dtype: dtype)
  }
}

/// `count` values made two at a time from two independent uniform numbers.
private func pairs(_ count: Int, _ seed: UInt64, _ name: String, _ make: (Double, Double) -> (Double, Double))
  -> [Double]
{
  let generator = Philox(seed: seed)
  let stream = stableHash(name)
  var values: [Double] = []
  values.reserveCapacity(count + 1)
  for index in 0..<(count + 1) / 2 {
    let words = generator.words(UInt64(index), stream)
    let (first, second) = make(Philox.unit(words[0], words[1]), Philox.unit(words[2], words[3]))
    values.append(first)
    if values.count < count { values.append(second) }
  }
  return values
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
