import LTMKernelPasses
import Testing

/// Groups against a search of the whole graph.
@Suite struct GroupGraphTests {
  /// Reproducible numbers.
  private struct Numbers {
    var state: UInt64
    mutating func next(below limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
  }

  /// What each of `count` nodes reads: near ones for the most part, and sometimes the first ones, which so have many readers.
  private func reads(_ count: Int, _ numbers: inout Numbers) -> [[Int]] {
    (0..<count).map { node in
      guard node > 0 else { return [] }
      let sources = (0..<numbers.next(below: 3)).map { _ in
        numbers.next(below: 4) == 0 ? numbers.next(below: min(node, 3)) : max(0, node - 1 - numbers.next(below: 8))
      }
      return Set(sources).sorted()
    }
  }

  private func readers(_ reads: [[Int]]) -> [[Int]] {
    var readers = [[Int]](repeating: [], count: reads.count)
    for (node, sources) in reads.enumerated() { for source in sources { readers[source].append(node) } }
    return readers
  }

  /// Whether a path leads from one group to the other, through a third where edges do not count.
  private func hasPath(_ from: Int, _ to: Int, _ graph: GroupGraph, countsEdge: Bool) -> Bool {
    var pending = graph.earlier(to).filter { countsEdge || $0 != from }
    var visited = pending
    while let next = pending.popFirst() {
      if next == from { return true }
      for earlier in graph.earlier(next) where visited.insert(earlier).inserted { pending.insert(earlier) }
    }
    return false
  }

  @Test("groups merge where no third stands between them", arguments: 1...12)
  func merges(_ seed: Int) {
    var numbers = Numbers(state: UInt64(seed))
    let reads = reads(80, &numbers)
    var graph = GroupGraph(Array(reads.indices), reads: reads, readers: readers(reads))
    for _ in 0..<400 {
      let live = graph.members.indices.filter { !graph.members[$0].isEmpty }
      let (a, b) = (live[numbers.next(below: live.count)], live[numbers.next(below: live.count)])
      guard a != b else { continue }
      let isBlocked = hasPath(a, b, graph, countsEdge: false) || hasPath(b, a, graph, countsEdge: false)
      let separation = graph.separation(a, b)
      #expect((separation == nil) == isBlocked, "\(a) and \(b)")
      if let separation, numbers.next(below: 3) == 0 { graph.merge(a, into: b, separation) }
    }
    #expect(graph.members.contains { $0.count > 2 } && graph.members.flatMap(\.self).sorted() == Array(reads.indices))
  }

  @Test("groups are put before another one unless they need it", arguments: 1...12)
  func constraints(_ seed: Int) {
    var numbers = Numbers(state: UInt64(100 + seed))
    let reads = reads(60, &numbers)
    var graph = GroupGraph(Array(reads.indices), reads: reads, readers: readers(reads))
    var refused = 0
    for _ in 0..<60 {
      let later = numbers.next(below: reads.count)
      let earlier = Set((0..<3).map { _ in numbers.next(below: reads.count) }).subtracting([later]).sorted()
      let isNeeded = earlier.contains { hasPath(later, $0, graph, countsEdge: true) }
      #expect(graph.put(earlier, before: later) == !isNeeded)
      #expect(graph.earlier(later).isSuperset(of: isNeeded ? [] : earlier))
      if isNeeded { refused += 1 }
    }
    #expect(refused > 0 && refused < 60)
  }

  @Test("an order takes in more than its gaps hold") func gaps() {
    // Every other node is merged into the last one: each time at the same place.
    let count = 400
    let reads = (0..<count).map { $0 % 2 == 1 && $0 > 1 ? [$0 - 2] : [] }
    var graph = GroupGraph(Array(0..<count), reads: reads, readers: readers(reads))
    for node in stride(from: 0, to: count - 2, by: 2) {
      guard let separation = graph.separation(node, count - 2) else {
        Issue.record("\(node) stands alone")
        continue
      }
      graph.merge(node, into: count - 2, separation)
    }
    #expect(graph.members[count - 2].count == count / 2)
    #expect(graph.separation(1, count - 1) == nil)
  }
}
