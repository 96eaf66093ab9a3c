internal import CCUDA
import LTMPTX

/// A kernel with its grid and its arguments in the form that the driver takes.
final class CUDALaunch {
  private let function: CUfunction?
  private let grid: UInt32
  private let block: UInt32
  private let sharedBytes: UInt32
  /// The arguments, and the address of each.
  private let arguments: UnsafeMutablePointer<CUdeviceptr>
  private let parameters: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private let title: String

  init(
    _ context: CUDAContext, _ function: CUfunction?, _ schedule: DeviceSchedule, _ addresses: [CUdeviceptr],
    _ title: String
  ) throws(CUDAError) {
    (self.function, self.title) = (function, title)
    (grid, block) = (UInt32(clamping: schedule.grid), UInt32(clamping: schedule.block))
    sharedBytes = UInt32(clamping: schedule.sharedBytes)
    arguments = .allocate(capacity: max(1, addresses.count))
    parameters = .allocate(capacity: max(1, addresses.count))
    for (index, address) in addresses.enumerated() {
      (arguments + index).initialize(to: address)
      (parameters + index).initialize(to: UnsafeMutableRawPointer(arguments + index))
    }
    if sharedBytes > Self.sharedWithoutAsking {
      let attribute = Int32(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
      try context.check(
        context.functions.cuFuncSetAttribute(function, attribute, Int32(clamping: sharedBytes)),
        "allowing \(byteText(Int(sharedBytes))) of shared memory to \(title)")
    }
  }

  /// The shared memory that every GPU gives a block, in bytes.
  private static let sharedWithoutAsking: UInt32 = 48 << 10

  deinit {
    arguments.deallocate()
    parameters.deallocate()
  }

  /// Enqueues it; waits for it where CUDA_LAUNCH_BLOCKING=1.
  func start(_ context: CUDAContext) throws(CUDAError) {
    if grid == 0 { return }
    let result = context.functions.cuLaunchKernel(
      function, grid, 1, 1, block, 1, 1, sharedBytes, context.stream, parameters, nil)
    try context.check(result, "launching \(title)")
    if CUDAContext.isBlocking { try context.synchronize("running \(title)") }
  }
}

/// All launches of a run as one: the driver starts a graph with a single call.
final class CUDAGraph {
  private let context: CUDAContext
  private let graph: CUgraph?
  private let executable: CUgraphExec?

  /// `nil` where the driver has no graphs.
  init?(_ context: CUDAContext, _ launches: [CUDALaunch]) throws(CUDAError) {
    let functions = context.functions
    guard let begin = functions.cuStreamBeginCapture, let end = functions.cuStreamEndCapture,
      let instantiate = functions.cuGraphInstantiate, functions.cuGraphLaunch != nil,
      functions.cuGraphExecDestroy != nil, functions.cuGraphDestroy != nil, launches.count > 1
    else { return nil }
    context.enter()
    let action = "recording \(launches.count) launches as a graph"
    try context.check(begin(context.stream, Int32(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)), action)
    var failure: CUDAError?
    do { for launch in launches { try launch.start(context) } } catch { failure = error }
    var (graph, executable): (CUgraph?, CUgraphExec?) = (nil, nil)
    var result = end(context.stream, &graph)
    if result == CUDA_SUCCESS, failure == nil { result = instantiate(&executable, graph, 0) }
    (self.context, self.graph, self.executable) = (context, graph, executable)
    if let failure { throw failure }
    try context.check(result, action)
  }

  deinit {
    context.enter()
    if let executable { _ = context.functions.cuGraphExecDestroy?(executable) }
    if let graph { _ = context.functions.cuGraphDestroy?(graph) }
  }

  func launch(_ action: @autoclosure () -> String) throws(CUDAError) {
    guard let launch = context.functions.cuGraphLaunch else { return }
    try context.check(launch(executable, context.stream), action())
  }
}

/// Time between two places of the stream.
final class CUDATimer {
  private let context: CUDAContext
  private var events: [CUevent?] = []

  init(_ context: CUDAContext) throws(CUDAError) {
    self.context = context
    for _ in 0..<2 {
      var event: CUevent?
      try context.check(context.functions.cuEventCreate(&event, UInt32(CU_EVENT_DEFAULT)), "making an event")
      events.append(event)
    }
  }

  deinit {
    context.enter()
    for event in events { _ = context.functions.cuEventDestroy(event) }
  }

  func seconds(_ work: () throws(CUDAError) -> Void) throws(CUDAError) -> Double {
    let functions = context.functions
    try context.check(functions.cuEventRecord(events[0], context.stream), "timing")
    try work()
    try context.check(functions.cuEventRecord(events[1], context.stream), "timing")
    try context.check(functions.cuEventSynchronize(events[1]), "timing")
    var milliseconds: Float = 0
    try context.check(functions.cuEventElapsedTime(&milliseconds, events[0], events[1]), "timing")
    return Double(milliseconds) * 1e-3
  }
}
