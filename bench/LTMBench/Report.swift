import ArgumentParser
import Foundation
import LTM

/// Turns the lines of a run into tables and a picture.
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints tables of ratios from the lines of a run, and draws where ours stand under the roofline.")

  @Argument(help: "The file of JSON lines.") var file: String
  @Option(help: "Where to write the picture, an SVG.") var svg: String?

  func run() throws {
    let text: String
    do {
      text = try String(contentsOfFile: file, encoding: .utf8)
    } catch { throw LTMError("cannot read \(file): \(error.localizedDescription)") }
    let results = Results(text.split(separator: "\n").compactMap { BenchRow(String($0)) })
    for threads in results.threadCounts { try printLine(table(results, threads: threads)) }
    try printLine(bars(results))
    if let svg {
      do {
        try Roofline(results).svg.write(toFile: svg, atomically: true, encoding: .utf8)
      } catch { throw LTMError("cannot write \(svg): \(error.localizedDescription)") }
    }
  }

  /// The bars that the run measured something for.
  private func bars(_ results: Results) -> String {
    let checks = Bars(results).checks
    let found = checks.filter { $0.reached != nil }
    let missing =
      checks.count == found.count ? "" : "\nnot measured in this run: \(checks.count - found.count) more bars\n"
    return markdown(["what", "dtype", "threads", "bar", "reached", ""], found.map(\.cells)) + missing
  }

  private func table(_ results: Results, threads: Int) -> String {
    let rows = results.order.filter { $0.threads == threads }.compactMap { key -> [String]? in
      guard let ours = results.ours(key), let median = ours.median else { return nil }
      let peer = results.bestPeer(key)
      let ratio = peer?.median.map { decimal($0 / median, 2) }
      let loaded = ours.isLoaded || (peer?.isLoaded ?? false) ? " (loaded)" : ""
      return [
        key.workload, key.dtype, decimal(median, 3),
        ours.rate.map { decimal($0.value, 1) + ($0.unit == "GBps" ? " GB/s" : " GFLOP/s") } ?? "-",
        results.share(ours).map { decimal($0 * 100, 0) + "%" } ?? "-", peer?.peer ?? "-",
        peer?.median.map { decimal($0, 3) } ?? "-", ratio.map { $0 + loaded } ?? "-",
      ]
    }
    let titles = ["workload", "dtype", "ours, ms", "rate", "of the limit", "best peer", "its ms", "its time over ours"]
    return """
      ## \(threads) thread\(threads == 1 ? "" : "s")

      limits (GB/s, GFLOP/s; microseconds for a fork and join): \(results.limitsText(threads))

      \(markdown(titles, rows))
      """
  }
}

/// A table.
func markdown(_ titles: [String], _ rows: [[String]]) -> String {
  let lines = [titles, titles.map { _ in "---" }] + rows
  return lines.map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n") + "\n"
}

/// A number with so many places.
func decimal(_ value: Double, _ places: Int) -> String { String(format: "%.\(places)f", value) }
