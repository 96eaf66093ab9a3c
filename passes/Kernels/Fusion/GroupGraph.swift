/// Groups of nodes that share a kernel, which of them read which, and an order in which each comes after those it reads.
/// A question costs what the smaller side of it does: what the later group needs, or what needs the earlier one.
package struct GroupGraph {
  /// The nodes of each group in order; empty where it was merged away.
  package private(set) var members: [[Int]]
  package private(set) var groupOf: [Int?]
  /// For each group, the nodes that it reads, and those that read it: some twice, and some its own.
  private var reads: [[Int]]
  private var readers: [[Int]]
  private var order: OrderedGroups
  private let landmarks: Landmarks
  /// For each group, the landmarks that reach it, and those that it reaches.
  private var above: [UInt64]
  private var below: [UInt64]
  /// For each group, the last search that came by.
  private var visits: [Int]
  private var searches = 0

  /// One group for each of some nodes. Every node comes after those it reads.
  package init(_ nodes: [Int], reads: [[Int]], readers: [[Int]]) {
    let landmarks = Landmarks(reads: reads, readers: readers)
    self.landmarks = landmarks
    members = nodes.map { [$0] }
    groupOf = [Int?](repeating: nil, count: reads.count)
    for (group, node) in nodes.enumerated() { groupOf[node] = group }
    self.reads = nodes.map { reads[$0] }
    self.readers = nodes.map { readers[$0] }
    order = OrderedGroups(count: nodes.count)
    above = nodes.map { landmarks.above[$0] }
    below = nodes.map { landmarks.below[$0] }
    visits = [Int](repeating: 0, count: nodes.count)
  }

  /// How the order can be changed so that nothing stands between two groups.
  package struct Separation {
    fileprivate let isForward: Bool
    /// What needs the earlier of them, or what the later one needs, of what stands between.
    fileprivate let groups: [Int]
  }

  /// `nil` where a path leads from one group to the other through a third: they cannot be one.
  package mutating func separation(_ a: Int, _ b: Int) -> Separation? {
    let (first, last) = order.isBefore(a, b) ? (a, b) : (b, a)
    return separation(first, last, ignoresEdge: true)
  }

  /// Makes two groups one, under the name of the second.
  package mutating func merge(_ source: Int, into target: Int, _ separation: Separation) {
    let (first, last) = order.isBefore(source, target) ? (source, target) : (target, source)
    if separation.isForward {
      order.move(separation.groups, after: last)
      order.replace(last, by: target)
      if first != target { order.remove(first) }
    } else {
      order.move(separation.groups, before: first)
      order.replace(first, by: target)
      if last != target { order.remove(last) }
    }
    for member in members[source] { groupOf[member] = target }
    members[target] = (members[source] + members[target]).sorted()
    reads[target] += reads[source]
    readers[target] += readers[source]
    above[target] |= above[source]
    below[target] |= below[source]
    (members[source], reads[source], readers[source]) = ([], [], [])
  }

  /// Has groups come before another one, although they read nothing of it; `false`, and nothing done, where one of them needs it.
  package mutating func put(_ earlier: [Int], before later: Int) -> Bool {
    for group in earlier where order.isBefore(later, group) {
      if separation(later, group, ignoresEdge: false) == nil { return false }
    }
    for group in earlier {
      if order.isBefore(later, group), let separation = separation(later, group, ignoresEdge: false) {
        if separation.isForward {
          order.move([later] + separation.groups, after: group)
        } else {
          order.move(separation.groups + [group], before: later)
        }
      }
      readers[group].append(members[later][0])
      reads[later].append(members[group][0])
    }
    return true
  }

  /// The groups that a group reads or has to come after.
  package func earlier(_ group: Int) -> Set<Int> {
    var found = Set(reads[group].compactMap { groupOf[$0] })
    found.remove(group)
    return found
  }

  // MARK: Searching

  /// One side of a search: the groups it has found, and the next edge to follow.
  private struct Frontier {
    let mark: Int
    var groups: [Int]
    /// Which edge of which group.
    var group = 0
    var edge = 0

    /// The node at the end of the next edge.
    mutating func next(_ edges: [[Int]]) -> Int? {
      while group < groups.count {
        if edge < edges[groups[group]].count {
          edge += 1
          return edges[groups[group]][edge - 1]
        }
        (group, edge) = (group + 1, 0)
      }
      return nil
    }
  }

  /// Looks for a path from one group to a later one, from both ends, an edge at a time.
  private mutating func separation(_ first: Int, _ last: Int, ignoresEdge: Bool) -> Separation? {
    if passLandmark(first, last) { return nil }
    searches += 2
    var forward = Frontier(mark: searches, groups: [first])
    var backward = Frontier(mark: searches + 1, groups: [last])
    (visits[first], visits[last]) = (forward.mark, backward.mark)
    while true {
      guard let reader = forward.next(readers) else {
        return Separation(isForward: true, groups: Array(forward.groups.dropFirst()))
      }
      if let group = groupOf[reader], order.isBefore(group, last) || group == last {
        let isEdge = ignoresEdge && group == last && forward.group == 0
        if !isEdge, meets(group, &forward, backward.mark) { return nil }
      }
      guard let source = backward.next(reads) else {
        return Separation(isForward: false, groups: Array(backward.groups.dropFirst()))
      }
      if let group = groupOf[source], order.isBefore(first, group) || group == first {
        let isEdge = ignoresEdge && group == first && backward.group == 0
        if !isEdge, meets(group, &backward, forward.mark) { return nil }
      }
    }
  }

  /// Whether the other side has been at a group; what neither has is added.
  private mutating func meets(_ group: Int, _ side: inout Frontier, _ other: Int) -> Bool {
    if visits[group] == other { return true }
    if visits[group] != side.mark {
      visits[group] = side.mark
      side.groups.append(group)
    }
    return false
  }

  /// Whether a path is known to lead through a landmark that is in neither group.
  private func passLandmark(_ first: Int, _ last: Int) -> Bool {
    landmarks.nodes(in: below[first] & above[last]).contains { groupOf[$0] != first && groupOf[$0] != last }
  }
}
