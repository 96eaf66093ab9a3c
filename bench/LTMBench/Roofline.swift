import Foundation

/// A picture of shares: for each workload of ours a bar, as long as its share of the limit by memory or arithmetic that
/// was measured in the same run.
struct Roofline {
  private let results: Results
  private let rowHeight = 18
  private let left = 230
  private let width = 400

  init(_ results: Results) { self.results = results }

  var svg: String {
    let rows = results.order.compactMap { key in
      results.ours(key).flatMap { row in results.share(row).map { (key, row, $0) } }
    }
    let height = 60 + rows.count * rowHeight
    var parts = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(left + width + 170)\" height=\"\(height)\" "
        + "font-family=\"sans-serif\" font-size=\"12\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      "<text x=\"10\" y=\"20\" font-size=\"14\">Share of the limit measured in the same run</text>",
    ]
    for (index, (key, row, share)) in rows.enumerated() {
      let y = 40 + index * rowHeight
      let isMemory = row.rate?.unit == "GBps"
      let length = Int(min(max(share, 0), 1.2) * Double(width))
      let rate = row.rate.map { String(format: "%.1f ", $0.value) + (isMemory ? "GB/s" : "GFLOP/s") } ?? ""
      parts.append("<text x=\"10\" y=\"\(y + 12)\">\(key.workload) \(key.dtype), \(key.threads) thr.</text>")
      parts.append(
        "<rect x=\"\(left)\" y=\"\(y)\" width=\"\(length)\" height=\"\(rowHeight - 4)\" "
          + "fill=\"\(isMemory ? "#4c78a8" : "#f58518")\"/>")
      parts.append(
        "<text x=\"\(left + max(length, width) + 8)\" y=\"\(y + 12)\">\(Int((share * 100).rounded()))%, \(rate)</text>")
    }
    // The roof.
    parts.append(
      "<line x1=\"\(left + width)\" y1=\"34\" x2=\"\(left + width)\" y2=\"\(height - 20)\" stroke=\"black\"/>")
    parts.append(
      "<text x=\"10\" y=\"\(height - 6)\">blue: memory bandwidth, orange: arithmetic; the line is the limit</text>")
    return (parts + ["</svg>"]).joined(separator: "\n") + "\n"
  }
}
