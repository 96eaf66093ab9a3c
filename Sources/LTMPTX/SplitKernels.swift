import LTMIR
import LTMKernels
import LTMLLVM

// Long reductions and deep contractions that would leave most of a GPU idle are cut in two launches: parts of the sum, each
// by blocks of its own, then the parts in order. They are cut by shape alone, so the same bits come out always.

private enum DeviceSplitLimits {
  /// Fewer blocks than this leave a GPU idle.
  static let blocks = 96
  /// The least depth of a part of a contraction, and of a reduction.
  static let contraction = 256
  static let reduction = 512
}

/// The plan as launches alone, with such kernels as pairs, what they hand on at the end of the arena.
func splitKernels(_ plan: Plan, _ architecture: DeviceArchitecture) -> Plan {
  let plan = plan.flattened()
  let pairs = plan.kernels.map { SplitKernel($0, architecture) }
  var result = plan
  (result.kernels, result.steps) = ([], [])
  var numbers: [Int] = []
  for (kernel, pair) in zip(plan.kernels, pairs) {
    numbers.append(result.kernels.count)
    result.kernels += pair.map { [$0.parts.kernel, $0.total.kernel] } ?? [kernel]
  }
  // What a pair hands on lives between its two launches only, so all pairs share the place.
  let start = roundUp(plan.arenaBytes, 256)
  for launch in plan.launches.map(\.launch) {
    let number = numbers[launch.kernel]
    guard let pair = pairs[launch.kernel] else {
      result.steps.append(.launch(Launch(kernel: number, arguments: launch.arguments, results: launch.results)))
      continue
    }
    let room = PlanBufferID(result.buffers.count)
    result.buffers.append(
      PlanBuffer(name: "parts\(room.index)", dtype: pair.room.dtype, shape: pair.room.shape, place: .arena(start)))
    result.arenaBytes = max(result.arenaBytes, start + result[room].byteCount)
    for (step, (half, results)) in [(pair.parts, []), (pair.total, launch.results)].enumerated() {
      // The room is the buffer after the kernel's own.
      let arguments = half.buffers.map { launch.arguments.indices.contains($0) ? launch.arguments[$0] : room }
      result.steps.append(.launch(Launch(kernel: number + step, arguments: arguments, results: results)))
    }
  }
  return result
}

/// A kernel as two, with one more buffer between them.
private struct SplitKernel {
  /// A kernel, and which of the whole one's buffers it has; the number after them is the room.
  typealias Half = (kernel: Kernel, buffers: [Int])
  let parts: Half
  let total: Half
  let room: KernelBuffer

  /// `nil` for what is better left whole.
  init?(_ kernel: Kernel, _ architecture: DeviceArchitecture) {
    guard let first = kernel.body.first, let local = first.definition, kernel.body.count > 1,
      kernel.body.dropFirst().allSatisfy({ if case .store = $0 { true } else { false } }),
      let axis = first.innerAxes.max(by: { kernel[$0].extent < kernel[$1].extent }), let limits = Self.limits(first)
    else { return nil }
    let grid = deviceSchedule(kernel, architecture).grid
    let extent = kernel[axis].extent
    guard grid > 0, grid < DeviceSplitLimits.blocks,
      let count = Self.count(extent, atMost: min(DeviceSplitLimits.blocks / grid, extent / limits.least))
    else { return nil }
    room = KernelBuffer(
      name: "parts", dtype: kernel[local].dtype, shape: [count] + kernel.axes.prefix(kernel.domainRank).map(\.extent),
      access: .write)
    guard let parts = Self.parts(kernel, first, local, axis, room) else { return nil }
    self.parts = parts
    total = Self.total(kernel, local, limits.combiner, room)
  }

  private static func limits(_ statement: KernelStatement) -> (least: Int, combiner: Combiner)? {
    switch statement {
    case .contract: (DeviceSplitLimits.contraction, .add)
    case .reduce(_, let combiner, _, _): (DeviceSplitLimits.reduction, combiner)
    case .argReduce, .scratch, .loop, .store, .epilogue, .line, .attention: nil
    }
  }

  /// Into how many parts a depth is cut: a divisor, if possible one that leaves whole K-stages or vectors.
  private static func count(_ depth: Int, atMost limit: Int) -> Int? {
    guard limit >= 2 else { return nil }
    for unit in [64, 8, 1] {
      let fitting = (2...limit).last { depth % $0 == 0 && depth / $0 % unit == 0 }
      if let fitting, fitting >= limit / 4 { return fitting }
    }
    return nil
  }

  /// The first statement over one part of its axis, for each part: a new outermost axis of the domain.
  private static func parts(
    _ kernel: Kernel, _ first: KernelStatement, _ local: LocalID, _ axis: AxisID, _ room: KernelBuffer
  ) -> Half? {
    var result = kernel
    result.name += "_parts"
    let length = kernel[axis].extent / room.shape[0]
    result.axes[axis.index].extent = length
    result.axes.insert(KernelAxis(name: freeName("part", kernel), extent: room.shape[0]), at: 0)
    result.domainRank += 1
    func moved(_ axis: AxisID) -> AxisID { AxisID(axis.index + 1) }
    func moved(_ form: Affine) -> Affine {
      let own = form.terms.map { Affine.Term(moved($0.axis), $0.stride) }
      let split = form.terms.filter { $0.axis == axis }.map { Affine.Term(AxisID(0), $0.stride * length) }
      return Affine(split + own, offset: form.offset)
    }
    if FlatKernel(kernel).closure(of: first.roots).contains(where: { kernel.expressions[$0] == .axis(axis) }) {
      return nil
    }
    result.expressions = kernel.expressions.map { expression in
      switch expression {
      case .axis(let axis): .axis(moved(axis))
      case .load(let buffer, let index, let guards, let otherwise):
        .load(
          buffer, index.map { if case .affine(let form) = $0 { .affine(moved(form)) } else { $0 } },
          guards: guards.map { KernelGuard(moved($0.form), limit: $0.limit) }, otherwise: otherwise)
      case .constant, .local, .scratch, .apply, .convert, .round: expression
      }
    }
    result.expressions.append(.local(local))
    let index = (0...kernel.domainRank).map { Affine(axis: AxisID($0)) }
    let store = KernelStore(BufferID(kernel.buffers.count), index, ScalarID(kernel.expressions.count))
    result.body = [first.mapAxes(moved), .store(store)]
    result.buffers.append(room)
    return result.withoutUnusedBuffers()
  }

  /// The parts in order, and what follows the first statement.
  private static func total(_ kernel: Kernel, _ local: LocalID, _ combiner: Combiner, _ room: KernelBuffer) -> Half {
    var result = kernel
    result.name += "_total"
    let axis = AxisID(kernel.domainRank)
    result.axes =
      kernel.axes.prefix(kernel.domainRank) + [
        KernelAxis(name: freeName("part", kernel), extent: room.shape[0])
      ]
    let index = [axis] + (0..<kernel.domainRank).map { AxisID($0) }
    result.expressions.append(
      .load(
        BufferID(kernel.buffers.count), index.map { .affine(Affine(axis: $0)) }, guards: [],
        otherwise: combiner.identity))
    let sum = KernelStatement.reduce(local, combiner, over: [axis], value: ScalarID(kernel.expressions.count))
    result.body = [sum] + kernel.body.dropFirst()
    var parts = room
    parts.access = .read
    result.buffers.append(parts)
    return result.withoutUnusedBuffers()
  }

  private static func freeName(_ name: String, _ kernel: Kernel) -> String {
    kernel.axes.contains { $0.name == name } ? freeName(name + "_", kernel) : name
  }
}

extension KernelStatement {
  /// The same reduction or contraction over other axes.
  fileprivate func mapAxes(_ map: (AxisID) -> AxisID) -> KernelStatement {
    switch self {
    case .reduce(let local, let combiner, let over, let value):
      .reduce(local, combiner, over: over.map(map), value: value)
    case .contract(let local, let over, let lhs, let rhs): .contract(local, over: over.map(map), lhs: lhs, rhs: rhs)
    case .argReduce, .scratch, .loop, .store, .epilogue, .line, .attention: self
    }
  }
}

extension Kernel {
  /// The kernel with the expressions and buffers that its body uses, and which of the buffers those are.
  fileprivate func withoutUnusedBuffers() -> (kernel: Kernel, buffers: [Int]) {
    var result = canonicalised()
    let loaded = Set(
      result.expressions.compactMap { if case .load(let buffer, _, _, _) = $0 { buffer.index } else { nil } })
    let stored = Set(result.body.flatMap(\.stores).map(\.buffer.index))
    let kept = buffers.indices.filter { loaded.contains($0) || stored.contains($0) }
    let places = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, BufferID($0)) })
    result.buffers = kept.map { number in
      var buffer = buffers[number]
      buffer.access = !stored.contains(number) ? .read : loaded.contains(number) ? buffer.access : .write
      return buffer
    }
    result.expressions = result.expressions.map { expression in
      guard case .load(let buffer, let index, let guards, let otherwise) = expression else { return expression }
      return .load(places[buffer.index] ?? buffer, index, guards: guards, otherwise: otherwise)
    }
    result.body = result.body.map { statement in
      guard case .store(var store) = statement else { return statement }
      store.buffer = places[store.buffer.index] ?? store.buffer
      return .store(store)
    }
    return (result, kept)
  }
}
