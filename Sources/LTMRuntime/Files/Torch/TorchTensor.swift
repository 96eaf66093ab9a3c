import LTMIR

/// A tensor as a file of PyTorch's describes it: a view of a storage.
struct TorchTensor: Sendable {
  /// The storage's key, and its elements' type as PyTorch names it.
  let storage: String
  let kind: String
  /// How many elements the storage has.
  let storageCount: Int
  /// In elements.
  let offset: Int
  let shape: [Int]
  let strides: [Int]

  /// The element type; `nil` for one that tensors here do not have.
  var dtype: DType? { Self.dtypes[kind]?.dtype }
  /// Bytes of an element.
  var elementSize: Int? { Self.elementSize(of: kind) }

  /// Bytes of an element of a storage.
  static func elementSize(of kind: String) -> Int? { dtypes[kind]?.size }

  private static let dtypes: [String: (size: Int, dtype: DType?)] = [
    "FloatStorage": (4, .f32), "DoubleStorage": (8, .f64), "HalfStorage": (2, .f16), "BFloat16Storage": (2, .bf16),
    "LongStorage": (8, .i64), "IntStorage": (4, .i32), "ByteStorage": (1, .u8), "BoolStorage": (1, .bool),
    "CharStorage": (1, nil), "ShortStorage": (2, nil), "ComplexFloatStorage": (8, nil),
    "ComplexDoubleStorage": (16, nil), "Float8_e4m3fnStorage": (1, nil), "Float8_e5m2Storage": (1, nil),
    "UntypedStorage": (1, nil),
  ]

  /// Reads what `torch._utils._rebuild_tensor_v2` would be called with; `nil` for another call.
  init?(_ value: Pickle.Value, in pickle: Pickle) {
    guard let call = Self.call(value, in: pickle) else { return nil }
    guard call.items.count >= 5, let storage = TorchStorage(call.items[1], in: pickle),
      case .int(let offset) = call.items[2], let shape = pickle.integers(call.items[3]),
      let strides = pickle.integers(call.items[4]), shape.count == strides.count
    else { return nil }
    (self.storage, kind, storageCount) = (storage.key, storage.kind, storage.count)
    let (place, overflow) = offset.addingReportingOverflow(storage.offset)
    if overflow { return nil }
    (self.offset, self.shape, self.strides) = (place, shape, strides)
  }

  /// The call that makes the tensor, or that of a parameter.
  private static func call(_ value: Pickle.Value, in pickle: Pickle) -> Pickle.Cell? {
    guard let call = pickle.cell(value, .call), case .global(let name)? = call.items.first else { return nil }
    if isRebuild(name) { return call }
    guard name.hasPrefix("torch._utils._rebuild_parameter"), call.items.count > 1,
      let inner = pickle.cell(call.items[1], .call), case .global(let rebuild)? = inner.items.first, isRebuild(rebuild)
    else { return nil }
    return inner
  }

  private static func isRebuild(_ name: String) -> Bool {
    name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor"
  }

  /// The last element's place behind the first; `nil` where a number makes no sense or more elements are asked for than the
  /// storage has.
  private var extent: Int? {
    guard shape.count <= 32, shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }), offset >= 0 else {
      return nil
    }
    guard let count = elementCount(shape), count <= storageCount else { return nil }
    var last = 0
    for (size, stride) in zip(shape, strides) where size > 1 {
      let (step, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
      if overflow { return nil }
      let (sum, isLarge) = last.addingReportingOverflow(step)
      if isLarge { return nil }
      last = sum
    }
    return last
  }

  /// The bytes of the storage that the tensor reads; `nil` where it reads beyond.
  var byteRange: Range<Int>? {
    guard let extent, let elementSize, let count = elementCount(shape) else { return nil }
    if count == 0 { return 0..<0 }
    let (end, overflow) = offset.addingReportingOverflow(extent + 1)
    let (bytes, isLarge) = end.multipliedReportingOverflow(by: elementSize)
    guard !overflow, !isLarge, end <= storageCount else { return nil }
    return offset * elementSize..<bytes
  }

  /// The elements one after the other, out of the bytes of `byteRange`.
  func gathered(_ bytes: [UInt8]) -> [UInt8] {
    guard let elementSize, let count = elementCount(shape), count > 0, !isContiguous else { return bytes }
    var result: [UInt8] = []
    result.reserveCapacity(count * elementSize)
    var index = [Int](repeating: 0, count: shape.count)
    for _ in 0..<count {
      let place = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 } * elementSize
      result += bytes[place..<place + elementSize]
      for axis in shape.indices.reversed() {
        index[axis] += 1
        if index[axis] < shape[axis] { break }
        index[axis] = 0
      }
    }
    return result
  }

  private var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }
}

/// What a tensor's bytes lie in: `("storage", torch.FloatStorage, key, "cpu", count, view)`.
struct TorchStorage {
  let key: String
  let kind: String
  let count: Int
  /// Where a view of another storage begins, in elements (files before PyTorch 0.4).
  var offset = 0

  init?(_ value: Pickle.Value, in pickle: Pickle) {
    guard let reference = pickle.cell(value, .persistent)?.items.first,
      let parts = pickle.cell(reference, .tuple)?.items, parts.count >= 5, parts[0] == .string("storage"),
      case .global(let type) = parts[1], case .string(let key) = parts[2], case .int(let count) = parts[4], count >= 0
    else { return nil }
    self.key = key
    self.count = count
    kind = String(type.split(separator: ".").last ?? "")
    if parts.count > 5, let view = pickle.cell(parts[5], .tuple)?.items, view.count == 3,
      case .int(let offset) = view[1]
    {
      self.offset = offset
    }
  }
}

extension Pickle {
  fileprivate func integers(_ value: Value) -> [Int]? {
    guard case .cell(let index) = value else { return nil }
    var items = cells[index].items
    // torch.Size((2, 3))
    if cells[index].kind == .call {
      guard items.count == 2, case .cell(let inner) = items[1] else { return nil }
      items = cells[inner].items
    }
    var numbers: [Int] = []
    for case .int(let number) in items { numbers.append(number) }
    return numbers.count == items.count ? numbers : nil
  }
}
