import Dispatch

/// An array in host memory: a dtype, a shape, and row-major little-endian bytes.
public struct Tensor: Sendable, Hashable {
  /// The element type; never `.float`.
  public let dtype: DType
  /// The dimensions, outermost first.
  public let shape: [Int]
  private let storage: Storage

  /// Where the bytes are.
  private enum Storage: Sendable {
    case owned([UInt8])
    /// In a file that is mapped into memory.
    case mapped(MappedBytes)
  }

  /// `count * dtype.byteCount` bytes; a copy of those that lie in a mapped file.
  public var bytes: [UInt8] {
    switch storage {
    case .owned(let bytes): bytes
    case .mapped(let mapped): Array(mapped.bytes)
    }
  }

  /// Whether the bytes lie in a mapped file.
  package var isMapped: Bool { if case .mapped = storage { true } else { false } }

  /// The number of bytes.
  public var byteCount: Int {
    switch storage {
    case .owned(let bytes): bytes.count
    case .mapped(let mapped): mapped.bytes.count
    }
  }

  /// The number of elements.
  public var count: Int { byteCount / dtype.byteCount }

  /// Bytes that stay in a file; `nil` when their number is not that of the shape.
  package init?(dtype: DType, shape: [Int], mapping bytes: MappedBytes) {
    guard dtype != .float, let count = elementCount(shape) else { return nil }
    let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    guard !overflow, size == bytes.bytes.count else { return nil }
    (self.dtype, self.shape, storage) = (dtype, shape, .mapped(bytes))
  }

  /// By what they hold, wherever that is.
  public static func == (a: Tensor, b: Tensor) -> Bool {
    guard a.dtype == b.dtype, a.shape == b.shape else { return false }
    return a.withUnsafeBytes { left in b.withUnsafeBytes { right in left.elementsEqual(right) } }
  }

  /// The same for equal ones.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(dtype)
    hasher.combine(shape)
    withUnsafeBytes { hasher.combine(bytes: $0) }
  }

  /// Wraps bytes; `nil` when their number is not that of the shape, or the dtype is undecided.
  public init?(dtype: DType, shape: [Int], bytes: [UInt8]) {
    guard dtype != .float, let count = elementCount(shape) else { return nil }
    let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    guard !overflow, size == bytes.count else { return nil }
    self.dtype = dtype
    self.shape = shape
    storage = .owned(bytes)
  }

  /// All zeros; `nil` when the shape has no size.
  public init?(zeros shape: [Int], dtype: DType) {
    guard let count = elementCount(shape) else { return nil }
    let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    if overflow { return nil }
    self.init(dtype: dtype, shape: shape, bytes: [UInt8](repeating: 0, count: size))
  }

  /// Rounds `values` to `dtype`; `nil` when their number is not that of the shape.
  public init?(_ values: [Double], shape: [Int], dtype: DType) {
    guard dtype != .float, elementCount(shape) == values.count else { return nil }
    self.init(dtype: dtype, shape: shape, bytes: encode(values, dtype))
  }

  /// Elements that a function of their index gives, the one at an even index and its neighbour at a time, computed on
  /// all cores; `nil` when the shape has no size.
  init?(shape: [Int], dtype: DType, pairs: @Sendable (_ index: Int) -> (Double, Double)) {
    guard dtype != .float, let count = elementCount(shape) else { return nil }
    let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    if overflow { return nil }
    let chunk = 1 << 14
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
      nonisolated(unsafe) let start = UnsafeMutableRawPointer(buffer.baseAddress)
      DispatchQueue.concurrentPerform(iterations: (count + chunk - 1) / chunk) { number in
        let range = number * chunk..<min(number * chunk + chunk, count)
        let values = [Double](unsafeUninitializedCapacity: range.count + 1) { values, made in
          for index in stride(from: range.lowerBound, to: range.upperBound, by: 2) {
            (values[index - range.lowerBound], values[index - range.lowerBound + 1]) = pairs(index)
          }
          made = range.count
        }
        encode(values, dtype).withUnsafeBytes { part in
          guard let start, let base = part.baseAddress else { return }
          (start + range.lowerBound * dtype.byteCount).copyMemory(from: base, byteCount: part.count)
        }
      }
      filled = size
    }
    self.init(dtype: dtype, shape: shape, bytes: bytes)
  }

  /// An f32 tensor.
  public init?(_ values: [Float], shape: [Int]) {
    guard elementCount(shape) == values.count else { return nil }
    self.init(dtype: .f32, shape: shape, bytes: values.withUnsafeBytes { Array($0) })
  }

  /// The elements as doubles, exact for every dtype but large i64.
  public var doubles: [Double] { decode(bytes, dtype) }

  /// The same values in another dtype, rounded to nearest even.
  public func converted(to other: DType) -> Tensor {
    guard other != dtype, let result = Tensor(doubles, shape: shape, dtype: other) else { return self }
    return result
  }

  /// The same bytes under another shape; `nil` when the sizes differ.
  public func reshaped(_ shape: [Int]) -> Tensor? { Tensor(dtype: dtype, shape: shape, bytes: bytes) }

  /// Calls `body` with the bytes in place.
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    switch storage {
    case .owned(let bytes): try bytes.withUnsafeBytes(body)
    case .mapped(let mapped): try body(mapped.bytes)
    }
  }
}

/// Bytes of a file that is mapped into memory, and stays so as long as anyone holds them.
package final class MappedBytes: @unchecked Sendable {
  /// The bytes; nothing writes to them.
  package let bytes: UnsafeRawBufferPointer
  private let release: @Sendable () -> Void

  /// Bytes, and what is to be done when nobody holds them any longer.
  package init(_ bytes: UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void) {
    (self.bytes, self.release) = (bytes, release)
  }

  deinit { release() }
}

private func encode(_ values: [Double], _ dtype: DType) -> [UInt8] {
  switch dtype {
  case .float, .f64: raw(values) { $0 }
  case .f32: raw(values) { Float($0) }
  case .f16: raw(values, float16Bits)
  case .bf16: raw(values, bfloat16Bits)
  case .i32: raw(values) { Int32(dtype.round($0)) }
  case .i64: raw(values) { Int64(dtype.round($0)) }
  case .u8, .bool: raw(values) { UInt8(dtype.round($0)) }
  }
}

private func decode(_ bytes: [UInt8], _ dtype: DType) -> [Double] {
  switch dtype {
  case .float, .f64: elements(bytes) { (value: Double) in value }
  case .f32: elements(bytes) { (value: Float) in Double(value) }
  case .f16: elements(bytes, float16Value)
  case .bf16: elements(bytes, bfloat16Value)
  case .i32: elements(bytes) { (value: Int32) in Double(value) }
  case .i64: elements(bytes) { (value: Int64) in Double(value) }
  case .u8, .bool: elements(bytes) { (value: UInt8) in Double(value) }
  }
}

private func raw<T: BitwiseCopyable>(_ values: [Double], _ convert: (Double) -> T) -> [UInt8] {
  values.map(convert).withUnsafeBytes { Array($0) }
}

private func elements<T: BitwiseCopyable>(_ bytes: [UInt8], _ convert: (T) -> Double) -> [Double] {
  bytes.withUnsafeBytes { buffer in
    (0..<buffer.count / MemoryLayout<T>.size).map {
      convert(buffer.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
    }
  }
}
