import LTMIR
import LTMKernels

// Exponentials of kernels that store halves are powers of 2: constants in the exponent take its factor in, where all of its
// terms have one.
extension Evaluator {
  /// `x / ln 2`, or the negative of it.
  func exponent(_ x: ScalarID, isNegated: Bool = false) -> Lanes {
    let factor = isNegated ? -1.442_695_040_888_963_4 : 1.442_695_040_888_963_4
    return scaled(x, by: factor) ?? known(x.index).lanes * factor
  }

  private func scaled(_ id: ScalarID, by factor: Double) -> Lanes? {
    if case .constant(let value, let dtype) = kernel.kernel[id] {
      let product = Float(value * factor)
      return product.isNormal || value == 0 ? constant(value * factor, dtype) : nil
    }
    guard facts.isReadOnce[id.index], case .apply(let primitive, let operands, _) = kernel.kernel[id] else {
      return nil
    }
    switch primitive {
    case .neg: return scaled(operands[0], by: -factor)
    case .mul:
      guard let (a, b) = scaledProduct(operands, by: factor) else { return nil }
      let lanes = max(a.count, b.count)
      return spread(a, lanes) * spread(b, lanes)
    case .add: return scaledSum(operands, by: factor)
    default: return nil
    }
  }

  private func scaledProduct(_ factors: [ScalarID], by factor: Double) -> (Lanes, Lanes)? {
    if let second = scaled(factors[1], by: factor) { return (known(factors[0].index).lanes, second) }
    return scaled(factors[0], by: factor).map { ($0, known(factors[1].index).lanes) }
  }

  private func scaledSum(_ terms: [ScalarID], by factor: Double) -> Lanes? {
    guard let place = terms.firstIndex(where: { facts.isFused[$0.index] }),
      case .apply(.mul, let factors, _) = kernel.kernel[terms[place]],
      let addend = scaled(terms[1 - place], by: factor), let (a, b) = scaledProduct(factors, by: factor)
    else { return nil }
    let lanes = max(a.count, b.count, addend.count)
    return spread(a, lanes).times(spread(b, lanes), plus: spread(addend, lanes))
  }
}
