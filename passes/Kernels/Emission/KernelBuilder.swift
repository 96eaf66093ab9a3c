import LTMIR
import LTMKernels
import LTMSupport

/// What a kernel's buffer stands for.
enum KernelArgument: Hashable {
  /// A value that some other kernel, or the caller, has stored.
  case read(Int)
  /// The place where the value of this node goes.
  case write(Int)
}

/// A kernel whose buffers are still values of the graph.
struct EmittedKernel {
  var kernel: Kernel
  var arguments: [KernelArgument]
  /// The outputs that could not be written in place.
  var refused: Set<Int>
}

/// Turns a set of compute nodes into one kernel, or finds that it cannot: legality by construction. A member's value is
/// computed once, at its place in the kernel's space; a reader that asks for another element makes the set illegal.
///
/// A half value inside of a kernel is an f32: it is rounded where it is stored, and where it enters or leaves a cast.
struct KernelBuilder {
  let fusion: FusionGraph
  let members: [Int]
  let memberSet: Set<Int>
  /// Members whose value leaves the kernel.
  let stored: [Int]
  /// Members that reduce what the contraction among them gives.
  let reduced: [Int]
  var space: KernelSpace
  var pool = ExpressionPool()
  var body: [KernelStatement] = []
  var locals: [KernelLocal] = []
  var buffers: [KernelBuffer] = []
  var arguments: [KernelArgument] = []
  /// For each value read, its buffers: one for each shape under which it is viewed.
  var readers: [Int: [BufferID]] = [:]
  private var memberValues: [Int: ScalarID] = [:]
  private var expanded: [Request: ScalarID] = [:]
  private var phases: [Int: Set<Int>] = [:]

  private struct Request: Hashable {
    let node: Int
    let place: Place
  }
  static let bufferLimit = 24, contractBufferLimit = 10, expressionLimit = 300
  /// Longer rows are not kept at hand, nor visited twice.
  static let rowLimit = 16384

  var lowered: LoweredGraph { fusion.lowered }

  init(_ fusion: FusionGraph, _ members: [Int]) throws(EmissionFailure) {
    self.fusion = fusion
    self.members = members
    let memberSet = Set(members)
    self.memberSet = memberSet
    let contracts = fusion.lowered.contraction(among: members) != nil
    reduced = members.filter { if case .reduce = fusion.lowered.kinds[$0] { contracts } else { false } }
    let isEpilogueReduction = Set(reduced)
    stored = members.filter { node in
      if isEpilogueReduction.contains(node) { return false }
      return fusion.lowered.outputOf[node] != nil || fusion.readers[node].contains { !memberSet.contains($0) }
    }
    space = try KernelSpace(fusion.lowered, members.filter { !isEpilogueReduction.contains($0) })
    guard canReduceInEpilogue() else { throw .notFusible(.epilogue) }
    try checkLevels()
    findPhases()
  }

  /// The kernel; `inPlace` maps nodes to the inputs that they replace.
  mutating func emit(inPlace: [Int: Int] = [:]) throws(EmissionFailure) -> EmittedKernel {
    var refused: Set<Int> = []
    if let node = members.first, case .attention(let isBackward) = lowered.kinds[node] {
      try addAttention(node, isBackward: isBackward)
      refused.formUnion(members.filter { inPlace[$0] != nil })
    } else if let node = members.first, case .line(let op, _) = lowered.kinds[node] {
      try addLines(node, op)
      if inPlace[node] != nil { refused.insert(node) }
    } else if let node = members.first, case .writeAt(let axis, let wraps) = lowered.kinds[node] {
      try addPartialWrite(node, axis, wraps: wraps)
    } else {
      for node in stored { _ = try memberValue(node) }
      try addStores(inPlace: inPlace, refused: &refused)
      try addEpilogueReductions(inPlace: inPlace, refused: &refused)
    }
    let limit = lowered.contraction(among: members) != nil ? Self.contractBufferLimit : Self.bufferLimit
    if members.count > 1, !isAttention, buffers.count > limit || pool.expressions.count > Self.expressionLimit {
      throw .notFusible(.size)
    }
    var kernel = Kernel(name: "k")
    kernel.buffers = buffers
    kernel.axes = space.axes
    kernel.domainRank = space.domain.count
    kernel.expressions = pool.expressions
    kernel.locals = locals
    kernel.body = body
    guard reduced.isEmpty || hasTwoSides(kernel) else { throw .notFusible(.epilogue) }
    addLocations(&kernel)
    return EmittedKernel(kernel: kernel.canonicalised(), arguments: arguments, refused: refused)
  }

  /// The places in the source of the members, and which of them each expression computes.
  private func addLocations(_ kernel: inout Kernel) {
    var numbers: [Location: Int] = [:]
    for location in members.compactMap({ lowered.nodes[$0].location }) where numbers[location] == nil {
      numbers[location] = kernel.locations.count
      kernel.locations.append(location)
    }
    kernel.origins = pool.origins.map { node in node.flatMap { lowered.nodes[$0].location }.flatMap { numbers[$0] } }
  }

  /// Whether the first of the members is an attention; then the others are further results of it.
  private var isAttention: Bool {
    members.first.map { if case .attention = lowered.kinds[$0] { true } else { false } } ?? false
  }

  /// A value of every element of a row is written row by row: only rows that are contiguous, short and many.
  private func checkLevels() throws(EmissionFailure) {
    if isAttention { return }
    for node in members where !reduced.contains(node) {
      switch lowered.kinds[node] {
      case .line, .writeAt: continue
      case _: break
      }
      guard case .full(let number) = try space.level(count: lowered.counts[node]) else { continue }
      let inner = space.inners[number]
      // A domain without axes is one task: rows in it would be written by one thread.
      let fits = inner.isTrailing && inner.extent <= Self.rowLimit && !space.domain.isEmpty
      if stored.contains(node), !fits || (space.domainCount < 8 && inner.count > Self.rowLimit) {
        throw .notFusible(.rows)
      }
    }
  }

  /// For each member, the statements that would compute it: its own reductions, and -1 for the stores.
  private mutating func findPhases() {
    for node in members.reversed() {
      var found: Set<Int> = stored.contains(node) ? [-1] : []
      for reader in fusion.readers[node] where memberSet.contains(reader) {
        found.formUnion(lowered.kinds[reader].bindsLocal ? [reader] : phases[reader] ?? [])
      }
      phases[node] = found
    }
  }

  // MARK: Values

  /// The element of a node's value at a place.
  mutating func value(_ node: Int, at place: Place) throws(EmissionFailure) -> ScalarID {
    if memberSet.contains(node) {
      let own = space.place(try space.level(count: lowered.counts[node]))
      guard place.guards.isEmpty, let flat = place.flat(space.axes), flat == own.flat(space.axes) else {
        throw .notFusible(.otherElement)
      }
      return try memberValue(node)
    }
    let request = Request(node: node, place: place)
    if let known = expanded[request] { return known }
    let value =
      fusion.isCompute[node] || fusion.isInput(node) ? try load(node, at: place) : try expand(node, at: place)
    expanded[request] = value
    return value
  }

  /// A member's value at its own place, computed at the first demand, after the statements that it needs.
  mutating func memberValue(_ node: Int) throws(EmissionFailure) -> ScalarID {
    if let known = memberValues[node] { return known }
    let reader = pool.origin
    pool.origin = node
    defer { pool.origin = reader }
    let level = try space.level(count: lowered.counts[node])
    var value =
      lowered.kinds[node].bindsLocal ? try bindLocal(node) : try expand(node, at: space.place(level))
    if case .full(let inner) = level, wantsScratch(node, space.inners[inner]) {
      let local = addLocal(node, dtype: dtype(value))
      body.append(.scratch(local, over: space.inners[inner].axes[0], value: value))
      value = pool.add(.scratch(local))
    }
    memberValues[node] = value
    return value
  }

  /// A costly element that two statements need is kept for the row.
  private func wantsScratch(_ node: Int, _ inner: KernelSpace.Inner) -> Bool {
    guard inner.axes.count == 1, inner.extent <= Self.rowLimit, (phases[node] ?? []).count > 1 else { return false }
    guard case .elementwise(let primitive) = lowered.kinds[node] else { return false }
    return primitive.cost >= 10
  }

  mutating func addLocal(_ node: Int, dtype: DType) -> LocalID {
    locals.append(KernelLocal(name: "\(lowered.nodes[node].op.name)\(locals.count)", dtype: dtype))
    return LocalID(locals.count - 1)
  }

  func dtype(_ id: ScalarID) -> DType { id.dtype(in: pool.expressions, buffers, locals) }

  // MARK: Memory

  mutating func load(_ node: Int, at place: Place) throws(EmissionFailure) -> ScalarID {
    if let forms = place.affine {
      let (buffer, index) = viewed(node, forms, place)
      return pool.add(.load(buffer, index.map { .affine($0) }, guards: place.guards, otherwise: 0))
    }
    return pool.add(.load(view(node, place.shape), place.index, guards: place.guards, otherwise: 0))
  }

  /// The buffer under a shape that it is viewed by already, where the index can be told under that one.
  private mutating func viewed(_ node: Int, _ forms: [Affine], _ place: Place) -> (BufferID, [Affine]) {
    let known = readers[node] ?? []
    if place.guards.isEmpty, !known.contains(where: { buffers[$0.index].shape == place.shape }),
      let flat = flatten(forms, shape: place.shape)
    {
      for buffer in known {
        if let index = unflatten(flat, shape: buffers[buffer.index].shape, axes: space.axes) { return (buffer, index) }
      }
    }
    let unit = zip(forms, place.shape).map { $1 == 1 && place.guards.isEmpty ? .zero : $0 }
    return (view(node, place.shape), unit)
  }

  private mutating func view(_ node: Int, _ shape: [Int]) -> BufferID {
    if let known = readers[node]?.first(where: { buffers[$0.index].shape == shape }) { return known }
    let buffer = addBuffer(node, shape, .read(node))
    readers[node, default: []].append(buffer)
    return buffer
  }

  mutating func addBuffer(_ node: Int, _ shape: [Int], _ argument: KernelArgument) -> BufferID {
    let access: KernelBuffer.Access = if case .read = argument { .read } else { .write }
    buffers.append(
      KernelBuffer(name: "b\(buffers.count)", dtype: lowered.nodes[node].type.dtype, shape: shape, access: access))
    arguments.append(argument)
    return BufferID(buffers.count - 1)
  }
}
