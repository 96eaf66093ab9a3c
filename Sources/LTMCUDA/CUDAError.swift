internal import CCUDA
import LTMSupport

/// What CUDA's driver, or the way to it, reports.
package struct CUDAError: Error, Hashable, Sendable {
  /// What was being done: `launching the kernel matmul_relu`.
  package let action: String
  /// The driver's name of the error, `CUDA_ERROR_OUT_OF_MEMORY`; `nil` where no driver spoke.
  package let name: String?
  /// The driver's words, or ours.
  package let message: String
  /// What would mend it, and what else is known.
  package var notes: [String]

  init(_ action: String, name: String? = nil, _ message: String, notes: [String] = []) {
    (self.action, self.name, self.message, self.notes) = (action, name, message, notes)
  }

  /// The message for the user.
  package var diagnostic: Diagnostic {
    Diagnostic(.error, "\(action): \(message)\(name.map { " (\($0))" } ?? "")", notes: notes)
  }

  /// What a user can do about an error of the driver.
  static func remedies(_ result: CUresult) -> [String] {
    switch Int(result) {
    case CUDA_ERROR_OUT_OF_MEMORY: ["a smaller --batch, --precision 16 or a smaller model needs less"]
    case CUDA_ERROR_STUB_LIBRARY:
      ["the library found is the toolkit's stub; the driver's own comes with NVIDIA's driver package"]
    case CUDA_ERROR_NO_DEVICE:
      ["'nvidia-smi' lists the GPUs that the driver sees; CUDA_VISIBLE_DEVICES may hide them"]
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION, CUDA_ERROR_NO_BINARY_FOR_GPU: ["a newer NVIDIA driver knows this PTX"]
    case CUDA_ERROR_INVALID_PTX:
      ["this is an error in ltm: please report it with what 'ltm compile --target cuda --emit ptx' writes"]
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      ["the library and the kernel's driver are of different versions; after an update a restart mends that"]
    case CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED:
      [
        "this is an error in ltm; the GPU takes no more work from this process",
        "CUDA_LAUNCH_BLOCKING=1 names the kernel, and NVIDIA's compute-sanitizer the access",
      ]
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: ["this is an error in ltm: please report it with the GPU's name"]
    default: []
    }
  }
}
