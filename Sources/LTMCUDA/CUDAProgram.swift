internal import CCUDA
import LTMIR
import LTMKernels
import LTMPTX

/// A plan on a GPU: its module, its memory, and its launches with their arguments. Nothing is allocated while it runs, and
/// nothing waits for the host. Not thread-safe: one caller at a time.
package final class CUDAProgram {
  /// A named value of the graph, which lives on the GPU from one run to the next.
  package struct Value: Hashable, Sendable {
    package let dtype: DType
    package let shape: [Int]
    package let byteCount: Int
    let address: CUdeviceptr
  }

  private let context: CUDAContext
  private let name: String
  private let module: CUDAModule
  private let memory: DeviceMemory
  private let values: [String: Value]
  private let launches: [CUDALaunch]
  private var graph: CUDAGraph?
  private var staging: [String: StagingRing] = [:]
  private var readings: [PinnedMemory] = []

  /// Loads a plan. `inputs` are the graph's: those that no kernel reads have memory as well.
  package init(
    _ context: CUDAContext, _ launchPlan: LaunchPlan, ptx: String, inputs: [(name: String, dtype: DType, shape: [Int])]
  ) throws(CUDAError) {
    let plan = launchPlan.plan
    self.context = context
    name = launchPlan.name
    var layout = MemoryLayoutPlan()
    let arena = try layout.add(plan.arenaBytes)
    var places: [String: (dtype: DType, shape: [Int], bytes: Int, offset: Int)] = [:]
    for (name, dtype, shape) in inputs + plan.results {
      let bytes = try byteCount(dtype, shape, of: name)
      places[name] = (dtype, shape, bytes, try layout.add(bytes))
    }
    let purpose = "@\(launchPlan.name), \(byteText(plan.arenaBytes)) of it for what a run computes"
    let memory = try DeviceMemory(context, byteCount: layout.byteCount, for: purpose)
    self.memory = memory
    values = places.mapValues {
      Value(dtype: $0.dtype, shape: $0.shape, byteCount: $0.bytes, address: memory.address + UInt64($0.offset))
    }
    let module = try CUDAModule(context, ptx: ptx, of: launchPlan.name)
    self.module = module
    var launches: [CUDALaunch] = []
    for (launch, entry) in launchPlan.launched {
      let arguments = launch.arguments.map { argument -> CUdeviceptr in
        let (whole, first) = plan.whole(argument)
        return switch plan[whole].place {
        case .input(let name), .output(let name): memory.address + UInt64((places[name]?.offset ?? 0) + first)
        case .arena(let offset): memory.address + UInt64(arena + offset)
        case .parameter, .part: memory.address
        }
      }
      launches.append(
        try CUDALaunch(
          context, module.function(entry.symbol), entry.schedule, arguments,
          "the kernel \(entry.symbol) of @\(plan.name)"))
    }
    self.launches = launches
    if !CUDAContext.isBlocking { graph = try CUDAGraph(context, launches) }
  }

  deinit {
    // Nothing may run in memory that goes.
    context.enter()
    _ = context.functions.cuStreamSynchronize(context.stream)
  }

  /// The value of that name: an input, or an output that updates none.
  package subscript(name: String) -> Value? { values[name] }

  // MARK: Data

  /// Copies bytes to a value, and waits for that.
  package func write(_ bytes: UnsafeRawBufferPointer, to value: Value) throws(CUDAError) {
    context.enter()
    let action = "copying \(byteText(value.byteCount)) to \(context.device.name)"
    guard bytes.count == value.byteCount else { throw CUDAError(action, "\(bytes.count) bytes were given") }
    if bytes.isEmpty { return }
    try context.check(
      context.functions.cuMemcpyHtoDAsync(value.address, bytes.baseAddress, bytes.count, context.stream), action)
    try context.synchronize(action)
  }

  /// Copies a value from the GPU when all runs so far are done.
  package func read(_ value: Value) throws(CUDAError) -> [UInt8] {
    context.enter()
    let action = "copying \(byteText(value.byteCount)) from \(context.device.name) after @\(name)"
    var bytes = [UInt8](repeating: 0, count: value.byteCount)
    if bytes.isEmpty { return bytes }
    let result = bytes.withUnsafeMutableBytes {
      context.functions.cuMemcpyDtoHAsync($0.baseAddress, value.address, $0.count, context.stream)
    }
    try context.check(result, action)
    try context.synchronize(action)
    return bytes
  }

  /// Lets `body` write a value's bytes in pinned memory; their copy follows the runs so far, and the host goes on.
  package func fill(_ name: String, _ value: Value, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(CUDAError) {
    context.enter()
    let action = "copying the batch to \(context.device.name)"
    let ring: StagingRing
    if let held = staging[name] { ring = held } else { ring = try StagingRing(context, byteCount: value.byteCount) }
    staging[name] = ring
    let slot = ring.next()
    try slot.wait(action)
    body(slot.bytes)
    guard value.byteCount > 0 else { return }
    try context.check(
      context.functions.cuMemcpyHtoDAsync(value.address, slot.address, value.byteCount, context.stream), action)
    try slot.mark(action)
  }

  // MARK: Running

  /// Enqueues every launch once.
  package func run() throws(CUDAError) {
    context.enter()
    if let graph { return try graph.launch("running @\(name)") }
    for launch in launches { try launch.start(context) }
  }

  /// Enqueues copies of some values as they are when the runs so far are done; the result waits for them.
  package func readLater(_ wanted: [Value]) throws(CUDAError) -> Reading {
    context.enter()
    let action = "reading results of @\(name)"
    let offsets = wanted.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1.byteCount + 15) / 16 * 16) }
    let size = offsets[wanted.count]
    let slot: PinnedMemory
    if let place = readings.firstIndex(where: { $0.byteCount >= size }) {
      slot = readings.remove(at: place)
    } else {
      slot = try PinnedMemory(context, byteCount: size)
    }
    for (value, offset) in zip(wanted, offsets) where value.byteCount > 0 {
      try context.check(
        context.functions.cuMemcpyDtoHAsync(slot.address + offset, value.address, value.byteCount, context.stream),
        action)
    }
    try slot.mark(action)
    return Reading(slot: slot, parts: zip(wanted, offsets).map { ($1, $0.byteCount) }, program: self, action: action)
  }

  /// Values on their way.
  package struct Reading {
    fileprivate let slot: PinnedMemory
    fileprivate let parts: [(offset: Int, count: Int)]
    fileprivate let program: CUDAProgram
    fileprivate let action: String

    /// Waits for the bytes of each value; to be called once.
    package func bytes() throws(CUDAError) -> [[UInt8]] {
      try slot.wait(action)
      let bytes = parts.map { part in Array(slot.bytes[part.offset..<part.offset + part.count]) }
      program.readings.append(slot)
      return bytes
    }
  }

  /// The least seconds of each launch over some runs, on the GPU's own clock.
  package func times(runs: Int) throws(CUDAError) -> [Double] {
    context.enter()
    let timer = try CUDATimer(context)
    var least = [Double](repeating: .infinity, count: launches.count)
    for _ in 0..<runs {
      for (index, launch) in launches.enumerated() {
        least[index] = min(least[index], try timer.seconds { () throws(CUDAError) in try launch.start(context) })
      }
    }
    return least
  }

  /// The seconds of a whole run, on the GPU's own clock.
  package func seconds() throws(CUDAError) -> Double {
    context.enter()
    return try CUDATimer(context).seconds { () throws(CUDAError) in try run() }
  }
}

/// Two places for a batch: one is filled while the other is on its way. So the host is never more than two batches ahead.
private final class StagingRing {
  private let slots: [PinnedMemory]
  private var place = 0

  init(_ context: CUDAContext, byteCount: Int) throws(CUDAError) {
    slots = [try PinnedMemory(context, byteCount: byteCount), try PinnedMemory(context, byteCount: byteCount)]
  }

  func next() -> PinnedMemory {
    place = (place + 1) % slots.count
    return slots[place]
  }
}

/// Offsets in one allocation, each as aligned as an allocation's start.
private struct MemoryLayoutPlan {
  private(set) var byteCount = 0

  mutating func add(_ bytes: Int) throws(CUDAError) -> Int {
    let offset = byteCount
    let (end, overflow) = offset.addingReportingOverflow(max(0, bytes))
    guard !overflow, end < Int.max - 256 else {
      throw CUDAError("planning memory", "more is needed than can be counted")
    }
    byteCount = (end + 255) / 256 * 256
    return offset
  }
}

private func byteCount(_ dtype: DType, _ shape: [Int], of name: String) throws(CUDAError) -> Int {
  guard let count = elementCount(shape), count <= Int.max / 8 / dtype.byteCount else {
    throw CUDAError("planning memory", "'\(name)' with the shape \(shape) is larger than any memory")
  }
  return count * dtype.byteCount
}

extension Plan {
  /// The outputs that have memory of their own.
  fileprivate var results: [(name: String, dtype: DType, shape: [Int])] {
    buffers.compactMap { buffer in
      if case .output(let name) = buffer.place { (name, buffer.dtype, buffer.shape) } else { nil }
    }
  }
}
