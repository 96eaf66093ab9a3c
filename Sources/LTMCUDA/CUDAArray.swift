internal import CCUDA
import LTMIR

/// An array in a GPU's memory that programs share.
package final class CUDAArray: @unchecked Sendable {
  /// What an array is to hold.
  package struct Spec: Hashable, Sendable {
    package let name: String
    package let dtype: DType
    package let shape: [Int]

    package init(name: String, dtype: DType, shape: [Int]) {
      (self.name, self.dtype, self.shape) = (name, dtype, shape)
    }

    var byteCount: Int {
      get throws(CUDAError) {
        guard let count = elementCount(shape), count <= Int.max / 8 / dtype.byteCount else {
          throw CUDAError("planning memory", "'\(name)' with the shape \(shape) is larger than any memory")
        }
        return count * dtype.byteCount
      }
    }
  }

  /// Where an array lies.
  package struct Value: Hashable, Sendable {
    package let dtype: DType
    package let shape: [Int]
    package let byteCount: Int
    let address: CUdeviceptr

    init(_ spec: Spec, at address: CUdeviceptr) throws(CUDAError) {
      (dtype, shape, byteCount, self.address) = (spec.dtype, spec.shape, try spec.byteCount, address)
    }
  }

  private let context: CUDAContext
  /// Which it lies in, with those that were made together with it.
  private let memory: DeviceMemory
  package let name: String
  package let value: Value

  private init(_ context: CUDAContext, _ memory: DeviceMemory, _ name: String, _ value: Value) {
    (self.context, self.memory, self.name, self.value) = (context, memory, name, value)
  }

  /// Zeroed arrays in one allocation, which lasts as long as one of them.
  package static func make(
    _ specs: [Spec], on context: CUDAContext, for purpose: String
  ) throws(CUDAError) -> [CUDAArray] {
    var layout = MemoryLayoutPlan()
    var offsets: [Int] = []
    for spec in specs { offsets.append(try layout.add(try spec.byteCount)) }
    let memory = try DeviceMemory(context, byteCount: layout.byteCount, for: purpose)
    var arrays: [CUDAArray] = []
    for (spec, offset) in zip(specs, offsets) {
      arrays.append(CUDAArray(context, memory, spec.name, try Value(spec, at: memory.address + UInt64(offset))))
    }
    return arrays
  }

  /// Copies bytes to it, and waits for that.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(CUDAError) { try context.write(bytes, to: value) }

  /// Copies it from the GPU when all runs so far are done.
  package func bytes() throws(CUDAError) -> [UInt8] { try context.read(value, after: "'\(name)' was written") }
}

extension CUDAContext {
  /// Copies bytes to a value, and waits for that.
  func write(_ bytes: UnsafeRawBufferPointer, to value: CUDAArray.Value) throws(CUDAError) {
    enter()
    let action = "copying \(byteText(value.byteCount)) to \(device.name)"
    guard bytes.count == value.byteCount else { throw CUDAError(action, "\(bytes.count) bytes were given") }
    if bytes.isEmpty { return }
    try check(functions.cuMemcpyHtoDAsync(value.address, bytes.baseAddress, bytes.count, stream), action)
    try synchronize(action)
  }

  /// Copies a value from the GPU when all runs so far are done, the last of which `run` names.
  func read(_ value: CUDAArray.Value, after run: String) throws(CUDAError) -> [UInt8] {
    enter()
    let action = "copying \(byteText(value.byteCount)) from \(device.name) after \(run)"
    var bytes = [UInt8](repeating: 0, count: value.byteCount)
    if bytes.isEmpty { return bytes }
    let result = bytes.withUnsafeMutableBytes {
      functions.cuMemcpyDtoHAsync($0.baseAddress, value.address, $0.count, stream)
    }
    try check(result, action)
    try synchronize(action)
    return bytes
  }
}

/// Offsets in one allocation, each as aligned as an allocation's start.
struct MemoryLayoutPlan {
  private(set) var byteCount = 0

  mutating func add(_ bytes: Int) throws(CUDAError) -> Int {
    let offset = byteCount
    let (end, overflow) = offset.addingReportingOverflow(max(0, bytes))
    guard !overflow, end < Int.max - 256 else {
      throw CUDAError("planning memory", "more is needed than can be counted")
    }
    byteCount = (end + 255) / 256 * 256
    return offset
  }
}
