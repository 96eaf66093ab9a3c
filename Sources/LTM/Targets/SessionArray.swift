import LTMIR
import LTMSupport
import Synchronization

/// Memory of a target that holds one array.
package protocol ArrayMemory: AnyObject, Sendable {
  /// Copies a tensor in, of the array's dtype and shape.
  func write(_ tensor: Tensor) throws(LTMError)
  /// Copies the contents out.
  func read() throws(LTMError) -> Tensor
  /// Lets `body` read the bytes, where they lie if the host can.
  func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError)
}

extension ArrayMemory {
  package func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError) {
    let tensor = try read()
    try reporting { try tensor.withUnsafeBytes(body) }
  }
}

/// An array of a session. Every executable that binds to it reads and writes the same memory, one write at a time and
/// while nobody reads.
package final class SessionArray: Sendable {
  package let name: String
  package let role: GraphInput.Role
  package let dtype: DType
  package let shape: [Int]
  package let memory: any ArrayMemory
  private let writes = Atomic(0)

  init(_ name: String, _ role: GraphInput.Role, _ dtype: DType, _ shape: [Int], _ memory: any ArrayMemory) {
    (self.name, self.role, self.dtype, self.shape, self.memory) = (name, role, dtype, shape, memory)
  }

  package var byteCount: Int { (elementCount(shape) ?? 0) * dtype.byteCount }

  /// Another number after each write: what was made of the contents holds as long as it stays.
  package var version: Int { writes.load(ordering: .acquiring) }

  /// To be called when the memory was written not by ``write(_:)``.
  package func noteWrite() { writes.wrappingAdd(1, ordering: .releasing) }

  package func write(_ tensor: Tensor) throws(LTMError) {
    try checkFit(tensor, name, dtype, shape)
    try memory.write(tensor)
    noteWrite()
  }

  package func read() throws(LTMError) -> Tensor { try memory.read() }
}

/// Throws where a tensor is not what an array takes.
func checkFit(_ tensor: Tensor, _ name: String, _ dtype: DType, _ shape: [Int]) throws(LTMError) {
  guard tensor.dtype == dtype, tensor.shape == shape else {
    throw LTMError("'\(name)' is \(dtype)\(shape), and was given \(tensor.dtype)\(tensor.shape)")
  }
}

/// An array that the host holds as a value.
package final class TensorMemory: ArrayMemory {
  private let held: Mutex<Tensor>

  package init(_ tensor: Tensor) { held = Mutex(tensor) }

  package func write(_ tensor: Tensor) { held.withLock { $0 = tensor } }
  package func read() -> Tensor { held.withLock { $0 } }
}
