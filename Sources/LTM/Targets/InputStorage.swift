import LTMIR
import LTMRuntime
import LTMSupport

/// A named array in aligned memory.
struct Storage {
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

  /// Copies a tensor in.
  func write(_ tensor: Tensor) throws(LTMError) {
    guard tensor.dtype == dtype, tensor.shape == shape else {
      throw LTMError("'\(name)' is \(dtype)\(shape), and was given \(tensor.dtype)\(tensor.shape)")
    }
    tensor.withUnsafeBytes { buffer.bytes.copyMemory(from: $0) }
  }

  /// Copies the contents out.
  func read() throws(LTMError) -> Tensor {
    let bytes = Array(UnsafeRawBufferPointer(buffer.bytes))
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: bytes) else {
      throw LTMError("'\(name)' with the shape \(shape) cannot be read")
    }
    return tensor
  }
}
