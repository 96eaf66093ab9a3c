import LTMHLO
import LTMIR
import LTMRuntime
import LTMSupport

/// An array on the devices of a plugin, the same on each that runs a replica. A program that updates it takes its buffers over
/// and gives others.
final class PJRTArray: ArrayMemory, @unchecked Sendable {
  private let client: PJRTClient
  private let name: String
  private let dtype: DType
  private let shape: [Int]
  /// Guards all below.
  private let lock = Lock()
  /// What was written and has yet to go to the devices.
  private var pending: Tensor?
  /// By replica.
  private var buffers: [PJRTBuffer] = []

  /// Zeros.
  init(_ input: GraphInput, of graph: Graph, _ client: PJRTClient) throws(LTMError) {
    let type = graph[input.value].type
    guard let shape = type.staticShape, let zeros = Tensor(zeros: shape, dtype: type.dtype) else {
      throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
    }
    (self.client, name, dtype, self.shape, pending) = (client, input.name, type.dtype, shape, zeros)
  }

  func write(_ tensor: Tensor) { lock.withLock { pending = tensor } }

  func read() throws(LTMError) -> Tensor { try reporting { try startRead()() } }

  /// Begins to read the array as it is now: on its way from the first device, or on the host still.
  func startRead() throws -> () throws -> Tensor {
    try lock.withLock {
      if let pending { return { pending } }
      guard let buffer = buffers.first else { throw LTMError("there is nothing in '\(name)'") }
      let copy = try buffer.startCopy(dtype, shape)
      return { try copy.tensor() }
    }
  }

  /// The buffers on so many devices, as they are for the next run.
  func placed(replicas: Int) throws -> [PJRTBuffer] {
    try lock.withLock {
      if pending == nil, buffers.count < replicas { pending = try buffers.first?.tensor(dtype, shape) }
      if let tensor = pending {
        buffers = try (0..<replicas).map { try client.buffer(tensor, device: $0) }
        pending = nil
      }
      return Array(buffers.prefix(replicas))
    }
  }

  /// Takes what a run gave in place of what it was given.
  func replace(_ buffers: [PJRTBuffer]) {
    lock.withLock { (pending, self.buffers) = (nil, buffers) }
  }
}
