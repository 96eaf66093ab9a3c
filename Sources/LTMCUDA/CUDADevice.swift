internal import CCUDA
import LTMPTX

/// A GPU that the driver sees.
package struct CUDADevice: Hashable, Sendable {
  /// Its number; CUDA_VISIBLE_DEVICES decides what is counted.
  package let ordinal: Int
  /// `NVIDIA H100 PCIe`
  package let name: String
  /// The compute capability, 90 for 9.0.
  package let capability: Int
  /// The GPU's memory.
  package let memoryBytes: Int
  /// Streaming multiprocessors.
  package let multiprocessors: Int

  /// What code is made for it; `nil` where it is too old.
  package var architecture: DeviceArchitecture? { DeviceArchitecture(capability: capability) }

  /// `9.0`
  package var capabilityText: String { "\(capability / 10).\(capability % 10)" }
}

extension CUDADriver {
  /// The GPUs in the driver's order.
  package func devices() throws(CUDAError) -> [CUDADevice] {
    let action = "asking NVIDIA's driver for its GPUs"
    var count: Int32 = 0
    try check(functions.cuDeviceGetCount(&count), action)
    var devices: [CUDADevice] = []
    for ordinal in 0..<max(0, count) { devices.append(try device(ordinal, action)) }
    return devices
  }

  private func device(_ ordinal: Int32, _ action: String) throws(CUDAError) -> CUDADevice {
    var device: CUdevice = 0
    try check(functions.cuDeviceGet(&device, ordinal), action)
    func attribute(_ number: Int) throws(CUDAError) -> Int {
      var value: Int32 = 0
      try check(functions.cuDeviceGetAttribute(&value, Int32(number), device), action)
      return Int(value)
    }
    var name = [CChar](repeating: 0, count: 256)
    try check(functions.cuDeviceGetName(&name, Int32(name.count), device), action)
    var memory = 0
    try check(functions.cuDeviceTotalMem(&memory, device), action)
    let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return CUDADevice(
      ordinal: Int(ordinal), name: text,
      capability: try attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10
        + attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
      memoryBytes: memory, multiprocessors: try attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT))
  }
}
