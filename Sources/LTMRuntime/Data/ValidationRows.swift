import LTMIR
import LTMSupport

/// How rows for validation are chosen among those to train on.
package enum SplitRule: Hashable, Sendable {
  /// By chance.
  case random
  /// By chance, the same fraction of each value of a key.
  case stratified(String)
  /// By chance, all rows with one value of a key on one side.
  case group(String)
  /// The last rows by a key, or by their order in the file.
  case time(String?)

  /// Reads `random`, `stratified:label`, `group:patient`, `time:day`, `time`; `nil` for anything else.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let key = parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil
    switch (parts[0], key, parts.count) {
    case ("random", nil, 1): self = .random
    case ("stratified", let key?, _): self = .stratified(key)
    case ("group", let key?, _): self = .group(key)
    case ("time", _, _) where key != nil || parts.count == 1: self = .time(key)
    case _: return nil
    }
  }

  /// The key whose values are read.
  package var key: String? {
    switch self {
    case .random, .time(nil): nil
    case .stratified(let key), .group(let key), .time(let key?): key
    }
  }
}

extension Dataset.Split {
  /// Parts with these rows: those to train on, and a fraction of all for validation. Each keeps the order of the rows. The choice depends on
  /// the seed and the values of the key only.
  ///
  /// - Parameter values: of the rule's key, one for each row.
  package func split(
    _ fraction: Double, _ rule: SplitRule, _ values: [Double]?, seed: UInt64
  ) throws(Diagnostic) -> (train: Dataset.Split, validation: Dataset.Split) {
    let chosen = Set(validationRows(fraction, rule, values ?? [], seed: seed))
    let rows = (0..<Int32(count)).map { $0 }
    guard !chosen.isEmpty, chosen.count < count else {
      throw Diagnostic(
        .error,
        "a validation split of \(fraction) leaves \(chosen.isEmpty ? "no row to validate on" : "none to train on")",
        notes: ["there are \(count) rows"])
    }
    return (selecting(rows.filter { !chosen.contains($0) }), selecting(rows.filter(chosen.contains)))
  }

  private func validationRows(_ fraction: Double, _ rule: SplitRule, _ values: [Double], seed: UInt64) -> [Int32] {
    func share(_ count: Int) -> Int { Int((fraction * Double(count)).rounded()) }
    let drawn = order(seed: seed ^ splitStream, epoch: 0, count: count)
    func value(_ row: Int32) -> Double { values.indices.contains(Int(row)) ? values[Int(row)] : 0 }
    switch rule {
    case .random: return Array(drawn.prefix(share(count)))
    case .stratified:
      let groups = Dictionary(grouping: drawn, by: value)
      return groups.values.flatMap { $0.prefix(share($0.count)) }
    case .group:
      var groups: [Double: [Int32]] = [:]
      var names: [Double] = []
      for row in drawn {
        if groups[value(row)] == nil { names.append(value(row)) }
        groups[value(row), default: []].append(row)
      }
      var rows: [Int32] = []
      // In the order in which chance met them, as long as they bring the number nearer.
      for name in names {
        let size = groups[name]?.count ?? 0
        if abs(rows.count + size - share(count)) < abs(rows.count - share(count)) { rows += groups[name] ?? [] }
      }
      return rows
    case .time:
      let sorted = (0..<Int32(count)).sorted { (value($0), $0) < (value($1), $1) }
      return Array(sorted.suffix(share(count)))
    }
  }
}

/// Keeps the numbers that choose rows apart from those that order them.
private let splitStream = stableHash("validation split")
