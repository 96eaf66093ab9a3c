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

/// A store likewise.
struct CompiledStore {
  let buffer: Int
  let address: AddressForm
  let value: Int
  private let shift: CompiledShift?

  init(_ kernel: Kernel, _ store: KernelStore) {
    buffer = store.buffer.index
    value = store.value.index
    address = AddressForm(flatten(store.index, shape: kernel[store.buffer].shape) ?? .zero)
    shift = store.shift.map { CompiledShift(kernel, store, $0) }
  }

  /// The element that is written.
  func place(at position: [Int], _ values: [Double]) -> Int {
    address.at(position) + (shift?.distance(at: position, values) ?? 0)
  }
}

/// How far a store lies along one dimension.
private struct CompiledShift {
  let by: Int
  /// The place along the dimension without it.
  let form: AddressForm
  let starts: Int
  let size: Int
  let stride: Int
  let wraps: Bool

  init(_ kernel: Kernel, _ store: KernelStore, _ shift: KernelStore.Shift) {
    let (shape, own) = (kernel[store.buffer].shape, store.index[shift.dimension])
    by = shift.by.index
    form = AddressForm(own)
    size = shape[shift.dimension]
    starts = size - (own.range(kernel.axes)?.upperBound ?? 0)
    stride = rowMajorStrides(shape)?[shift.dimension] ?? 0
    wraps = shift.wraps
  }

  func distance(at position: [Int], _ values: [Double]) -> Int {
    guard wraps else { return Int(max(0, min(values[by], Double(starts - 1)))) * stride }
    let own = form.at(position)
    let rest = (values[by] + Double(own)).truncatingRemainder(dividingBy: Double(size))
    return (Int(rest < 0 ? rest + Double(size) : rest) - own) * stride
  }
}
