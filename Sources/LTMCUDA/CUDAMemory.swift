internal import CCUDA

/// Zeroed memory of a GPU.
final class DeviceMemory {
  let address: CUdeviceptr
  let byteCount: Int
  private let context: CUDAContext

  /// Allocates; `purpose` says what for where there is too little.
  init(_ context: CUDAContext, byteCount: Int, for purpose: String) throws(CUDAError) {
    context.enter()
    var address: CUdeviceptr = 0
    let size = max(1, byteCount)
    do {
      let action = "allocating \(byteText(size)) on \(context.device.name) for \(purpose)"
      try context.check(context.functions.cuMemAlloc(&address, size), action)
    } catch {
      let (free, total) = context.memory()
      var error = error
      error.notes.insert("\(byteText(free)) of its \(byteText(total)) are free", at: 0)
      throw error
    }
    (self.context, self.address, self.byteCount) = (context, address, byteCount)
    let result = context.functions.cuMemsetD8Async(address, 0, size, context.stream)
    try context.check(result, "clearing memory of \(context.device.name)")
  }

  deinit {
    context.enter()
    _ = context.functions.cuMemFree(address)
  }
}

/// Memory of the host that a GPU copies from and to while the host goes on, with an event that says when it is done.
final class PinnedMemory {
  let address: UnsafeMutableRawPointer
  let byteCount: Int
  private let context: CUDAContext
  private let event: CUevent?
  private var isPending = false

  init(_ context: CUDAContext, byteCount: Int) throws(CUDAError) {
    context.enter()
    let action = "allocating \(byteText(byteCount)) of pinned memory"
    var (memory, event): (UnsafeMutableRawPointer?, CUevent?) = (nil, nil)
    try context.check(context.functions.cuMemAllocHost(&memory, max(1, byteCount)), action)
    guard let memory else { throw CUDAError(action, "the driver gave none") }
    // Timing makes events slower; here they only order.
    let result = context.functions.cuEventCreate(&event, UInt32(CU_EVENT_DISABLE_TIMING))
    if result != CUDA_SUCCESS { _ = context.functions.cuMemFreeHost(memory) }
    (self.context, self.address, self.byteCount, self.event) = (context, memory, byteCount, event)
    try context.check(result, action)
  }

  deinit {
    guard let event else { return }
    context.enter()
    if isPending { _ = context.functions.cuEventSynchronize(event) }
    _ = context.functions.cuEventDestroy(event)
    _ = context.functions.cuMemFreeHost(address)
  }

  var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: address, count: byteCount) }

  /// Marks the copies so far: `wait` waits for them.
  func mark(_ action: @autoclosure () -> String) throws(CUDAError) {
    try context.check(context.functions.cuEventRecord(event, context.stream), action())
    isPending = true
  }

  func wait(_ action: @autoclosure () -> String) throws(CUDAError) {
    guard isPending else { return }
    context.enter()
    isPending = false
    try context.check(context.functions.cuEventSynchronize(event), action())
  }
}

/// `1.5 GB`, in powers of ten.
func byteText(_ bytes: Int) -> String {
  let units = ["bytes", "kB", "MB", "GB", "TB"]
  var (value, unit) = (Double(bytes), 0)
  while value >= 1000, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
  let tenths = Int((value * 10).rounded())
  return unit == 0 ? "\(bytes) bytes" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
