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
    let action = "copying from \(client.platform)"
    let copy = try client.plugin.function(\.PJRT_Buffer_ToHostBuffer, action)
    guard let byteCount = elementCount(shape).map({ $0 * dtype.byteCount }) else {
      throw PJRTError(action, "\(shape) has no size")
    }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var arguments = PJRT_Buffer_ToHostBuffer_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.src = buffer
    let result = bytes.withUnsafeMutableBytes { bytes in
      withRowMajorLayout(rank: shape.count) { layout -> Result<Void, PJRTError> in
        arguments.host_layout = layout
        arguments.dst = bytes.baseAddress
        arguments.dst_size = bytes.count
        return Result { () throws(PJRTError) in
          try client.plugin.check(copy(&arguments), action)
          try client.plugin.wait(arguments.event, action)
        }
      }
    }
    try result.get()
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: bytes) else {
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
