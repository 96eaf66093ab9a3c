/// An order of the groups in which each comes after those it reads, kept through merges, so that looking for a way from
/// one group to another visits only what stands between them.
struct GroupOrder {
  private var order: [Int]
  private var rank: [Int]

  /// Groups that stand in such an order as they are numbered.
  init(count: Int) {
    order = Array(0..<count)
    rank = order
  }

  /// Whether a way leads from `source` to `target` through some other group.
  func hasPath(_ source: Int, _ target: Int, readers: (Int) -> Set<Int>) -> Bool {
    guard rank[source] < rank[target] else { return false }
    var visited: Set<Int> = [source, target]
    var pending = Array(readers(source).subtracting(visited))
    visited.formUnion(pending)
    while let next = pending.popLast() {
      guard rank[next] < rank[target] else { continue }
      let following = readers(next)
      if following.contains(target) { return true }
      let new = following.subtracting(visited)
      visited.formUnion(new)
      pending += new
    }
    return false
  }

  /// Moves what stands between two groups out of the way of their merger: first what it needs, then it, then the rest.
  /// `reads` tells what a group reads, as it is after the merger.
  mutating func merge(_ source: Int, into target: Int, reads: (Int) -> Set<Int>) {
    let window = min(rank[source], rank[target])...max(rank[source], rank[target])
    var needed: Set<Int> = []
    var pending = [target]
    while let next = pending.popLast() {
      for earlier in reads(next) where window.contains(rank[earlier]) && earlier != target && earlier != source {
        if needed.insert(earlier).inserted { pending.append(earlier) }
      }
    }
    let between = order[window].filter { $0 != source && $0 != target }
    let sorted = between.filter(needed.contains) + [source, target] + between.filter { !needed.contains($0) }
    for (place, group) in zip(window, sorted) {
      order[place] = group
      rank[group] = place
    }
  }
}
