/// Which of a few nodes each node reaches, and which reach it: most paths between distant nodes pass one of them, so that a
/// path is known without a search.
struct Landmarks {
  /// At most 64, one a bit.
  let nodes: [Int]
  /// For each node, those it reaches, itself included, and those that reach it.
  private(set) var below: [UInt64]
  private(set) var above: [UInt64]

  /// Nodes in an order in which each comes after those it reads.
  init(reads: [[Int]], readers: [[Int]]) {
    nodes = Self.choose(reads, readers)
    below = [UInt64](repeating: 0, count: reads.count)
    for (bit, node) in nodes.enumerated() { below[node] = 1 << UInt64(bit) }
    above = below
    for node in reads.indices { for source in reads[node] { above[node] |= above[source] } }
    for node in reads.indices.reversed() { for reader in readers[node] { below[node] |= below[reader] } }
  }

  /// Those with the most readers, and others at equal distances.
  private static func choose(_ reads: [[Int]], _ readers: [[Int]]) -> [Int] {
    let inner = reads.indices.filter { !readers[$0].isEmpty && !reads[$0].isEmpty }
    let busiest = inner.sorted { (readers[$1].count, $0) < (readers[$0].count, $1) }.prefix(32)
    let step = max(inner.count / 32, 1)
    let spread = stride(from: step / 2, to: inner.count, by: step).map { inner[$0] }
    return Array(Set(busiest).union(spread).sorted().prefix(64))
  }

  /// The nodes whose bits are set.
  func nodes(in bits: UInt64) -> some Sequence<Int> {
    sequence(state: bits) { rest -> Int? in
      guard rest != 0 else { return nil }
      defer { rest &= rest - 1 }
      return nodes[rest.trailingZeroBitCount]
    }
  }
}
