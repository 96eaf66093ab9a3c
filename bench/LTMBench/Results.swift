import LTMSupport

/// A line of a run, ours or a peer's.
struct BenchRow {
  let peer: String
  let workload: String
  let dtype: String
  let threads: Int
  private let json: JSON

  init?(_ line: String) {
    guard let json = try? JSON(parsing: Array(line.utf8)), let peer = json["peer"]?.stringValue,
      let workload = json["workload"]?.stringValue
    else { return nil }
    self.peer = peer
    self.workload = workload
    self.json = json
    dtype = json["dtype"]?.stringValue ?? ""
    threads = json["threads"]?.intValue ?? 0
  }

  subscript(name: String) -> Double? { json[name]?.doubleValue }
  var median: Double? { self["median_ms"] }
  var rate: (unit: String, value: Double)? {
    ["GBps", "gflops"].lazy.compactMap { unit in self[unit].map { (unit, $0) } }.first
  }
  /// Whether others kept a core busy meanwhile.
  var isLoaded: Bool { self["foreign_load"] ?? 0 > 0.15 }
  /// Whether it computed in another type than it was asked for.
  var isDisguised: Bool { json["computes"]?.stringValue.map { $0 != dtype } ?? false }
}

/// The best of each peer, by workload, dtype and threads.
struct Results {
  struct Key: Hashable {
    let workload: String
    let dtype: String
    let threads: Int
  }
  /// The workloads that were timed, in the order of the run.
  private(set) var order: [Key] = []
  private var best: [Key: [String: BenchRow]] = [:]
  private var limits: [Int: [String: Double]] = [:]

  init(_ rows: [BenchRow]) {
    for row in rows {
      if row.peer == "ceiling" { addLimit(row) } else if !row.isDisguised { add(row) }
    }
  }

  /// Rates count the higher, times the lower.
  private mutating func addLimit(_ row: BenchRow) {
    let held = limits[row.threads, default: [:]][row.workload]
    if let rate = row.rate?.value { limits[row.threads, default: [:]][row.workload] = max(rate, held ?? 0) }
    if let time = row["us"] { limits[row.threads, default: [:]][row.workload] = min(time, held ?? .infinity) }
  }

  private mutating func add(_ row: BenchRow) {
    guard let value = Self.cost(row) else { return }
    let key = Key(workload: row.workload, dtype: row.dtype, threads: row.threads)
    if best[key] == nil, row.median != nil { order.append(key) }
    // A loaded row counts only until an undisturbed one is there.
    if let held = best[key]?[row.peer], let cost = Self.cost(held) {
      guard held.isLoaded == row.isLoaded ? value < cost : held.isLoaded else { return }
    }
    best[key, default: [:]][row.peer] = row
  }

  /// What a row is the better for the less it is: milliseconds, seconds or megabytes.
  private static func cost(_ row: BenchRow) -> Double? { row.median ?? row["cold_s"] ?? row["peak_mb"] }

  var threadCounts: [Int] { Set(order.map(\.threads)).sorted() }
  func ours(_ key: Key) -> BenchRow? { best[key]?["ltm"] }
  func ours(_ workload: String, _ dtype: String, _ threads: Int) -> BenchRow? {
    ours(Key(workload: workload, dtype: dtype, threads: threads))
  }
  func limit(_ name: String, _ threads: Int) -> Double? { limits[threads]?[name] }
  func limitsText(_ threads: Int) -> String {
    (limits[threads] ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key) \(decimal($0.value, 1))" }
      .joined(separator: ", ")
  }

  /// The best peer of a row. What a level of ours competes with is the best of a peer's recipes in that format.
  func bestPeer(_ key: Key) -> BenchRow? {
    let half = key.dtype.dropFirst(3)
    let dtypes = key.dtype.hasPrefix("o2-") ? [key.dtype, "amp-" + half, String(half)] : [key.dtype]
    let rows = dtypes.flatMap { dtype in
      best[Key(workload: key.workload, dtype: dtype, threads: key.threads)]?.values.filter { $0.peer != "ltm" } ?? []
    }
    return rows.min { (Self.cost($0) ?? .infinity) < (Self.cost($1) ?? .infinity) }
  }

  /// The share of the limit that a row of ours is measured against.
  func share(_ row: BenchRow) -> Double? {
    if let share = row["peak_share"] { return share }
    guard let rate = row.rate else { return nil }
    let name = rate.unit == "GBps" ? "triad_nt" : row.dtype == "bf16" ? "dot_bf16" : "fma_f32"
    return (limit(name, row.threads) ?? limit("fma_f32", row.threads)).map { rate.value / $0 }
  }
}
