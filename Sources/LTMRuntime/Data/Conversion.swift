import LTMIR

/// The tensor in another dtype, rounded to nearest even; `lost` is the index of the first element that the dtype cannot
/// hold: a number that is not exact in an integer dtype, or a finite one that becomes infinite.
package func convert(_ tensor: Tensor, to dtype: DType) -> (tensor: Tensor, lost: Int?) {
  if dtype == tensor.dtype { return (tensor, nil) }
  let count = tensor.count
  var lost: Int?
  // A piece at a time: the doubles of a whole data set would be eight bytes an element.
  var values = [Double](repeating: 0, count: min(count, 4096))
  let bytes = [UInt8](unsafeUninitializedCapacity: count * dtype.byteCount) { result, filled in
    tensor.withUnsafeBytes { source in
      for start in stride(from: 0, to: count, by: 4096) {
        let piece = start..<min(start + 4096, count)
        decode(source, tensor.dtype, piece, into: &values)
        if lost == nil { lost = piece.first { !dtype.holds(values[$0 - start]) } }
        encode(values, dtype, piece, into: UnsafeMutableRawBufferPointer(result))
      }
    }
    filled = count * dtype.byteCount
  }
  return (Tensor(dtype: dtype, shape: tensor.shape, bytes: bytes) ?? tensor, lost)
}

extension DType {
  /// Whether a number keeps its value, or is a float that is merely rounded.
  fileprivate func holds(_ value: Double) -> Bool {
    guard isFloating else { return round(value) == value }
    return abs(value) <= greatestFinite || !value.isFinite || round(value).isFinite
  }
}

/// An element as a message shows it: integers with all their digits.
package func elementText(_ tensor: Tensor, _ index: Int) -> String {
  let size = tensor.dtype.byteCount
  return tensor.withUnsafeBytes { bytes in
    guard index >= 0, (index + 1) * size <= bytes.count else { return "a value" }
    if tensor.dtype == .i64 { return "\(bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self))" }
    var value = [0.0]
    decode(bytes, tensor.dtype, index..<index + 1, into: &value)
    return tensor.dtype.isFloating ? "\(value[0])" : "\(Int(value[0]))"
  }
}

/// The index of the first NaN or infinity.
package func firstNonFinite(_ tensor: Tensor) -> Int? {
  tensor.withUnsafeBytes { firstNonFinite($0, tensor.dtype) }
}

/// The index of the first NaN or infinity among elements of a dtype.
package func firstNonFinite(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Int? {
  let mask = dtype.format.exponentMask
  if mask == 0 { return nil }
  return switch dtype.format.bits {
  case 16: first(bytes) { [mask = UInt16(mask)] (bits: UInt16) in bits & mask == mask }
  case 32: first(bytes) { [mask = UInt32(mask)] (bits: UInt32) in bits & mask == mask }
  default: first(bytes) { (bits: UInt64) in bits & mask == mask }
  }
}

/// Whether a NaN is among elements of a dtype.
package func hasNaN(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Bool {
  let mask = dtype.format.exponentMask
  if mask == 0 { return false }
  let found =
    switch dtype.format.bits {
    case 16: first(bytes) { [mask = UInt16(mask)] (bits: UInt16) in bits & ~(1 << 15) > mask }
    case 32: first(bytes) { [mask = UInt32(mask)] (bits: UInt32) in bits & ~(1 << 31) > mask }
    default: first(bytes) { (bits: UInt64) in bits & ~(1 << 63) > mask }
    }
  return found != nil
}

/// Looks at a block without a branch for each element, so that it is done in vectors, and only then at its elements.
@inline(__always)
private func first<T: BitwiseCopyable & FixedWidthInteger>(
  _ bytes: UnsafeRawBufferPointer, _ test: (T) -> Bool
) -> Int? {
  let size = MemoryLayout<T>.size
  let count = bytes.count / size
  func element(_ index: Int) -> T { bytes.loadUnaligned(fromByteOffset: index * size, as: T.self) }
  for start in stride(from: 0, to: count, by: 1024) {
    let block = start..<min(start + 1024, count)
    var found: T = 0
    for index in block { found |= test(element(index)) ? 1 : 0 }
    if found != 0 { return block.first { test(element($0)) } }
  }
  return nil
}

private func decode(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, _ piece: Range<Int>, into values: inout [Double]) {
  switch dtype {
  case .float, .f32: load(bytes, piece, &values) { (value: Float) in Double(value) }
  case .f64: load(bytes, piece, &values) { (value: Double) in value }
  case .f16: load(bytes, piece, &values, float16Value)
  case .bf16: load(bytes, piece, &values, bfloat16Value)
  case .i32: load(bytes, piece, &values) { (value: Int32) in Double(value) }
  case .i64: load(bytes, piece, &values) { (value: Int64) in Double(value) }
  case .u8, .bool: load(bytes, piece, &values) { (value: UInt8) in Double(value) }
  }
}

private func encode(_ values: [Double], _ dtype: DType, _ piece: Range<Int>, into bytes: UnsafeMutableRawBufferPointer)
{
  switch dtype {
  case .float, .f32: store(values, piece, bytes) { Float($0) }
  case .f64: store(values, piece, bytes) { $0 }
  case .f16: store(values, piece, bytes, float16Bits)
  case .bf16: store(values, piece, bytes, bfloat16Bits)
  case .i32: store(values, piece, bytes) { Int32(dtype.round($0)) }
  case .i64: store(values, piece, bytes) { Int64(dtype.round($0)) }
  case .u8, .bool: store(values, piece, bytes) { UInt8(dtype.round($0)) }
  }
}

@inline(__always)
private func load<T: BitwiseCopyable>(
  _ bytes: UnsafeRawBufferPointer, _ piece: Range<Int>, _ values: inout [Double], _ convert: (T) -> Double
) {
  for (index, element) in piece.enumerated() {
    values[index] = convert(bytes.loadUnaligned(fromByteOffset: element * MemoryLayout<T>.size, as: T.self))
  }
}

@inline(__always)
private func store<T: BitwiseCopyable>(
  _ values: [Double], _ piece: Range<Int>, _ bytes: UnsafeMutableRawBufferPointer, _ convert: (Double) -> T
) {
  for (index, element) in piece.enumerated() {
    bytes.storeBytes(of: convert(values[index]), toByteOffset: element * MemoryLayout<T>.size, as: T.self)
  }
}
