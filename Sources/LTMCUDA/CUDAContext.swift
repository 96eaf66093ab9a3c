internal import CCUDA
import Foundation
import LTMPTX

/// A GPU in use: its context, shared with whatever else in the process uses CUDA, and one stream, on which everything runs
/// in order.
package final class CUDAContext: @unchecked Sendable {
  package let driver: CUDADriver
  package let device: CUDADevice
  /// What code is made for it.
  package let architecture: DeviceArchitecture
  let stream: CUstream?
  private let handle: CUdevice
  private let context: CUcontext?

  var functions: CUDAFunctions { driver.functions }

  /// Takes the first GPU that there is code for.
  package init(_ driver: CUDADriver) throws(CUDAError) {
    let action = "looking for a GPU"
    let devices = try driver.devices()
    guard !devices.isEmpty else {
      throw CUDAError(
        action, "NVIDIA's driver '\(driver.path)' sees none", notes: CUDAError.remedies(CUresult(CUDA_ERROR_NO_DEVICE)))
    }
    guard let device = devices.first(where: { $0.architecture != nil }), let architecture = device.architecture else {
      throw CUDAError(
        action, "there is no code for any of them",
        notes: devices.map { "\($0.name) has the compute capability \($0.capabilityText)" } + ["7.0 is the least"])
    }
    (self.driver, self.device, self.architecture) = (driver, device, architecture)
    let starting = "starting \(device.name)"
    var (handle, context, stream): (CUdevice, CUcontext?, CUstream?) = (0, nil, nil)
    try driver.check(driver.functions.cuDeviceGet(&handle, Int32(device.ordinal)), starting)
    try driver.check(driver.functions.cuDevicePrimaryCtxRetain(&context, handle), starting)
    let functions = driver.functions
    var result = functions.cuCtxSetCurrent(context)
    if result == CUDA_SUCCESS { result = functions.cuStreamCreate(&stream, UInt32(CU_STREAM_NON_BLOCKING)) }
    if result != CUDA_SUCCESS { _ = functions.cuDevicePrimaryCtxRelease(handle) }
    (self.handle, self.context, self.stream) = (handle, context, stream)
    try driver.check(result, starting)
  }

  deinit {
    // What cannot be ended ends with the process.
    guard let stream else { return }
    _ = functions.cuCtxSetCurrent(context)
    _ = functions.cuStreamDestroy(stream)
    _ = functions.cuDevicePrimaryCtxRelease(handle)
  }

  /// Makes the context the calling thread's own.
  func enter() { _ = functions.cuCtxSetCurrent(context) }

  func check(_ result: CUresult, _ action: @autoclosure () -> String) throws(CUDAError) {
    try driver.check(result, action())
  }

  /// Waits for all work.
  func synchronize(_ action: @autoclosure () -> String) throws(CUDAError) {
    try check(functions.cuStreamSynchronize(stream), action())
  }

  /// Bytes that are free and that there are.
  func memory() -> (free: Int, total: Int) {
    var (free, total) = (0, 0)
    _ = functions.cuMemGetInfo(&free, &total)
    return (free, total)
  }

  /// Whether launches wait for their end, as CUDA's own variable asks for: errors then name their kernel.
  static let isBlocking = ProcessInfo.processInfo.environment["CUDA_LAUNCH_BLOCKING"] == "1"
}
