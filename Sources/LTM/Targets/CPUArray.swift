import LTMIR
import LTMRuntime
import LTMSupport

/// A named array in aligned memory.
final class CPUArray: ArrayMemory {
  let name: String
  let dtype: DType
  let shape: [Int]
  let buffer: AlignedBuffer

  /// Zeroed memory for a value of that type.
  init(name: String, dtype: DType, shape: [Int]) throws(LTMError) {
    guard let count = elementCount(shape), count <= Int.max / 8 / dtype.byteCount else {
      throw LTMError("'\(name)' with the shape \(shape) is larger than any memory")
    }
    self.name = name
    self.dtype = dtype
    self.shape = shape
    buffer = try reporting { try AlignedBuffer(byteCount: count * dtype.byteCount) }
  }

  /// Zeroed memory for an input of a graph.
  convenience init(_ input: GraphInput, of graph: Graph) throws(LTMError) {
    let type = graph[input.value].type
    try self.init(name: input.name, dtype: type.dtype, shape: type.staticShape ?? [])
  }

  func write(_ tensor: Tensor) throws(LTMError) {
    try checkFit(tensor, name, dtype, shape)
    tensor.withUnsafeBytes { buffer.bytes.copyMemory(from: $0) }
  }

  func read() throws(LTMError) -> Tensor {
    let bytes = Array(UnsafeRawBufferPointer(buffer.bytes))
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: bytes) else {
      throw LTMError("'\(name)' with the shape \(shape) cannot be read")
    }
    return tensor
  }

  func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError) {
    try reporting { try body(UnsafeRawBufferPointer(buffer.bytes)) }
  }
}
