internal import CCUDA

/// PTX that the driver has compiled for its GPU.
final class CUDAModule {
  private let context: CUDAContext
  private let module: CUmodule?

  init(_ context: CUDAContext, ptx: String, of name: String) throws(CUDAError) {
    context.enter()
    var module: CUmodule?
    var log = [CChar](repeating: 0, count: 16 << 10)
    let result = log.withUnsafeMutableBufferPointer { log in
      var options = [Int32(CU_JIT_ERROR_LOG_BUFFER), Int32(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)]
      // The driver takes a number where a pointer stands.
      var values = [UnsafeMutableRawPointer(log.baseAddress), UnsafeMutableRawPointer(bitPattern: log.count)]
      return ptx.withCString { context.functions.cuModuleLoadDataEx(&module, $0, 2, &options, &values) }
    }
    self.context = context
    self.module = result == CUDA_SUCCESS ? module : nil
    do {
      try context.check(
        result, "loading the kernels of @\(name), \(context.architecture.rawValue), on \(context.device.name)")
    } catch {
      let lines = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      var error = error
      error.notes += lines.split(separator: "\n").prefix(20).map { "the driver's compiler: \($0)" }
      throw error
    }
  }

  deinit {
    guard let module else { return }
    context.enter()
    _ = context.functions.cuModuleUnload(module)
  }

  /// A kernel, loaded: drivers from CUDA 12.2 on load it when it is first launched, which may need what a stream that is
  /// being captured does not allow.
  func function(_ symbol: String) throws(CUDAError) -> CUfunction? {
    var function: CUfunction?
    try context.check(
      context.functions.cuModuleGetFunction(&function, module, symbol), "looking for the kernel \(symbol)")
    if let load = context.functions.cuFuncLoad { try context.check(load(function), "loading the kernel \(symbol)") }
    return function
  }
}
