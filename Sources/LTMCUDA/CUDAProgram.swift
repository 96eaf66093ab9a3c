internal import CCUDA
import LTMIR
import LTMKernels
import LTMPTX

/// A plan on a GPU: its module, its memory, and its launches with their arguments. Nothing is allocated while it runs, and
/// nothing waits for the host. Not thread-safe: one caller at a time.
package final class CUDAProgram {
  /// A named value of the graph, which lives on the GPU from one run to the next.
  package typealias Value = CUDAArray.Value

  private let context: CUDAContext
  private let name: String
  private let module: CUDAModule
  private let memory: DeviceMemory
  private let shared: [String: CUDAArray]
  private let values: [String: Value]
  private let launches: [CUDALaunch]
  private var graph: CUDAGraph?
  private var staging: [String: StagingRing] = [:]
  private var readings: [PinnedMemory] = []

  /// Loads a plan. `arguments` are the graph's: those that no kernel reads have memory as well; `shared` are its other
  /// inputs, which other programs may read and write too.
  package init(
    _ context: CUDAContext, _ launchPlan: LaunchPlan, ptx: String, arguments: [CUDAArray.Spec],
    shared: [String: CUDAArray]
  ) throws(CUDAError) {
    let plan = launchPlan.plan
    self.context = context
    self.shared = shared
    name = launchPlan.name
    var layout = MemoryLayoutPlan()
    let arena = try layout.add(plan.arenaBytes)
    var places: [(spec: CUDAArray.Spec, offset: Int)] = []
    for spec in arguments + plan.results { places.append((spec, try layout.add(try spec.byteCount))) }
    let purpose = "@\(launchPlan.name), \(byteText(plan.arenaBytes)) of it for what a run computes"
    let memory = try DeviceMemory(context, byteCount: layout.byteCount, for: purpose)
    self.memory = memory
    var values = shared.mapValues(\.value)
    for (spec, offset) in places { values[spec.name] = try Value(spec, at: memory.address + UInt64(offset)) }
    self.values = values
    let module = try CUDAModule(context, ptx: ptx, of: launchPlan.name)
    self.module = module
    var launches: [CUDALaunch] = []
    for (launch, entry) in launchPlan.launched {
      let arguments = launch.arguments.map { argument -> CUdeviceptr in
        let (whole, first) = plan.whole(argument)
        return switch plan[whole].place {
        case .input(let name), .output(let name): (values[name]?.address ?? memory.address) + UInt64(first)
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
    try context.write(bytes, to: value)
  }

  /// Copies a value from the GPU when all runs so far are done.
  package func read(_ value: Value) throws(CUDAError) -> [UInt8] { try context.read(value, after: "@\(name)") }

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

extension Plan {
  /// The outputs that have memory of their own.
  fileprivate var results: [CUDAArray.Spec] {
    buffers.compactMap { buffer in
      guard case .output(let name) = buffer.place else { return nil }
      return CUDAArray.Spec(name: name, dtype: buffer.dtype, shape: buffer.shape)
    }
  }
}
