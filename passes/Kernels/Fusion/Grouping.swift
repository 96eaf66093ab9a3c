import LTMIR
import LTMKernels
import LTMSupport

// Groups compute nodes into kernels. Every merge is tried by emitting the kernel: what cannot be emitted is not merged.
// First, a contraction takes what follows it element for element, and the reductions of that. Then, a node whose readers share one group joins it: its
// value then needs no memory. Then groups merge that read the same, or what the other wrote, over one iteration space.

struct Grouping {
  private(set) var fusion: FusionGraph
  private(set) var graph: GroupGraph
  /// For each group, how many elements the values have that it computes or reduces.
  private var sizes: [Set<Int>] = []
  /// How many rounds of merging look for more.
  private static let rounds = 3

  init(_ lowered: LoweredGraph, fuse: Bool, epilogueReductions: Bool) throws(DiagnosticSet) {
    var fusion = FusionGraph(lowered, epilogueReductions: epilogueReductions)
    try fusion.makeEmittable()
    self.fusion = fusion
    graph = GroupGraph(
      lowered.nodes.indices.filter { fusion.isCompute[$0] }, reads: fusion.reads, readers: fusion.readers)
    sizes = groups.map { lowered.sizes($0[0]) }
    joinResults()
    guard fuse else { return }
    joinEpilogues()
    if epilogueReductions { joinEpilogueReductions() }
    for _ in 0..<Self.rounds {
      joinReaders()
      // Siblings before producers: what both read then joins them, instead of whatever made it.
      let siblings = mergeSiblings()
      if siblings { joinReaders() }
      let producers = mergeProducers()
      if !siblings && !producers { break }
    }
  }

  /// The members of each group in order; empty where it was merged away.
  var groups: [[Int]] { graph.members }
  /// The group of each compute node.
  var groupOf: [Int?] { graph.groupOf }

  /// An op with a body and its further results are one group, in which nothing else is.
  private mutating func joinResults() {
    for node in fusion.lowered.nodes.indices where fusion.isCompute[node] {
      guard case .result = fusion.lowered.kinds[node], let own = groupOf[node],
        let body = groupOf[fusion.lowered.nodes[node].operands[0].index],
        let separation = graph.separation(own, body)
      else { continue }
      graph.merge(own, into: body, separation)
    }
  }

  /// Whether a group is an op with a body.
  func isControl(_ group: Int) -> Bool { groups[group].first.map { fusion.lowered.kinds[$0].isControl } ?? false }

  /// Whether a group is an attention, with its further results.
  private func isAttention(_ group: Int) -> Bool {
    guard let first = groups[group].first, case .attention = fusion.lowered.kinds[first] else { return false }
    return true
  }

  /// Gives a contraction its epilogue: the chain of elementwise nodes that alone read it, and alone read each other.
  private mutating func joinEpilogues() {
    for node in fusion.lowered.nodes.indices where fusion.isCompute[node] {
      guard case .contract = fusion.lowered.kinds[node] else { continue }
      var end = node
      while fusion.readers[end].count == 1, fusion.lowered.outputOf[end] == nil, let reader = fusion.readers[end].first,
        fusion.lowered.counts[reader] == fusion.lowered.counts[node], let group = groupOf[end],
        let next = groupOf[reader],
        merge(next, into: group)
      {
        end = reader
      }
    }
  }

  private mutating func joinReaders() {
    for node in fusion.lowered.nodes.indices.reversed() where fusion.isCompute[node] {
      let readers = Set(fusion.readers[node].compactMap { groupOf[$0] })
      if readers.count == 1, let reader = readers.first, let own = groupOf[node] { _ = merge(own, into: reader) }
    }
  }

  /// Merges groups with those that wrote what they read; whether any did.
  private mutating func mergeProducers() -> Bool {
    var changed = false
    for node in fusion.lowered.nodes.indices where fusion.isCompute[node] {
      for source in fusion.reads[node].reversed() where fusion.isCompute[source] {
        guard let producer = groupOf[source], let consumer = groupOf[node], producer != consumer else { continue }
        if merge(producer, into: consumer) { changed = true }
      }
    }
    return changed
  }

  /// Merges groups that read the same value of many elements, and groups of scalars; whether any did.
  private mutating func mergeSiblings() -> Bool {
    var changed = false
    func mergeRun(_ readers: [Int], _ grouping: inout Grouping) {
      var last: Int?
      for reader in readers {
        guard let group = grouping.groupOf[reader], group != last, !grouping.contracts(group) else { continue }
        if let previous = last, grouping.merge(previous, into: group) { changed = true }
        last = grouping.groupOf[reader]
      }
    }
    for value in fusion.lowered.nodes.indices where fusion.lowered.counts[value] > 1 {
      mergeRun(fusion.readers[value], &self)
    }
    mergeRun(fusion.lowered.nodes.indices.filter { fusion.isCompute[$0] && fusion.lowered.counts[$0] == 1 }, &self)
    return changed
  }

  private func contracts(_ group: Int) -> Bool {
    groups[group].contains { if case .contract = fusion.lowered.kinds[$0] { true } else { false } }
  }

  mutating func merge(_ source: Int, into target: Int) -> Bool {
    guard source != target, let separation = try? fusible(source, target) else { return false }
    graph.merge(source, into: target, separation)
    sizes[target].formUnion(sizes[source])
    return true
  }

  /// Throws why two groups cannot be one. What is cheap to see comes first; that the emitter makes a kernel of both is the
  /// last rule.
  mutating func fusible(_ a: Int, _ b: Int) throws(FusionObstacle) -> GroupGraph.Separation {
    if isControl(a) || isControl(b) { throw .body }
    if isAttention(a) || isAttention(b) { throw .attention }
    if let obstacle = sizeObstacle(a, b) { throw obstacle }
    guard let separation = graph.separation(a, b) else { throw .detour }
    do throws(EmissionFailure) {
      var emitter = try KernelBuilder(fusion, (groups[a] + groups[b]).sorted())
      _ = try emitter.emit()
      return separation
    } catch {
      switch error {
      case .notFusible(let obstacle): throw obstacle
      case .needsBuffer: throw .index
      }
    }
  }

  /// Groups have one iteration space only where some value of the one is as large as some of the other.
  private func sizeObstacle(_ a: Int, _ b: Int) -> FusionObstacle? {
    let (left, right) = (sizes[a], sizes[b])
    if left.isDisjoint(with: right) { return .sizes }
    // A long reduction to a scalar is no place to do other scalars' work.
    let work = max(left.max() ?? 1, right.max() ?? 1)
    return left.intersection(right) == [1] && work > Self.scalarWorkLimit ? .longReduction : nil
  }
  private static let scalarWorkLimit = 4096
}

extension FusionGraph {
  /// Gives memory to whatever a node alone cannot expand.
  fileprivate mutating func makeEmittable() throws(DiagnosticSet) {
    var pending = lowered.nodes.indices.filter { isCompute[$0] }
    while let node = pending.popLast() {
      if lowered.kinds[node].isControl {
        for operand in lowered.nodes[node].operands.map(\.index) where holder(of: operand) == nil {
          materialise(operand)
          pending.append(operand)
        }
        continue
      }
      do throws(EmissionFailure) {
        var emitter = try KernelBuilder(self, [node])
        _ = try emitter.emit()
      } catch {
        switch error {
        case .needsBuffer(let operand) where !isCompute[operand]:
          materialise(operand)
          pending += [node, operand]
        case .needsBuffer, .notFusible:
          throw DiagnosticSet([
            .internalError(
              in: "kernel emission", "node \(node), \(lowered.nodes[node].op.name), is no kernel by itself")
          ])
        }
      }
    }
  }
}

extension LoweredGraph {
  /// How many elements a node's value has, and what it reduces.
  fileprivate func sizes(_ node: Int) -> Set<Int> {
    switch kinds[node] {
    case .reduce, .argReduce: [counts[node], counts[nodes[node].operands[0].index]]
    case .input, .constant, .iota, .elementwise, .cast, .identity, .broadcast, .reshape, .transpose, .slice, .pad,
      .window, .concat, .gather, .scatterAdd, .writeAt, .contract, .line, .attention, .body, .result, .collective,
      .foldKey, .randomBits:
      [counts[node]]
    }
  }
}
