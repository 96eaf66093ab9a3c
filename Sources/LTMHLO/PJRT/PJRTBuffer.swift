internal import CPJRT
import LTMIR

/// An array in a device's memory.
package final class PJRTBuffer: @unchecked Sendable {
  private let client: PJRTClient
  let buffer: OpaquePointer

  init(_ client: PJRTClient, _ buffer: OpaquePointer) {
    self.client = client
    self.buffer = buffer
  }

  deinit {
    var destroy = PJRT_Buffer_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.buffer = buffer
    try? client.plugin.check(try client.plugin.function(\.PJRT_Buffer_Destroy, "freeing")(&destroy), "freeing")
  }

  /// Copies the array to the host, row-major whatever the device's own layout is.
  package func tensor(_ dtype: DType, _ shape: [Int]) throws(PJRTError) -> Tensor {
    try startCopy(dtype, shape).tensor()
  }

  /// Begins to copy the array as it is now; a program that is started later may take the buffer over.
  package func startCopy(_ dtype: DType, _ shape: [Int]) throws(PJRTError) -> PJRTCopy {
    let action = "copying from \(client.platform)"
    let function = try client.plugin.function(\.PJRT_Buffer_ToHostBuffer, action)
    guard let byteCount = elementCount(shape).map({ $0 * dtype.byteCount }) else {
      throw PJRTError(action, "\(shape) has no size")
    }
    let copy = PJRTCopy(client.plugin, action, dtype, shape, byteCount: byteCount)
    var arguments = PJRT_Buffer_ToHostBuffer_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.src = buffer
    let error = withRowMajorLayout(rank: shape.count) { layout in
      arguments.host_layout = layout
      arguments.dst = copy.bytes.baseAddress
      arguments.dst_size = byteCount
      return function(&arguments)
    }
    try client.plugin.check(error, action)
    copy.event = arguments.event
    return copy
  }
}

/// An array on its way to the host.
package final class PJRTCopy {
  fileprivate let bytes: UnsafeMutableRawBufferPointer
  /// What tells that the bytes are there; `nil` once it has been waited for.
  fileprivate var event: OpaquePointer?
  private let plugin: PJRTPlugin
  private let action: String
  private let dtype: DType
  private let shape: [Int]

  fileprivate init(_ plugin: PJRTPlugin, _ action: String, _ dtype: DType, _ shape: [Int], byteCount: Int) {
    (self.plugin, self.action, self.dtype, self.shape) = (plugin, action, dtype, shape)
    bytes = .allocate(byteCount: byteCount, alignment: 64)
  }

  deinit {
    // The device writes into the bytes until then.
    try? wait()
    bytes.deallocate()
  }

  private func wait() throws(PJRTError) {
    let event = event
    self.event = nil
    try plugin.wait(event, action)
  }

  /// Waits for the array.
  package func tensor() throws(PJRTError) -> Tensor {
    try wait()
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: Array(bytes)) else {
      throw PJRTError(action, "\(shape) of \(dtype) has no size")
    }
    return tensor
  }
}

private func withRowMajorLayout<R>(rank: Int, _ body: (UnsafeMutablePointer<PJRT_Buffer_MemoryLayout>) -> R) -> R {
  let minorToMajor = Array((0..<Int64(rank)).reversed())
  return minorToMajor.withUnsafeBufferPointer { order in
    var layout = PJRT_Buffer_MemoryLayout()
    layout.struct_size = MemoryLayout.size(ofValue: layout)
    layout.type = PJRT_Buffer_MemoryLayout_Type_Tiled
    layout.tiled.struct_size = MemoryLayout<PJRT_Buffer_MemoryLayout_Tiled>.size
    layout.tiled.minor_to_major = order.baseAddress
    layout.tiled.minor_to_major_size = order.count
    return body(&layout)
  }
}
