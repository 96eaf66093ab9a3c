/// A total order of groups, in which a few of them move at a time. Labels compare as places do; the gaps between them take in
/// what moves, and are made equal again when one is full.
struct OrderedGroups {
  private var labels: [Int]
  private var next: [Int]
  private var previous: [Int]
  /// What stands before the first group, and behind the last.
  private let start: Int
  private let end: Int

  /// Groups in the order of their numbers.
  init(count: Int) {
    (start, end) = (count, count + 1)
    labels = [Int](repeating: 0, count: count + 2)
    next = labels
    previous = labels
    link([start] + Array(0..<count) + [end])
    spread()
  }

  func isBefore(_ a: Int, _ b: Int) -> Bool { labels[a] < labels[b] }

  /// Moves groups, in their own order, to just behind another one.
  mutating func move(_ groups: [Int], after anchor: Int) {
    let moved = takeOut(groups)
    insert(moved, between: anchor, next[anchor])
  }

  /// Moves groups, in their own order, to just before another one.
  mutating func move(_ groups: [Int], before anchor: Int) {
    let moved = takeOut(groups)
    insert(moved, between: previous[anchor], anchor)
  }

  /// Gives a group the place of another one, which leaves the order.
  mutating func replace(_ old: Int, by new: Int) {
    guard old != new else { return }
    move([new], after: old)
    remove(old)
  }

  mutating func remove(_ group: Int) { link([previous[group], next[group]]) }

  private mutating func takeOut(_ groups: [Int]) -> [Int] {
    for group in groups { remove(group) }
    return groups.sorted(by: isBefore)
  }

  private mutating func insert(_ groups: [Int], between left: Int, _ right: Int) {
    link([left] + groups + [right])
    let step = (labels[right] - labels[left]) / (groups.count + 1)
    if step == 0 { return spread() }
    for (number, group) in groups.enumerated() { labels[group] = labels[left] + (number + 1) * step }
  }

  private mutating func link(_ chain: [Int]) {
    for (left, right) in zip(chain, chain.dropFirst()) { (next[left], previous[right]) = (right, left) }
  }

  private mutating func spread() {
    let gap = (1 << 62) / labels.count
    var (place, at) = (0, start)
    while at != end {
      labels[at] = place
      (place, at) = (place + gap, next[at])
    }
    labels[end] = place
  }
}
