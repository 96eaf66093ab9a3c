/// The candidate nearest to a mistyped name, when one is near enough to be what was meant.
public func suggestion(for name: String, among candidates: some Sequence<String>) -> String? {
  // Any two names of one letter are one replacement apart.
  guard name.utf8.count > 1 else { return nil }
  if let same = candidates.filter({ $0 != name && $0.lowercased() == name.lowercased() }).min() { return same }
  let limit = max(1, name.count / 3)
  let near = candidates.filter { abs($0.utf8.count - name.utf8.count) <= limit }
  let ranked = near.map { (editDistance(Array(name.utf8), Array($0.utf8)), $0) }.filter { $0.0 <= limit }
  return ranked.min { ($0.0, $0.1) < ($1.0, $1.1) }?.1
}

/// The least number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var before: [Int] = []
  var previous = Array(0...b.count)
  for i in 0..<a.count {
    var row = [i + 1]
    for j in 0..<b.count {
      var best = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
      row.append(best)
    }
    (before, previous) = (previous, row)
  }
  return previous[b.count]
}
