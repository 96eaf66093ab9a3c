import LTMIR

// Arithmetic on index forms. Kernels also arrive as text, so every sum and product reports overflow.

extension Affine {
  /// The form that is always 0.
  package static var zero: Affine { Affine(constant: 0) }

  /// The form when it is one number.
  package var constant: Int? { terms.isEmpty ? offset : nil }

  /// The sum; `nil` on integer overflow.
  package func adding(_ other: Affine) -> Affine? {
    let (sum, overflow) = offset.addingReportingOverflow(other.offset)
    if overflow { return nil }
    var strides: [AxisID: Int] = [:]
    for term in terms + other.terms {
      let (stride, overflow) = strides[term.axis, default: 0].addingReportingOverflow(term.stride)
      if overflow { return nil }
      strides[term.axis] = stride
    }
    let kept = strides.filter { $0.value != 0 }.sorted { $0.key.index < $1.key.index }
    return Affine(kept.map { Term($0.key, $0.value) }, offset: sum)
  }

  /// The form times a number; `nil` on integer overflow.
  package func scaled(by factor: Int) -> Affine? {
    if factor == 0 { return .zero }
    let (scaledOffset, overflow) = offset.multipliedReportingOverflow(by: factor)
    if overflow { return nil }
    var scaled = Affine([], offset: scaledOffset)
    for term in terms {
      let (stride, overflow) = term.stride.multipliedReportingOverflow(by: factor)
      if overflow { return nil }
      scaled.terms.append(Term(term.axis, stride))
    }
    return scaled
  }

  /// The least and greatest value over whole axes; `nil` on integer overflow.
  package func range(_ axes: [KernelAxis]) -> ClosedRange<Int>? {
    var low = offset
    var high = offset
    for term in terms {
      let (reach, overflow) = term.stride.multipliedReportingOverflow(by: axes[term.axis.index].extent - 1)
      if overflow { return nil }
      let (next, carry) = (reach < 0 ? low : high).addingReportingOverflow(reach)
      if carry { return nil }
      if reach < 0 { low = next } else { high = next }
    }
    return low...high
  }

  /// Without the axes that have one value only: their index is 0.
  package func droppingUnitAxes(_ axes: [KernelAxis]) -> Affine {
    Affine(terms.filter { axes[$0.axis.index].extent > 1 }, offset: offset)
  }
}

/// The row-major strides of a shape, in elements; `nil` on integer overflow.
package func rowMajorStrides(_ shape: [Int]) -> [Int]? {
  var strides = [Int](repeating: 1, count: shape.count)
  var stride = 1
  for dim in shape.indices.reversed() {
    strides[dim] = stride
    let (product, overflow) = stride.multipliedReportingOverflow(by: shape[dim])
    if overflow { return nil }
    stride = product
  }
  return strides
}

/// The element's position in row-major memory under `shape`; `nil` on integer overflow.
package func flatten(_ index: [Affine], shape: [Int]) -> Affine? {
  guard let strides = rowMajorStrides(shape), index.count == shape.count else { return nil }
  var flat = Affine.zero
  for (form, stride) in zip(index, strides) {
    guard let scaled = form.scaled(by: stride), let sum = flat.adding(scaled) else { return nil }
    flat = sum
  }
  return flat
}

/// The index under `shape` of the element at position `flat`, where each dimension's part is affine by itself; `nil` where
/// it is not.
package func unflatten(_ flat: Affine, shape: [Int], axes: [KernelAxis]) -> [Affine]? {
  guard let strides = rowMajorStrides(shape) else { return nil }
  var rest = flat.droppingUnitAxes(axes)
  var index: [Affine] = []
  for (dim, stride) in zip(shape, strides) {
    let whole = rest.terms.filter { $0.stride % stride == 0 }
    guard stride > 0 else { return nil }
    let quotient = (rest.offset - (rest.offset % stride + stride) % stride) / stride
    let part = Affine(whole.map { Affine.Term($0.axis, $0.stride / stride) }, offset: quotient)
    guard dim != 1 || part == .zero else { return nil }
    guard let range = part.range(axes), range.lowerBound >= 0, range.upperBound < dim else { return nil }
    rest = Affine(rest.terms.filter { $0.stride % stride != 0 }, offset: rest.offset - quotient * stride)
    guard let remaining = rest.range(axes), remaining.lowerBound >= 0, remaining.upperBound < stride else { return nil }
    index.append(part)
  }
  return rest == .zero ? index : nil
}
