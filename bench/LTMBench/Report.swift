import ArgumentParser
import Foundation
import LTM
import LTMSupport

/// Turns the lines of a run into a table of ratios and a picture.
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints a table of ratios from the lines of a run, and draws where ours stand under the roofline.")

  @Argument(help: "The file of JSON lines.") var file: String
  @Option(help: "Where to write the picture, an SVG.") var svg: String?

  func run() throws {
    let text: String
    do {
      text = try String(contentsOfFile: file, encoding: .utf8)
    } catch { throw LTMError("cannot read \(file): \(error.localizedDescription)") }
    let rows = text.split(separator: "\n").compactMap { BenchRow(String($0)) }
    let results = Results(rows)
    for threads in results.threadCounts { try printLine(results.table(threads: threads)) }
    if let svg {
      try Roofline(results).svg.write(toFile: svg, atomically: true, encoding: .utf8)
    }
  }
}

/// A line of a run, ours or a peer's.
struct BenchRow {
  let peer: String
  let workload: String
  let dtype: String
  let threads: Int
  let median: Double?
  let rate: (unit: String, value: Double)?
  let foreignLoad: Double

  init?(_ line: String) {
    guard let json = try? JSON(parsing: Array(line.utf8)), let peer = json["peer"]?.stringValue,
      let workload = json["workload"]?.stringValue
    else { return nil }
    self.peer = peer
    self.workload = workload
    dtype = json["dtype"]?.stringValue ?? ""
    threads = json["threads"]?.intValue ?? 0
    median = json["median_ms"]?.doubleValue
    rate = ["GBps", "gflops"].lazy.compactMap { unit in json[unit]?.doubleValue.map { (unit, $0) } }.first
    foreignLoad = json["foreign_load"]?.doubleValue ?? 0
  }
}

/// The best of each peer, by workload, dtype and threads.
struct Results {
  struct Key: Hashable {
    let workload: String
    let dtype: String
    let threads: Int
  }
  private(set) var order: [Key] = []
  private var best: [Key: [String: BenchRow]] = [:]
  private var limits: [Int: [String: Double]] = [:]

  init(_ rows: [BenchRow]) {
    for row in rows {
      if row.peer == "ceiling" {
        if let rate = row.rate { limits[row.threads, default: [:]][row.workload] = rate.value }
        continue
      }
      guard let median = row.median else { continue }
      let key = Key(workload: row.workload, dtype: row.dtype, threads: row.threads)
      if best[key] == nil { order.append(key) }
      if let held = best[key]?[row.peer]?.median, held <= median { continue }
      best[key, default: [:]][row.peer] = row
    }
  }

  var threadCounts: [Int] { Set(order.map(\.threads)).sorted() }
  func ours(_ key: Key) -> BenchRow? { best[key]?["ltm"] }
  func limit(_ name: String, _ threads: Int) -> Double? { limits[threads]?[name] }

  /// The fastest peer of a row. What a level of ours competes with is the fastest of a peer's recipes in that format.
  func bestPeer(_ key: Key) -> BenchRow? {
    let dtypes = key.dtype.hasPrefix("o2-") ? [key.dtype, "amp" + key.dtype.dropFirst(2)] : [key.dtype]
    let rows = dtypes.flatMap { dtype in
      best[Key(workload: key.workload, dtype: dtype, threads: key.threads)]?.values.filter { $0.peer != "ltm" } ?? []
    }
    return rows.min { ($0.median ?? .infinity) < ($1.median ?? .infinity) }
  }

  /// The share of the limit that a row of ours is measured against.
  func share(_ row: BenchRow) -> Double? {
    guard let rate = row.rate else { return nil }
    let name = rate.unit == "GBps" ? "triad_nt" : row.dtype == "bf16" ? "dot_bf16" : "fma_f32"
    return (limit(name, row.threads) ?? limit("fma_f32", row.threads)).map { rate.value / $0 }
  }

  func table(threads: Int) -> String {
    let facts = (limits[threads] ?? [:]).sorted { $0.key < $1.key }
      .map { "\($0.key) \(String(format: "%.1f", $0.value))" }.joined(separator: ", ")
    var lines = [
      "## \(threads) thread\(threads == 1 ? "" : "s")", "", "limits (GB/s, GFLOP/s): \(facts)", "",
      "| workload | dtype | ours, ms | rate | of the limit | best peer | its ms | its time over ours |",
      "|---|---|---|---|---|---|---|---|",
    ]
    for key in order where key.threads == threads {
      guard let ours = ours(key), let median = ours.median else { continue }
      let peer = bestPeer(key)
      let loaded = ours.foreignLoad > 0.15 || (peer?.foreignLoad ?? 0) > 0.15 ? " (loaded)" : ""
      let rate = ours.rate.map { String(format: "%.1f", $0.value) + ($0.unit == "GBps" ? " GB/s" : " GFLOP/s") }
      let share = share(ours).map { String(format: "%.0f%%", $0 * 100) }
      let theirs = peer?.median.map { String(format: "%.3f", $0) }
      let ratio = peer?.median.map { String(format: "%.2f", $0 / median) + loaded }
      let cells: [String?] = [
        key.workload, key.dtype, String(format: "%.3f", median), rate, share, peer?.peer, theirs, ratio,
      ]
      lines.append("| " + cells.map { $0 ?? "-" }.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
