import LTMIR

/// An index form over axes, as the interpreter adds it up.
struct AddressForm {
  let terms: [(axis: Int, stride: Int)]
  let offset: Int

  init(_ form: Affine) {
    terms = form.terms.map { ($0.axis.index, $0.stride) }
    offset = form.offset
  }

  func at(_ position: [Int]) -> Int {
    var sum = offset
    for term in terms { sum += position[term.axis] * term.stride }
    return sum
  }
}

/// A load with its address worked out as far as it can be.
struct CompiledLoad {
  let buffer: Int
  let address: AddressForm
  /// Loaded indices: the expression, its dimension's size, its stride.
  let gathered: [(value: Int, size: Int, stride: Int)]
  let guards: [(form: AddressForm, limit: Int)]
  let otherwise: Double

  init(_ kernel: Kernel, _ buffer: BufferID, _ index: [KernelIndex], _ guards: [KernelGuard], _ otherwise: Double) {
    let shape = kernel[buffer].shape
    let strides = rowMajorStrides(shape) ?? []
    var flat = Affine.zero
    var gathered: [(value: Int, size: Int, stride: Int)] = []
    for (dim, part) in index.enumerated() {
      switch part {
      case .affine(let form): flat = form.scaled(by: strides[dim]).flatMap(flat.adding) ?? flat
      case .loaded(let value): gathered.append((value.index, shape[dim], strides[dim]))
      }
    }
    self.buffer = buffer.index
    address = AddressForm(flat)
    self.gathered = gathered
    self.guards = guards.map { (AddressForm($0.form), $0.limit) }
    self.otherwise = otherwise
  }
}
